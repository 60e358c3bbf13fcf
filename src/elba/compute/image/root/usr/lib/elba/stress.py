"""Keeps CPUs busy: `elba-stress --cpu N [--seconds S]`, until then or until `elba-stress stop`."""

from __future__ import annotations

import os
import signal
import sys
import time

NOTES = os.path.join(os.environ.get("ELBA_ROOT", "."), "run", "elba-stress")


def burn(until: float) -> None:
    while time.monotonic() < until:
        for _ in range(100_000):
            pass


def stop() -> None:
    for name in os.listdir(NOTES) if os.path.isdir(NOTES) else []:
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                if b"stress.py" in file.read():
                    os.kill(int(name), signal.SIGTERM)
        except (OSError, ValueError):
            pass
        os.unlink(os.path.join(NOTES, name))


def run(workers: int, seconds: float) -> None:
    os.makedirs(NOTES, exist_ok=True)
    note = os.path.join(NOTES, str(os.getpid()))
    with open(note, "w"):
        pass
    until = time.monotonic() + seconds
    children = []
    for _ in range(workers):
        pid = os.fork()
        if pid == 0:
            burn(until)
            os._exit(0)
        children.append(pid)

    def end(*_: object) -> None:
        for child in children:
            os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    for child in children:
        os.waitpid(child, 0)
    if os.path.exists(note):
        os.unlink(note)


def main(words: list[str]) -> int:
    if words == ["stop"]:
        stop()
        return 0
    options = {"--cpu": 1.0, "--seconds": float("inf")}
    while words:
        name, _, value = words.pop(0).partition("=")
        if name not in options or not (value or words):
            print("usage: elba-stress --cpu N [--seconds S] | elba-stress stop", file=sys.stderr)
            return 2
        options[name] = float(value or words.pop(0))
    run(int(options["--cpu"]), options["--seconds"])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
