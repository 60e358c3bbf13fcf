"""CloudWatch's own cost: ingest, memory, queries, the alarms' pass, the journal. Prints one line for each number.

    PYTHONPATH=src python benchmarks/cloudwatch/metrics.py

No peers: what it is to be held against are the targets at the right.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import psutil

from elba.call import Call
from elba.clock import RealClock
from elba.cloudwatch.commands import put_metric_alarm
from elba.cloudwatch.paging import encode_token
from elba.cloudwatch.queries.data import get_metric_data
from elba.cloudwatch.queries.metrics import get_metric_statistics, list_metrics
from elba.cloudwatch.reconcilers import AlarmEvaluator
from elba.cloudwatch.resources import Alarm
from elba.cloudwatch.series import SeriesEngine
from elba.compute.interface import Provider
from elba.dataplane.interface import Nodes
from elba.datapoints import Datapoint
from elba.ids import IdSource
from elba.parts import Parts
from elba.store.interface import Store, Transaction
from elba.store.memory import MemoryEngine

ACCOUNT, REGION = "000000000000", "us-east-1"
chance = random.Random(1)


def show(what: str, number: str, target: str = "") -> None:
    print(f"{what:<62} {number:>18}   {target}")


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def memory() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def point(metric: int, at: float, values: tuple[float, ...]) -> Datapoint:
    return Datapoint(
        account=ACCOUNT,
        region=REGION,
        namespace="AWS/ApplicationELB",
        metric_name="TargetResponseTime",
        dimensions=(("LoadBalancer", f"app/web/{metric:016x}"),),
        timestamp=at,
        unit="Seconds",
        values=values,
    )


def latency(call: Callable[[], object], times: int = 50) -> float:
    """Median milliseconds."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


