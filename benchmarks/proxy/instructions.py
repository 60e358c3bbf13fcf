"""User-mode instructions per proxied request, counted by callgrind: the guard that does not depend on the machine.

Two runs differ only in the number of requests; the difference of their counts, divided by the difference in
requests, leaves out start and end. Instructions of the kernel are not counted: they are most of the time of a
request, but not ours to lose. Repeats within about one per cent (the timers' ticks are in it).

    python benchmarks/proxy/instructions.py --node target/release/elba-node [--profile callgrind.out] [--limit 9000]

With `--log`: those of the access log's thread alone, per line.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from cases import BROWSER_FIELDS
from peers import node_config
from processes import LOAD_CORE, PROXY_CORE, free_port, running, wait_until_serving, write

CONNECTIONS = 16
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 32\r\n\r\n0123456789abcdef0123456789abcdef"


def serve(connection: socket.socket) -> None:
    """Answers each request that comes in one piece, as ours do."""
    with connection:
        pending = b""
        while True:
            received = connection.recv(65536)
            if not received:
                return
            pending += received
            while b"\r\n\r\n" in pending:
                pending = pending.split(b"\r\n\r\n", 1)[1]
                connection.sendall(ANSWER)


@contextlib.contextmanager
def origin() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def ask(port: int, requests: int, fields: tuple[str, ...]) -> None:
    """So many requests over `CONNECTIONS` connections, in step: the node finds several ready at once, as under load."""
    lines = ["GET /path?a=b HTTP/1.1", "Host: bench.example", *fields]
    request = "\r\n".join([*lines, "", ""]).encode()
    with contextlib.ExitStack() as stack:
        opened = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(CONNECTIONS)]
        for connection in opened:
            stack.enter_context(connection)
        for _ in range(requests // CONNECTIONS):
            for connection in opened:
                connection.sendall(request)
            for connection in opened:
                answer = b""
                while not answer.endswith(b"0123456789abcdef0123456789abcdef"):
                    received = connection.recv(65536)
                    if not received:
                        raise SystemExit("the node closed the connection")
                    answer += received


def of_log_thread(output: str) -> int:
    """Instructions of the thread that writes the access log's lines; 0 if none was written."""
    for part in Path(output).parent.glob(f"{Path(output).name}-*"):
        text = part.read_text()
        total = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
        if "elba_core::access_log::push_line" in text and total:
            return int(total[1])
    return 0


def count(node: str, requests: int, fields: tuple[str, ...], profile: str | None, log_only: bool) -> int:
    """Instructions of a whole run with so many requests; of the access log's thread if `log_only`."""
    with tempfile.TemporaryDirectory() as name, origin() as target:
        folder = Path(name)
        port = free_port()
        write(folder / "node/config.json", node_config({"plain": port}, target, folder / "logs" if log_only else None))
        output = profile or str(folder / "callgrind.out")
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}"]
        command += [f"--separate-threads={'yes' if log_only else 'no'}", node]
        command += ["--id", "bench-a", "--control", str(folder / "control"), "--data-dir", str(folder / "node")]
        log = folder / "log"
        with running([*command, "--log-level", "warning"], PROXY_CORE, log) as process:
            wait_until_serving(port, "/", process, log)
            ask(port, requests, fields)
        if log_only:
            return of_log_thread(output)
        text = Path(output).read_text()
        total = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
        if not total:
            raise SystemExit(f"no total in callgrind's output\n{log.read_text(errors='replace')}")
        return int(total[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--node", default="target/release/elba-node")
    parser.add_argument("--requests", type=int, default=6400, help="by which the two runs differ")
    parser.add_argument("--profile", metavar="FILE", help="keep callgrind's output of the longer run there")
    parser.add_argument("--log", action="store_true", help="count the access log's thread, per line")
    parser.add_argument("--limit", type=int, help="exit with 1 if a request takes more instructions")
    options = parser.parse_args()
    worst = 0.0
    for name, fields in (("small", ()), ("browser", BROWSER_FIELDS)):
        few = count(options.node, 640, fields, None, options.log)
        many = count(options.node, 640 + options.requests, fields, options.profile, options.log)
        each = (many - few) / options.requests
        worst = max(worst, each)
        print(f"{name:8} {each:8.0f} instructions per {'line' if options.log else 'request'}")
    if options.limit and worst > options.limit:
        sys.exit(f"more than {options.limit} instructions per request")


if __name__ == "__main__":
    assert LOAD_CORE != PROXY_CORE
    main()
