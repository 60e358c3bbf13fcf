"""What runs functions, as operations and reconcilers see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Program:
    """One version of a function, with all that running it needs. `code`: hex digest of its zip file.

    `timeout_seconds` are the world's: a function's code runs in the world's time.
    `most_at_once`: 0 = no limit of its own.
    """

    account: str
    region: str
    name: str
    version: str
    arn: str
    code: str
    handler: str
    runtime: str
    timeout_seconds: float = 3.0
    memory_mib: int = 128
    environment: dict[str, str] = field(default_factory=dict)
    revision: str = ""
    most_at_once: int | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """`payload` is JSON. `error` is "Unhandled" if the function failed, and `payload` then describes how.

    `log_tail`: the last 4 KiB of what this invocation logged.
    """

    payload: bytes
    error: str = ""
    log_tail: bytes = b""


class Throttled(Exception):
    """No further worker may be started now."""


class CodeMissing(Exception):
    """The code of a function is not kept here, or cannot be unpacked."""


class Functions(Protocol):
    """Keeps code and runs it."""

    def keep(self, code: bytes) -> None:
        """Keep a zip file under its digest, durably. Raises: OSError."""

    def code(self, digest: str) -> bytes | None:
        """The zip file with this hex SHA-256."""

    def sweep(self, used: set[str]) -> None:
        """Forget the code that no function uses any more."""

    async def invoke(
        self, program: Program, event: bytes, request_id: str, *, within_seconds: float | None = None, context: str = ""
    ) -> Result:
        """Run the handler with `event` (JSON); at most `within_seconds` if that is less than its own time limit.

        `context`: the client's context, JSON. Raises: Throttled, CodeMissing.
        """

    async def close(self) -> None:
        """End all workers."""