async def ingest() -> None:
    now = time.time()
    for what, values in (("one value", 1), ("20 different values", 20)):
        points = [
            point(i % 1000, now - i // 1000 * 60, tuple(chance.lognormvariate(-3, 1) for _ in range(values)))
            for i in range(100_000 if values == 1 else 20_000)
        ]
        with tempfile.TemporaryDirectory() as directory:
            engine = SeriesEngine(RealClock(), Path(directory))
            await engine.open()
            began = cpu()
            for i in range(0, len(points), 1000):
                engine.put(points[i : i + 1000])
            put = cpu() - began
            await engine.flush()
            both = cpu() - began
            size = directory_bytes(directory)
            await engine.close()
            show(f"ingest, {what}", f"{len(points) / put:,.0f}/CPU s", "278/s is a million an hour")
            show("  with the journal", f"{len(points) / both:,.0f}/CPU s")
            show("  journal", f"{size / len(points):.1f} B/point")
            again = SeriesEngine(RealClock(), Path(directory))
            began = time.perf_counter()
            await again.open()
            show("  replay at start", f"{len(points) / (time.perf_counter() - began):,.0f}/s")
            await again.close()


def bulk() -> SeriesEngine:
    """A million stored minutes: 1000 metrics of 1000 minutes."""
    engine = SeriesEngine(RealClock())
    now = time.time()
    before = memory()
    for minute in range(1000):
        engine.put([point(metric, now - 60 * (999 - minute), (chance.random(),)) for metric in range(1000)])
    show("memory of a million random one-value minutes", f"{(memory() - before) / 1e6:,.0f} MB")
    return engine


def small() -> None:
    """Run first: freed memory that is used again would not show."""
    now = time.time()
    engine = SeriesEngine(RealClock())
    before = memory()
    for minute in range(2000):
        for metric in range(10):
            values = tuple(chance.lognormvariate(-3, 1) for _ in range(150))
            at = now - 60 * (1999 - minute)
            engine.put([point(metric, at, values), point(metric, at, tuple(v * 1.1 for v in values))])
    show("memory of a minute with 300 latencies", f"{(memory() - before) / 20_000:,.0f} B")
    other = SeriesEngine(RealClock())
    before = memory()
    for minute in range(10_000):
        at = now - 60 * (9_999 - minute)
        other.put([point(metric, at, (float(minute // 50 % 20),)) for metric in range(100)])
    show("memory of a million one-value minutes that change now and then", f"{(memory() - before) / 1e6:,.0f} MB")


def directory_bytes(directory: str) -> int:
    return sum(file.stat().st_size for file in Path(directory).iterdir())


def queries(engine: SeriesEngine) -> None:
    now = time.time()
    call = Call(ACCOUNT, REGION, now, IdSource(1))
    store = Store(MemoryEngine(), time.time)
    one = {
        "namespace": "AWS/ApplicationELB",
        "metric_name": "TargetResponseTime",
        "dimensions": [{"name": "LoadBalancer", "value": f"app/web/{7:016x}"}],
    }
    hour = {**one, "start_time": now - 3600, "end_time": now, "period": 60, "statistics": ["Average"]}
    show(
        "GetMetricStatistics, an hour of minutes",
        f"{latency(lambda: get_metric_statistics(engine, call, hour)):.2f} ms",
    )
    day = hour | {"start_time": now - 60_000, "period": 300}
    show(
        "GetMetricStatistics, 1000 minutes by 300 s",
        f"{latency(lambda: get_metric_statistics(engine, call, day)):.2f} ms",
    )
    stat = {"metric_stat": {"metric": one, "period": 60, "stat": "p99"}}
    math = {
        "metric_data_queries": [
            {"id": "m1", **stat, "return_data": False},
            {"id": "m2", **stat, "return_data": False},
            {"id": "e", "expression": "100*m1/(m1+FILL(m2,0))"},
        ],
        "start_time": now - 3600,
        "end_time": now,
    }
    show(
        "GetMetricData, an expression over an hour",
        f"{latency(lambda: get_metric_data(engine, store.view, call, math)):.2f} ms",
    )
    search = {
        "metric_data_queries": [
            {"id": "s", "expression": "SUM(SEARCH('{AWS/ApplicationELB,LoadBalancer} TargetResponseTime', 'Sum', 60))"}
        ],
        "start_time": now - 3600,
        "end_time": now,
    }
    show(
        "GetMetricData, SUM(SEARCH) of 500 metrics",
        f"{latency(lambda: get_metric_data(engine, store.view, call, search), 5):.0f} ms",
    )
    show("ListMetrics, a page of 500", f"{latency(lambda: list_metrics(engine, call, {})):.2f} ms")


ONE = {
    "namespace": "AWS/ApplicationELB",
    "metric_name": "TargetResponseTime",
    "dimensions": [{"name": "LoadBalancer", "value": f"app/web/{7:016x}"}],
}
FIND_ONE = f"SEARCH('{{AWS/ApplicationELB,LoadBalancer}} \"app/web/{7:016x}\"', 'Sum', 60)"


def more_metrics(metrics: int) -> None:
    now = time.time()
    call = Call(ACCOUNT, REGION, now, IdSource(1))
    store = Store(MemoryEngine(), time.time)
    times = {"start_time": now - 3600, "end_time": now, "period": 60}
    engine = SeriesEngine(RealClock())
    before, began = memory(), cpu()
    for minute in range(60):
        engine.put([point(metric, now - 60 * (59 - minute), (chance.random(),)) for metric in range(metrics)])
    used = cpu() - began
    show(f"{metrics:,} metrics, an hour each: memory", f"{(memory() - before) / 1e6:,.0f} MB")
    show("  ingest, making the points included", f"{60 * metrics / used:,.0f}/CPU s")
    hour = {**ONE, **times, "statistics": ["Average"]}
    took = latency(partial(get_metric_statistics, engine, call, hour))
    show("  GetMetricStatistics, an hour of minutes", f"{took:.2f} ms")
    last = {"next_token": encode_token(metrics - 500)}
    show("  ListMetrics, the last page", f"{latency(partial(list_metrics, engine, call, last), 10):.1f} ms")
    search = {**times, "metric_data_queries": [{"id": "s", "expression": FIND_ONE}]}
    took = latency(partial(get_metric_data, engine, store.view, call, search), 10)
    show("  GetMetricData, SEARCH that finds one", f"{took:.1f} ms")


def longer_history(minutes: int) -> None:
    now = time.time()
    call = Call(ACCOUNT, REGION, now, IdSource(1))
    engine = SeriesEngine(RealClock())
    before = memory()
    for minute in range(minutes):
        at = now - 60 * (minutes - 1 - minute)
        engine.put([point(metric, at, (chance.random(),)) for metric in range(100)])
    stored = 100 * minutes / 1e6
    show(f"100 metrics of {minutes:,} minutes: memory", f"{(memory() - before) / 1e6 / stored:,.0f} MB/million")
    day = {**ONE, "start_time": now - 86400, "end_time": now, "period": 300, "statistics": ["Average"]}
    took = latency(partial(get_metric_statistics, engine, call, day), 20)
    show("  GetMetricStatistics, a day by 300 s", f"{took:.2f} ms")


def growth() -> None:
    """The same with more metrics, and with longer histories; each in a process of its own, for memory's sake."""
    work: list[tuple[Callable[[int], None], int]] = [(more_metrics, n) for n in (1_000, 10_000, 50_000)]
    work += [(longer_history, n) for n in (1_000, 5_000, 20_000)]
    for measure, size in work:
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(size,))
        process.start()
        process.join()


async def alarms(engine: SeriesEngine) -> None:
    clock = RealClock()
    store = Store(MemoryEngine(), clock.now)
    await store.open()
    ids = IdSource(1)
    call = Call(ACCOUNT, REGION, clock.now(), ids)

    rule = {"evaluation_periods": 3, "threshold": 2.0, "comparison_operator": "GreaterThanThreshold"}

    def metric(i: int) -> dict[str, Any]:
        return {
            "namespace": "AWS/ApplicationELB",
            "metric_name": "TargetResponseTime",
            "dimensions": [{"name": "LoadBalancer", "value": f"app/web/{i % 1000:016x}"}],
        }

    def put(tx: Transaction, i: int, kind: str) -> None:
        if kind == "math":
            stat = {"metric": metric(i), "period": 60, "stat": "Sum"}
            other = {"metric": metric(i + 1), "period": 60, "stat": "Sum"}
            queries = [
                {"id": "m1", "metric_stat": stat, "return_data": False},
                {"id": "m2", "metric_stat": other, "return_data": False},
                {"id": "e", "expression": "100 * m1 / (m1 + m2 + 1000)"},
            ]
            put_metric_alarm(tx, call, {"alarm_name": f"{kind}{i}", "metrics": queries, **rule})
            return
        named = {"statistic": "Average"} if kind == "plain" else {"extended_statistic": "p99"}
        put_metric_alarm(tx, call, {"alarm_name": f"{kind}{i}", "period": 60, **metric(i), **named, **rule})

    parts = Parts(
        store=store,
        clock=clock,
        ids=ids,
        provider=cast("Provider", None),
        nodes=cast("Nodes", None),
        metrics=engine,
    )
    evaluator = AlarmEvaluator(parts)
    end = clock.now() // 60 * 60
    for kind, count in (("plain", 1_000), ("plain", 10_000), ("percentile", 1_000), ("math", 1_000)):
        for i in range(count):
            await store.write(partial(put, i=i, kind=kind), "benchmark")
        for what in ("all change to OK", "nothing changes"):
            began, wall = cpu(), time.perf_counter()
            await evaluator.evaluate(end)
            used = cpu() - began
            name = f"{count:,} {kind} alarms' pass, {what}"
            show(name, f"{used * 1000:,.0f} ms CPU", f"{used / 60:.2%} of a core at one a minute")
            show("  wall", f"{(time.perf_counter() - wall) * 1000:,.0f} ms")
        states = {alarm.state_value for alarm in store.view.all(Alarm)}
        assert states == {"OK"}, states

        def clear(tx: Transaction) -> None:
            for alarm in tx.all(Alarm):
                tx.delete(alarm)

        await store.write(clear, "benchmark")
    await store.close()


def main() -> None:
    small()
    engine = bulk()
    asyncio.run(ingest())
    queries(engine)
    asyncio.run(alarms(engine))
    del engine
    growth()


if __name__ == "__main__":
    main()
