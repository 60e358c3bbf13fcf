"""Structured logging: one line of JSON per decision or change of state, on stderr or in a file.

Fixed fields: `time`, `level`, `event` (the message, a constant), and of `extra` whatever is given, above all
`request_id`, `resource`, `reconciler`, `revision`, `cause`, `duration_ms`. The zone node writes the same form.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import time
from pathlib import Path
from typing import ClassVar

_STANDARD = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "asctime", "taskName"}

LOG_BYTES = 20 * 1024 * 1024


class Secret(str):
    """A text that prints as `***`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    def __str__(self) -> str:
        return "***"


class Discreet:
    """Mixed into a struct or dataclass: members named in SECRETS print as `***`, wherever it is printed."""

    __slots__ = ()
    SECRETS: ClassVar[frozenset[str]] = frozenset()

    def __repr__(self) -> str:
        names = getattr(self, "__struct_fields__", None) or self.__dataclass_fields__  # type: ignore[attr-defined]
        shown = (f"{name}={'***' if name in self.SECRETS else repr(getattr(self, name))}" for name in names)
        return f"{type(self).__name__}({', '.join(shown)})"


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        seconds, fraction = divmod(record.created, 1)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        line: dict[str, object] = {
            "time": f"{stamp}.{int(fraction * 1000):03d}Z",
            "level": record.levelname,
            "event": record.getMessage(),
            "logger": record.name,
        }
        line.update((k, v) for k, v in record.__dict__.items() if k not in _STANDARD)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def set_up(level: str, file: Path | None = None) -> None:
    """Log to `file` (rotated at LOG_BYTES, one old one kept), or to stderr."""
    handler: logging.Handler
    if file is None:
        handler = logging.StreamHandler()
    else:
        handler = logging.handlers.RotatingFileHandler(file, maxBytes=LOG_BYTES, backupCount=1, delay=True)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("botocore", "boto3", "urllib3", "asyncio", "aiohttp.access", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
