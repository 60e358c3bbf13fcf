"""kill -9 at any moment costs at most the last second of metrics, and never half a record."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from elba.clock import RealClock
from elba.cloudwatch.series import SeriesEngine

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
LOST_SECONDS_MOST = 1.0
"""The promise: the flush interval of half a second, and the write itself."""


def put_before_the_kill(path: Path, after: float) -> list[tuple[int, float]]:
    """(datapoints put so far, when), of a writer killed `after` seconds into its life."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.cloudwatch.writer", str(path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(after)
    killed = time.monotonic()
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read()
    process.stdout.close()
    process.wait()
    lines = [line.split() for line in (first + rest).splitlines()]
    return [(int(number), float(when) - killed) for number, when in (line for line in lines if len(line) == 2)]


def stored(path: Path) -> tuple[int, float]:
    async def read() -> tuple[int, float]:
        engine = SeriesEngine(RealClock(), path)
        await engine.open()
        metric = engine.find("1", "r", "N", "m", ())
        buckets = [] if metric is None else metric.series["None"].buckets(0, time.time() + 60, 3600)
        await engine.close()
        return int(sum(b.count for b in buckets)), sum(b.total for b in buckets)

    return asyncio.run(read())


def test_kill_loses_at_most_the_last_second(tmp_path: Path) -> None:
    chance = random.Random(int(os.environ.get("ELBA_TEST_SEED", "1")))
    for _ in range(4):
        progress = put_before_the_kill(tmp_path, chance.uniform(0.3, 2.6))
        count, total = stored(tmp_path)
        assert count % 10 == 0, "a batch is there or it is not"
        assert total == count * (count - 1) / 2, "every datapoint once, in order, none made up"
        old_enough = [number for number, when in progress if when < -LOST_SECONDS_MOST]
        assert count >= max(old_enough, default=0)
        assert count <= progress[-1][0] + 10
    assert count > 0
