"""Errors that cross Elba's own boundaries.

ElbaError
 ├── ApiError        what an API client is told: AWS code, message, HTTP status
 ├── StoreError      the store cannot keep its promise (disk full, corrupt file)
 └── UserError       what a person at the command line is told, and what to do next
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ElbaError(Exception):
    """Base of all errors that Elba raises on purpose."""


class ApiError(ElbaError):
    """An answer in AWS's own words.

    `code` is the wire code (`ValidationError`, `InvalidInstanceID.NotFound`), as the service's model or
    the spec names it; `status` the HTTP status; `fields` further members of a modelled error shape.
    Raised by `wire`, `server` and `commands` only; nothing has changed when it is raised.
    """

    def __init__(self, code: str, message: str, status: int = 400, *, fields: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.fields = dict(fields or {})


class StoreError(ElbaError):
    """The store cannot make a write durable. Nothing of that write is kept."""


class UserError(ElbaError):
    """Something a person must mend; `hint` says how."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
