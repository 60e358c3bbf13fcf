"""Log fields: none may be called as one of logging's own, which would raise where the line is written."""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "elba"
RESERVED = set(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "asctime"}


def extra_fields() -> Iterator[tuple[str, str]]:
    """(place, field) of every literal `extra={…}` in the source."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "extra" and isinstance(node.value, ast.Dict):
                for key in node.value.keys:
                    if isinstance(key, ast.Constant):
                        yield f"{path.relative_to(SOURCE)}:{node.value.lineno}", str(key.value)


def test_no_log_field_shadows_one_of_loggings_own() -> None:
    fields = list(extra_fields())
    assert len(fields) > 10
    assert [(place, field) for place, field in fields if field in RESERVED] == []
