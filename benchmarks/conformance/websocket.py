"""The Autobahn cases against a WebSocket echo server, directly and through a zone node, which must cost none.

    pip install kosoku websockets          # the Autobahn case files on Python 3; the echo server
    python benchmarks/conformance/websocket.py --node target/release/elba-node

Prints, for each group of cases, how many passed both ways, and every case whose outcome differs. Not run in CI.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "proxy"))

from peers import node_config
from processes import free_port

ECHO = """
import asyncio, sys
from websockets.asyncio.server import serve

async def echo(connection):
    async for message in connection:
        await connection.send(message)

async def main():
    async with serve(echo, "127.0.0.1", int(sys.argv[1]), max_size=None):
        await asyncio.get_running_loop().create_future()

asyncio.run(main())
"""
GOOD = {"OK", "NON-STRICT", "INFORMATIONAL"}


def wait_for(port: int) -> None:
    async def connect() -> None:
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return
                await asyncio.sleep(0.05)

    asyncio.run(connect())


def outcomes(port: int, folder: Path, leave_out: list[str]) -> dict[str, tuple[str, str]]:
    """Behaviour and behaviour at the close of each case."""
    command = [str(Path(sys.executable).with_name("kosoku")), "-o", str(folder), "-p", "4", f"ws://127.0.0.1:{port}"]
    command += [word for pattern in leave_out for word in ("-x", pattern)]
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    (index,) = folder.rglob("index.json")
    (cases,) = json.loads(index.read_text()).values()
    return {case: (found["behavior"], found["behaviorClose"]) for case, found in cases.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--node", default="target/release/elba-node")
    parser.add_argument("--exclude", action="append", default=[], metavar="CASES", help="such as 9.*, large and slow")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, origin, port = Path(name), free_port(), free_port()
        home = folder / "node"
        home.mkdir()
        (home / "config.json").write_text(node_config({"ws": port}, origin))
        node = [options.node, "--id", "bench-a", "--control", str(home / "control"), "--data-dir", str(home)]
        with (
            subprocess.Popen([sys.executable, "-c", ECHO, str(origin)], stderr=subprocess.DEVNULL) as server,
            subprocess.Popen([*node, "--log-level", "error"]) as proxy,
        ):
            try:
                wait_for(origin)
                wait_for(port)
                began = time.monotonic()
                direct = outcomes(origin, folder / "direct", options.exclude)
                between = time.monotonic()
                through = outcomes(port, folder / "through", options.exclude)
                times = between - began, time.monotonic() - between
            finally:
                server.terminate()
                proxy.terminate()
    groups: dict[str, Counter[str]] = {}
    for case in direct:
        group = groups.setdefault(case.partition(".")[0], Counter())
        group["cases"] += 1
        for side, found in (("direct", direct), ("through", through)):
            group[side] += found.get(case, ("MISSING", ""))[0] in GOOD
    for name, group in sorted(groups.items(), key=lambda item: int(item[0])):
        print(f"{name:>3}: {group['cases']:4} cases, {group['direct']:4} direct, {group['through']:4} through the node")
    total = sum(groups.values(), Counter())
    print(f"all: {total['cases']:4} cases, {total['direct']:4} direct, {total['through']:4} through the node")
    print(f"in {times[0]:.0f} and {times[1]:.0f} s")
    for case, outcome in direct.items():
        if through.get(case) != outcome:
            print(f"differs: {case}: {outcome} directly, {through.get(case)} through the node")


if __name__ == "__main__":
    main()
