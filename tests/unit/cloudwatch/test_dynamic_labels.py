"""Labels with live values, of metrics and of each series that a search or a query finds."""

from __future__ import annotations

from typing import Any

import pytest

from elba.cloudwatch import operations as api
from tests.unit.cloudwatch.bench import ACCOUNT, REGION, Bench
from tests.unit.cloudwatch.test_metrics_api import data, refused, stat


def told(bench: Bench, label: str, **more: Any) -> str:
    query = stat("a", stat_="Maximum", label=label)
    query["metric_stat"]["metric"]["dimensions"] = [{"name": "Host", "value": "x"}]
    (result,) = data(bench, query, start_time=bench.now - 1800, **more)
    return str(result["label"])


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("plain", "plain"),
        ("${LABEL}!", "m!"),
        ("${ MAX } of ${DATAPOINT_COUNT}", "9 of 3"),
        ("${MIN} ${AVG} ${SUM} ${FIRST} ${LAST}", "1 5 15 5 1"),
        ("${FIRST_LAST_RANGE} ${MIN_MAX_RANGE}", "-4 8"),
        ("${FIRST_LAST_TIME_RANGE} ${MIN_MAX_TIME_RANGE}", "20m 10m"),
        ("${MAX_TIME} ${LAST_TIME}", "2025-12-31 23:45:00 2025-12-31 23:55:00"),
        ("${MAX_TIME_RELATIVE} ${FIRST_TIME_RELATIVE}", "15m 25m"),
        ("${PROP('MetricName')}/${PROP(\"Namespace\")}/${PROP('Stat')}/${PROP('Period')}", "m/N/Maximum/60"),
        ("${PROP('Dim.Host')}${PROP('Dim.Other')}${PROP('Nothing')}", "x"),
        ("${PROP('AccountId')} ${PROP('Region')}", f"{ACCOUNT} {REGION}"),
        ("${NOTHING} ${MAX_RANGE} ${AVG_TIME} $MAX {MAX}", "${NOTHING} ${MAX_RANGE} ${AVG_TIME} $MAX {MAX}"),
    ],
)
def test_live_values(bench: Bench, label: str, text: str) -> None:
    for minutes, value in ((25, 5.0), (15, 9.0), (5, 1.0)):
        bench.put(value, dims={"Host": "x"}, timestamp=bench.now - 60 * minutes)
    assert told(bench, label) == text


def test_times_are_those_of_the_zone_asked_for(bench: Bench) -> None:
    bench.put(1.0, dims={"Host": "x"}, timestamp=bench.now - 60)
    assert told(bench, "${LAST_TIME}", label_options={"timezone": "+0130"}) == "2026-01-01 01:29:00"
    assert told(bench, "${LAST_TIME}", label_options={"timezone": "-0800"}) == "2025-12-31 15:59:00"
    times = {"start_time": bench.now - 60, "end_time": bench.now}
    for zone in ("UTC", "+25:00", "+2400", "0130"):
        error = refused(
            bench, api.get_metric_data, metric_data_queries=[stat("a")], label_options={"timezone": zone}, **times
        )
        assert error.code == "ValidationError"


def test_without_data_there_is_nothing_to_tell(bench: Bench) -> None:
    assert told(bench, "${MAX} ${AVG} ${MIN_MAX_RANGE} ${LAST_TIME} ${DATAPOINT_COUNT}") == "-- -- -- -- 0"


@pytest.mark.parametrize(
    ("expression", "label", "labels"),
    [
        ("SEARCH('{N,Host} m', 'Sum', 60)", "${PROP('Dim.Host')}: ${PROP('Stat')} ${MAX}", ["x: Sum 1", "y: Sum 3"]),
        ("SEARCH('{N,Host} m', 'Sum', 60) * 2", "${PROP('Dim.Host')} ${LAST}", ["x 2", "y 6"]),
        ("SEARCH('{N,Host} m', 'Sum', 60)", "all", ["all x", "all y"]),
        ("SEARCH('{N,Host} m', 'Sum', 60)", None, ["x", "y"]),
        ("SEARCH('{N,Host} Host=x', 'Sum', 60)", "only", ["only"]),
        ("SEARCH(':aws.AccountId=LOCAL Host=y', 'Sum', 60)", None, ["m"]),
        (f"SEARCH(':aws.AccountId={ACCOUNT} Host=(x OR y)', 'Sum', 60)", None, ["x", "y"]),
        ("SEARCH(':aws.AccountId=999999999999', 'Sum', 60)", None, []),
        ("SELECT MAX(m) FROM N GROUP BY Host", "${PROP('Dim.Host')} in ${PROP('Namespace')}", ["x in N", "y in N"]),
        ("SELECT SUM(m) FROM N", "total", ["total"]),
    ],
)
def test_of_all_that_is_found(bench: Bench, expression: str, label: str | None, labels: list[str]) -> None:
    for host, value in (("x", 1.0), ("y", 3.0)):
        bench.put(value, dims={"Host": host})
    query = {"id": "e", "expression": expression} | ({} if label is None else {"label": label})
    assert sorted(result["label"] for result in data(bench, query)) == labels


def test_an_expressions_label_goes_before_those_of_its_metrics(bench: Bench) -> None:
    """The user guide's example: "Filled With 0: Errors"."""
    bench.put(2.0, name="e")
    results = data(
        bench,
        stat("m1", "e", label="Errors", return_data=False),
        stat("m2", "r", label="Requests of ${PROP('Namespace')}", return_data=False),
        {"id": "x", "expression": "FILL(METRICS(), 0)", "label": "Filled With 0:"},
    )
    assert [r["label"] for r in results] == ["Filled With 0: Errors", "Filled With 0: Requests of N"]
