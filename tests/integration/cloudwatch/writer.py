"""Puts numbered datapoints as fast as told, and says on stdout, once each is put, when that was. Killed by its test."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from elba.clock import RealClock
from elba.cloudwatch.series import SeriesEngine
from elba.datapoints import Datapoint


async def write(path: Path) -> None:
    engine = SeriesEngine(RealClock(), path)
    await engine.open()
    metric = engine.find("1", "r", "N", "m", ())
    number = 0 if metric is None else int(sum(b.count for b in metric.series["None"].buckets(0, time.time() + 60, 60)))
    while True:
        # Values that sum differently for every prefix, so that no half batch can look whole.
        engine.put(
            [
                Datapoint(
                    account="1",
                    region="r",
                    namespace="N",
                    metric_name="m",
                    timestamp=time.time(),
                    values=(float(number + i),),
                )
                for i in range(10)
            ]
        )
        number += 10
        print(number, time.monotonic(), flush=True)
        await asyncio.sleep(0.005)


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1])))
