"""Metrics Insights: the grammar, and what each clause does to the series."""

from __future__ import annotations

from typing import Any

import pytest

from elba.cloudwatch import operations as api
from elba.cloudwatch.expressions.parser import ExpressionError
from elba.cloudwatch.insights import parse_insights
from tests.unit.cloudwatch.bench import Bench
from tests.unit.cloudwatch.test_metrics_api import data, refused

FLEET = [
    ({"Host": "x", "Zone": "a"}, (1.0, 2.0)),
    ({"Host": "y", "Zone": "a"}, (5.0,)),
    ({"Host": "z", "Zone": "b"}, (3.0, 3.0, 3.0)),
    ({"Host": "x"}, (10.0,)),
    ({}, (100.0,)),
]


@pytest.fixture
def fleet(bench: Bench) -> Bench:
    for dims, values in FLEET:
        bench.put(*values, name="load", namespace="My/App", dims=dims)
    bench.put(7.0, name="load", namespace="Other", dims={"Host": "x", "Zone": "a"})
    return bench


APP = 'FROM "My/App"'
BOTH = 'FROM SCHEMA("My/App", Zone, Host)'


@pytest.mark.parametrize(
    ("query", "series"),
    [
        (f"SELECT SUM(load) {APP}", [("load", 127.0)]),
        (f"SELECT COUNT(load) {APP}", [("load", 8.0)]),
        (f"SELECT MAX(load) {APP}", [("load", 100.0)]),
        (f"SELECT MIN(load) {APP}", [("load", 1.0)]),
        (f"SELECT AVG(load) {BOTH}", [("load", 17 / 6)]),
        ('select sum("load") from schema("My/App")', [("load", 100.0)]),
        ('SELECT SUM(load) FROM SCHEMA("My/App", Host)', [("load", 10.0)]),
        ('SELECT SUM(load) FROM SCHEMA("My/App", Zone)', []),
        (f"SELECT SUM(load) {APP} WHERE Zone = 'a'", [("load", 8.0)]),
        (f"SELECT SUM(load) {APP} WHERE Zone != 'a'", [("load", 9.0)]),
        (f"SELECT SUM(load) {APP} WHERE Host = 'x' AND Zone = 'a'", [("load", 3.0)]),
        (f"SELECT SUM(load) {APP} WHERE Host = 'x' and Host != 'x'", []),
        (f"SELECT SUM(load) {APP} GROUP BY Zone", [("a", 8.0), ("b", 9.0)]),
        (f"SELECT MAX(load) {APP} GROUP BY Zone, Host", [("a x", 2.0), ("a y", 5.0), ("b z", 3.0)]),
        (f"SELECT MAX(load) {APP} GROUP BY Host ORDER BY MAX()", [("z", 3.0), ("y", 5.0), ("x", 10.0)]),
        (f"SELECT MAX(load) {BOTH} GROUP BY Host ORDER BY MAX() ASC", [("x", 2.0), ("z", 3.0), ("y", 5.0)]),
        (f"SELECT MAX(load) {BOTH} GROUP BY Host ORDER BY SUM() DESC LIMIT 2", [("y", 5.0), ("z", 3.0)]),
        (f"SELECT MAX(load) {APP} WHERE Host = 'nobody' GROUP BY Host", []),
        ("SELECT SUM(load) FROM Other", [("load", 7.0)]),
        ('SELECT SUM("Load") FROM Other', []),
    ],
)
def test_clauses(fleet: Bench, query: str, series: list[tuple[str, float]]) -> None:
    order = "ORDER BY" in query
    answer = [(label, value) for label, value in found_or_empty(fleet, query)]
    assert (answer if order else sorted(answer)) == [(label, pytest.approx(value)) for label, value in series]


def found_or_empty(bench: Bench, query: str) -> list[tuple[str, float]]:
    results = data(bench, {"id": "q", "expression": query, "period": 60})
    return [(r["label"], r["values"][0]) for r in results if r["values"]]


def test_values_of_groups_follow_the_period(bench: Bench) -> None:
    for value in (1.0, 2.0, 4.0):
        bench.put(value, name="load", dims={"Host": "x"})
        bench.advance(60)
    query = {"id": "q", "expression": "SELECT SUM(load) FROM N GROUP BY Host"}
    (minutes,) = data(bench, query | {"period": 60})
    (hour,) = data(bench, query | {"period": 3600}, start_time=bench.now - 3600)
    assert (minutes["values"], sum(hour["values"])) == ([1.0, 2.0, 4.0], 7.0)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT AVG load FROM n",
        "SELECT AVG() FROM n",
        "SELECT MEDIAN(load) FROM n",
        "SELECT AVG('load') FROM n",
        "SELECT AVG(load) FROM My/App",
        "SELECT AVG(load) FROM 'n'",
        "SELECT AVG(load) FROM SCHEMA()",
        "SELECT AVG(load) FROM SCHEMA(n, )",
        'SELECT AVG(load) FROM n WHERE Host = "x"',
        "SELECT AVG(load) FROM n WHERE Host = x",
        "SELECT AVG(load) FROM n WHERE Host > 'x'",
        "SELECT AVG(load) FROM n WHERE Host = 'x' OR Host = 'y'",
        "SELECT AVG(load) FROM n WHERE Host = 'x' AND",
        "SELECT AVG(load) FROM n GROUP Host",
        "SELECT AVG(load) FROM n GROUP BY",
        "SELECT AVG(load) FROM n ORDER BY load",
        "SELECT AVG(load) FROM n ORDER BY AVG(load)",
        "SELECT AVG(load) FROM n LIMIT 501",
        "SELECT AVG(load) FROM n LIMIT -1",
        "SELECT AVG(load) FROM n LIMIT 1 GROUP BY Host",
        "SELECT AVG(load) FROM n extra",
        "SELECT AVG(a), AVG(b) FROM n",
    ],
)
def test_queries_that_are_none(bench: Bench, query: str) -> None:
    with pytest.raises(ExpressionError):
        parse_insights(query)
    times: dict[str, Any] = {"start_time": bench.now - 60, "end_time": bench.now}
    queries = [{"id": "q", "expression": query, "period": 60}]
    error = refused(bench, api.get_metric_data, metric_data_queries=queries, **times)
    assert error.code == "ValidationError" and "Error in expression 'q'" in error.message
