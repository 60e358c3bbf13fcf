"""Run as a program: kills a writer again and again and checks what is on disk. Prints one JSON line.

A program of its own because it forks (cheap rounds, hundreds of them), which a threaded test runner may not.
Arguments: data directory, rounds, seed.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from elba.store import Store, Transaction
from elba.store.sqlite import SqliteEngine
from tests.unit.store.sample import Thing, thing

WRITERS = 8
PAIRS = 20


def store_at(path: Path) -> Store:
    return Store(SqliteEngine(path, {Thing.KIND: Thing}), now=time.time)


def write_for_ever(path: Path, acknowledged: int) -> None:
    """Writers that each raise the value of a pair of resources and tell (pair, value) once acknowledged."""

    async def writer(store: Store, number: int) -> None:
        rng = random.Random(os.getpid() * 100 + number)
        while True:
            pair = rng.randrange(PAIRS)

            def command(tx: Transaction, pair: int = pair) -> int:
                left = tx.get(Thing, "000000000000", "us-east-1", f"left{pair}")
                value = (left.value if left else 0) + 1
                tx.put(thing(f"left{pair}", value))
                tx.put(thing(f"right{pair}", value))
                return value

            value = await store.write(command, f"writer {number}")
            os.write(acknowledged, f"{pair} {value}\n".encode())

    async def main() -> None:
        store = store_at(path)
        await store.open()
        await asyncio.gather(*(writer(store, n) for n in range(WRITERS)))

    asyncio.run(main())


async def read(path: Path) -> dict[str, int]:
    store = store_at(path)
    await store.open()
    values = {t.id: t.value for t in store.view.all(Thing)}
    await store.close()
    return values


def main() -> int:
    directory, rounds, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    path = directory / "store.db"
    rng = random.Random(seed)
    promised: dict[int, int] = {}
    acknowledged_writes = 0
    for round_number in range(rounds):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            write_for_ever(path, writer)
            os._exit(1)
        os.close(writer)
        time.sleep(rng.uniform(0.005, 0.06))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reader, "rb") as stream:
            lines = stream.read().decode().splitlines()
        for line in lines:
            pair, value = map(int, line.split())
            promised[pair] = max(promised.get(pair, 0), value)
        acknowledged_writes += len(lines)
        found = asyncio.run(read(path))
        for pair, value in promised.items():
            left, right = found.get(f"left{pair}", 0), found.get(f"right{pair}", 0)
            if left < value:
                print(json.dumps({"round": round_number, "error": f"pair {pair}: acknowledged {value}, found {left}"}))
                return 1
            if left != right:
                print(json.dumps({"round": round_number, "error": f"pair {pair} is half written: {left} and {right}"}))
                return 1
    print(json.dumps({"rounds": rounds, "acknowledged": acknowledged_writes}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
