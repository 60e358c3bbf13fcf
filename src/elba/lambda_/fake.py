"""Functions without processes: code is loaded into this one. For tests, whose functions behave."""

from __future__ import annotations

import hashlib
import io
import json
import types
import zipfile

from elba.lambda_.interface import CodeMissing, Program, Result, Throttled


class FakeFunctions:
    """Runs handlers where they stand. `invocations` tells what ran; `throttled` refuses all; `unanswered` holds
    names of functions that never finish in time."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}
        self.invocations: list[tuple[str, bytes]] = []
        self.throttled = False
        self.unanswered: set[str] = set()

    def keep(self, code: bytes) -> None:
        self._code[hashlib.sha256(code).hexdigest()] = code

    def code(self, digest: str) -> bytes | None:
        return self._code.get(digest)

    def sweep(self, used: set[str]) -> None:
        self._code = {digest: code for digest, code in self._code.items() if digest in used}

    async def invoke(
        self, program: Program, event: bytes, request_id: str, *, within_seconds: float | None = None, context: str = ""
    ) -> Result:
        if self.throttled or program.most_at_once == 0:
            raise Throttled("ReservedFunctionConcurrentInvocationLimitExceeded")
        self.invocations.append((program.arn, event))
        if program.name in self.unanswered:
            text = f"RequestId: {request_id} Error: Task timed out after {program.timeout_seconds:.2f} seconds"
            return Result(json.dumps({"errorType": "Sandbox.Timedout", "errorMessage": text}).encode(), "Unhandled")
        code = self._code.get(program.code)
        if code is None:
            raise CodeMissing(program.code)
        module_name, _, handler = program.handler.rpartition(".")
        module = types.ModuleType(module_name)
        with zipfile.ZipFile(io.BytesIO(code)) as archive:
            exec(compile(archive.read(f"{module_name}.py"), module_name, "exec"), module.__dict__)
        try:
            answer = module.__dict__[handler](json.loads(event), types.SimpleNamespace(aws_request_id=request_id))
        except Exception as error:  # noqa: BLE001 - whatever a function raises is its result
            described = {"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": []}
            return Result(json.dumps(described).encode(), "Unhandled")
        return Result(json.dumps(answer).encode())

    async def close(self) -> None:
        return None
