"""The program of a worker process: loads a handler, then runs it for each event. Standard library only.

Run by `python -I bootstrap.py <code directory> <handler> <memory MiB>`. Frames on stdin and stdout: four bytes of
length, then content. In: a header (JSON), the event. Out: a header with `kind` ready, result or error, the payload.
What the function prints goes where stderr goes. An alarm ends the process if nobody did at the time limit.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO

MOST_RESPONSE_BYTES = 6_291_556


class Context:
    def __init__(self, header: dict[str, Any]) -> None:
        self.aws_request_id = header["request_id"]
        self.invoked_function_arn = header["arn"]
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = None
        self.client_context = header.get("client_context")
        self._deadline = header["deadline"]

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._deadline - time.time()) * 1000))

    def log(self, message: object) -> None:
        sys.stdout.write(str(message))


def read_exactly(stream: Any, size: int) -> bytes:
    content: bytes = b""
    while len(content) < size:
        more = stream.read(size - len(content))
        if not more:
            sys.exit(0)
        content += more
    return content


def read_frame(stream: Any) -> bytes:
    return read_exactly(stream, struct.unpack(">I", read_exactly(stream, 4))[0])


def write_frames(stream: BinaryIO, *contents: bytes) -> None:
    for content in contents:
        stream.write(struct.pack(">I", len(content)))
        stream.write(content)
    stream.flush()


def failure(
    error: BaseException | None, kind: str | None = None, message: str | None = None, request_id: str = ""
) -> bytes:
    """AWS's description of an error, as JSON; frames of this file are left out of the trace."""
    frames = traceback.extract_tb(error.__traceback__) if error is not None else []
    trace = [line for frame in frames if frame.filename != __file__ for line in traceback.format_list([frame])]
    described = {
        "errorMessage": str(error) if message is None else message,
        "errorType": kind or type(error).__name__,
        "requestId": request_id,
        "stackTrace": trace,
    }
    sys.stderr.write(f"[ERROR] {described['errorType']}: {described['errorMessage']}\n")
    if trace:
        sys.stderr.write("Traceback (most recent call last):\n" + "".join(trace))
    return json.dumps(described).encode()


def load(handler: str) -> tuple[Callable[[Any, Context], Any] | None, Callable[[str], bytes]]:
    """The handler, or what is wrong with it."""
    module_name, dot, name = handler.rpartition(".")
    if not dot:
        message = f"Bad handler '{handler}': not enough values to unpack (expected 2, got 1)"
        return None, lambda request_id: failure(None, "Runtime.MalformedHandlerName", message, request_id)
    module_name = module_name.replace("/", ".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        message, kind = f"Unable to import module '{module_name}': {error}", "Runtime.ImportModuleError"
    except SyntaxError as error:
        message, kind = f"Syntax error in module '{module_name}': {error}", "Runtime.UserCodeSyntaxError"
    except Exception as error:  # noqa: BLE001 - whatever a function raises is its result
        caught = error
        return None, lambda request_id: failure(caught, request_id=request_id)
    else:
        found = getattr(module, name, None)
        if callable(found):
            return found, lambda request_id: b""
        message, kind = f"Handler '{name}' missing on module '{module_name}'", "Runtime.HandlerNotFound"
    return None, lambda request_id: failure(None, kind, message, request_id)


def run(function: Callable[[Any, Context], Any], header: dict[str, Any], event: bytes) -> tuple[str, bytes]:
    """Kind and payload of the answer."""
    request_id = header["request_id"]
    try:
        answer = function(json.loads(event), Context(header))
    except MemoryError:
        # AWS ends a function that needs more than it may have.
        os.kill(os.getpid(), signal.SIGKILL)
    except Exception as error:  # noqa: BLE001 - whatever a function raises is its result
        return "error", failure(error, request_id=request_id)
    try:
        payload = json.dumps(answer, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        message = f"Unable to marshal response: {error}"
        return "error", failure(None, "Runtime.MarshalError", message, request_id)
    if len(payload) > MOST_RESPONSE_BYTES:
        message = f"Response payload size exceeded maximum allowed payload size ({MOST_RESPONSE_BYTES} bytes)."
        return "error", failure(None, "Function.ResponseSizeTooLarge", message, request_id)
    return "result", payload


def main() -> None:
    directory, handler, memory_mib = sys.argv[1:4]
    limit = int(memory_mib) * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    answers = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.argv[:] = [directory + "/bootstrap"]
    sys.path.insert(0, directory)
    os.chdir(directory)
    function, broken = load(handler)
    write_frames(answers, b'{"kind":"ready"}', b"")
    while True:
        header = json.loads(read_frame(requests))
        event = read_frame(requests)
        signal.setitimer(signal.ITIMER_REAL, max(0.001, header["deadline"] - time.time()) + 2)
        if function is None:
            kind, payload = "error", broken(header["request_id"])
        else:
            kind, payload = run(function, header, event)
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdout.flush()
        sys.stderr.flush()
        write_frames(answers, json.dumps({"kind": kind}).encode(), payload)


if __name__ == "__main__":
    main()
