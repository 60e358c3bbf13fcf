"""An HTTP exchange as the wire layer sees it: no sockets, no framework."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class HttpRequest:
    """One request. `path` and `query` are as sent (percent-encoded); header names are lower case.

    `body` is as sent as well (still compressed), since the signature covers those bytes.
    """

    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    client: str = ""


@dataclass(slots=True)
class HttpResponse:
    """One answer; the server adds what every answer has (length, date)."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
