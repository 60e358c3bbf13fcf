"""PutMetricData, ListMetrics, GetMetricStatistics, GetMetricData."""

from __future__ import annotations

from typing import Any

import pytest

from elba.cloudwatch import operations as api
from elba.errors import ApiError
from tests.unit.cloudwatch.bench import ACCOUNT, REGION, Bench

HOUR, DAY = 3600, 86400


def refused(bench: Bench, operation: Any, **request: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        bench.run(operation, **request)
    return caught.value


def datum(**more: Any) -> dict[str, Any]:
    return {"metric_name": "m"} | more


def statistics(bench: Bench, **more: Any) -> list[dict[str, Any]]:
    request = {
        "namespace": "N",
        "metric_name": "m",
        "start_time": bench.now - 600,
        "end_time": bench.now + 600,
        "period": 60,
        "statistics": ["SampleCount", "Sum", "Average", "Minimum", "Maximum"],
    } | more
    answer = bench.run(api.get_metric_statistics, **request)
    points: list[dict[str, Any]] = answer["datapoints"]
    return points


def data(bench: Bench, *queries: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    request = {"start_time": bench.now - 600, "end_time": bench.now + 60, "scan_by": "TimestampAscending"} | more
    answer = bench.run(api.get_metric_data, metric_data_queries=list(queries), **request)
    results: list[dict[str, Any]] = answer["metric_data_results"]
    return results


def stat(id_: str, name: str = "m", stat_: str = "Average", period: int = 60, **more: Any) -> dict[str, Any]:
    return {
        "id": id_,
        "metric_stat": {"metric": {"namespace": "N", "metric_name": name}, "period": period, "stat": stat_},
    } | more


def test_statistic_values_are_read_back_and_have_no_percentile(bench: Bench) -> None:
    values = {"sample_count": 4.0, "sum": 20.0, "minimum": 2.0, "maximum": 8.0}
    bench.run(api.put_metric_data, namespace="N", metric_data=[datum(statistic_values=values, unit="Seconds")])
    assert statistics(bench) == [
        {
            "timestamp": bench.now,
            "unit": "Seconds",
            "sample_count": 4,
            "sum": 20,
            "average": 5,
            "minimum": 2,
            "maximum": 8,
        }
    ]
    assert statistics(bench, statistics=None, extended_statistics=["p50"]) == []


def test_values_with_counts(bench: Bench) -> None:
    bench.run(api.put_metric_data, namespace="N", metric_data=[datum(values=[1.0, 2.0, 9.0], counts=[5.0, 4.0, 1.0])])
    (point,) = statistics(bench, statistics=None, extended_statistics=["p50", "p100", "TC(1:2)"])
    assert point["extended_statistics"] == {"p50": 1.0, "p100": 9.0, "TC(1:2)": 4.0}


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (datum(value=1.0, timestamp=3 * HOUR), "InvalidParameterValue"),
        (datum(value=1.0, timestamp=-15 * DAY), "InvalidParameterValue"),
        (datum(value=float("nan")), "InvalidParameterValue"),
        (datum(value=float("inf")), "InvalidParameterValue"),
        (datum(value=2.0**361), "InvalidParameterValue"),
        (datum(), "InvalidParameterCombination"),
        (datum(value=1.0, values=[1.0]), "InvalidParameterCombination"),
        (
            datum(value=1.0, statistic_values={"sample_count": 1.0, "sum": 1.0, "minimum": 1.0, "maximum": 1.0}),
            "InvalidParameterCombination",
        ),
        (datum(statistic_values={"sample_count": 1.0, "sum": 1.0, "minimum": 1.0}), "MissingParameter"),
        (datum(values=[1.0, 2.0], counts=[1.0]), "InvalidParameterValue"),
        (datum(values=[1.0] * 151), "InvalidParameterValue"),
        (datum(value=1.0, unit="Furlongs"), "InvalidParameterValue"),
        (datum(value=1.0, storage_resolution=30), "InvalidParameterValue"),
        (
            datum(value=1.0, dimensions=[{"name": "a", "value": "1"}, {"name": "a", "value": "2"}]),
            "InvalidParameterValue",
        ),
        (datum(value=1.0, dimensions=[{"name": ":a", "value": "1"}]), "InvalidParameterValue"),
        (datum(value=1.0, dimensions=[{"name": "a", "value": "é"}]), "InvalidParameterValue"),
        (
            datum(value=1.0, dimensions=[{"name": f"d{i}", "value": "1"} for i in range(31)]),
            "InvalidParameterValue",
        ),
    ],
)
def test_refused_data_leaves_nothing_behind(bench: Bench, entry: dict[str, Any], code: str) -> None:
    if "timestamp" in entry:
        entry = entry | {"timestamp": bench.now + entry["timestamp"]}
    request = {"namespace": "N", "metric_data": [datum(value=1.0), entry]}
    assert refused(bench, api.put_metric_data, **request).code == code
    assert bench.run(api.list_metrics)["metrics"] == []


def test_too_many_metrics_and_reserved_namespaces(bench: Bench) -> None:
    many = [datum(value=1.0)] * 1001
    assert refused(bench, api.put_metric_data, namespace="N", metric_data=many).code == "InvalidParameterValue"
    for namespace in ("AWS/EC2", ":x"):
        error = refused(bench, api.put_metric_data, namespace=namespace, metric_data=[datum(value=1.0)])
        assert (error.code, error.status) == ("InvalidParameterValue", 400)
    assert "AWS/EC2" in refused(bench, api.put_metric_data, namespace="AWS/EC2", metric_data=[datum(value=1.0)]).message


def test_edges_of_time_are_accepted(bench: Bench) -> None:
    bench.run(
        api.put_metric_data,
        namespace="N",
        metric_data=[
            datum(value=1.0, timestamp=bench.now + 2 * HOUR),
            datum(value=2.0, timestamp=bench.now - 14 * DAY + 60),
        ],
    )
    assert len(statistics(bench, start_time=bench.now - 14 * DAY, end_time=bench.now + 3 * HOUR, period=DAY)) == 2


def test_units_are_answered_apart_and_not_converted(bench: Bench) -> None:
    bench.put(1.0, unit="Seconds")
    bench.put(5.0, unit="Milliseconds")
    assert {(p["unit"], p["sum"]) for p in statistics(bench)} == {("Seconds", 1.0), ("Milliseconds", 5.0)}
    assert [p["sum"] for p in statistics(bench, unit="Seconds")] == [1.0]
    assert statistics(bench, unit="Count") == []


def test_list_metrics_filters(bench: Bench) -> None:
    bench.put(1.0, dims={"a": "1", "b": "2"})
    bench.put(1.0, dims={"a": "3"})
    bench.put(1.0, name="other")

    def found(**request: Any) -> list[tuple[str, dict[str, str]]]:
        metrics = bench.run(api.list_metrics, **request)["metrics"]
        return [(m["metric_name"], {d["name"]: d["value"] for d in m["dimensions"]}) for m in metrics]

    assert found() == [("m", {"a": "1", "b": "2"}), ("m", {"a": "3"}), ("other", {})]
    assert found(dimensions=[{"name": "a"}]) == [("m", {"a": "1", "b": "2"}), ("m", {"a": "3"})]
    assert found(dimensions=[{"name": "a", "value": "3"}]) == [("m", {"a": "3"})]
    assert found(metric_name="other", namespace="N") == [("other", {})]
    assert found(namespace="X") == []
    bench.advance(4 * HOUR)
    assert found(recently_active="PT3H") == []
    assert len(found()) == 3
    bench.advance(15 * DAY)
    assert found() == []


def test_list_metrics_pages(bench: Bench) -> None:
    for i in range(501):
        bench.put(1.0, name=f"m{i}")
    first = bench.run(api.list_metrics)
    second = bench.run(api.list_metrics, next_token=first["next_token"])
    assert (len(first["metrics"]), len(second["metrics"]), second["next_token"]) == (500, 1, None)
    error = refused(bench, api.list_metrics, next_token="?")
    assert (error.code, error.message) == ("InvalidParameterValue", "Request parameter NextToken is invalid")


def test_get_metric_statistics_refuses(bench: Bench) -> None:
    base = {"namespace": "N", "metric_name": "m", "start_time": bench.now - 60, "end_time": bench.now, "period": 60}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"statistics": ["Sum"], "extended_statistics": ["p50"]}, "InvalidParameterCombination"),
        ({}, "InvalidParameterCombination"),
        ({"statistics": ["Sum"], "start_time": bench.now}, "InvalidParameterValue"),
        ({"statistics": ["Sum"], "period": 45}, "InvalidParameterValue"),
        ({"statistics": ["Sum"], "start_time": bench.now - 1441 * 60}, "InvalidParameterCombination"),
        ({"extended_statistics": ["p999"]}, "InvalidParameterValue"),
    ]
    for change, code in cases:
        assert refused(bench, api.get_metric_statistics, **(base | change)).code == code, change
    long = refused(
        bench, api.get_metric_statistics, **(base | {"statistics": ["Sum"], "start_time": bench.now - 90000})
    )
    assert "You have requested up to 1500 datapoints, which exceeds the limit of 1440" in long.message


def test_too_short_a_period_for_old_data_finds_none(bench: Bench) -> None:
    """ "… or no data points in that time range is returned." (GetMetricStatistics, Period)"""
    bench.put(1.0, resolution=1)
    bench.advance(4 * HOUR)
    bench.put(2.0, resolution=1)
    start = bench.now - 4 * HOUR
    assert [p["sum"] for p in statistics(bench, start_time=start, period=30)] == [2.0]
    assert [p["sum"] for p in statistics(bench, start_time=start, period=60)] == [1.0, 2.0]


def test_unknown_metric_is_empty(bench: Bench) -> None:
    assert statistics(bench) == []
    assert data(bench, stat("a"))[0] == {
        "id": "a",
        "label": "m",
        "timestamps": [],
        "values": [],
        "status_code": "Complete",
        "messages": None,
    }


def test_get_metric_data_orders_and_hides(bench: Bench) -> None:
    for i in range(3):
        bench.put(float(i))
        bench.advance(60)
    (ascending,) = data(bench, stat("a"), stat("b", return_data=False))
    (descending,) = data(bench, stat("a"), scan_by="TimestampDescending")
    assert (ascending["values"], descending["values"]) == ([0, 1, 2], [2, 1, 0])
    assert ascending["timestamps"] == descending["timestamps"][::-1]


def test_math_with_a_zero_divisor_drops_the_point(bench: Bench) -> None:
    for above, below in ((6.0, 3.0), (1.0, 0.0), (8.0, 4.0)):
        bench.put(above, name="a")
        bench.put(below, name="b")
        bench.advance(60)
    (result,) = data(
        bench,
        stat("m1", "a", return_data=False),
        stat("m2", "b", return_data=False),
        {"id": "e1", "expression": "m1/m2", "label": "ratio"},
    )
    assert (result["label"], result["values"]) == ("ratio", [2.0, 2.0])


def test_finer_metrics_are_brought_to_the_longest_period(bench: Bench) -> None:
    bench.advance(300)
    for i in range(5):
        bench.put(float(i), name="fine")
        bench.put(10.0, name="coarse")
        bench.advance(60)
    (result,) = data(
        bench,
        stat("f", "fine", "Sum", 60, return_data=False),
        stat("c", "coarse", "Sum", 300, return_data=False),
        {"id": "e", "expression": "f + c"},
    )
    assert result["values"] == [60.0]


@pytest.mark.parametrize(
    ("queries", "part"),
    [
        ([stat("a"), stat("a")], "not unique"),
        ([stat("A")], "expected pattern"),
        ([{"id": "a"}], "MetricStat is required"),
        (
            [stat("a", stat_="p101")],
            "The value p101 for parameter MetricDataQueries.member.1.MetricStat.Stat is not a valid statistic.\n",
        ),
        ([{"id": "a", "expression": "1 +"}], "Error in expression 'a'"),
        ([{"id": "a", "expression": "b"}], "unknown id 'b'"),
        ([{"id": "a", "expression": "a"}], "refers to itself"),
        ([{"id": "a", "expression": "b"}, {"id": "b", "expression": "a"}], "refers to itself"),
        ([stat("a"), {"id": "b", "expression": "AVG(a)"}], "time series"),
        ([stat("a"), {"id": "b", "expression": "SERVICE_QUOTA(a)"}], "not supported"),
        ([stat("a"), {"id": "b", "expression": "NOPE(a)"}], "Unsupported function"),
    ],
)
def test_get_metric_data_refuses(bench: Bench, queries: list[dict[str, Any]], part: str) -> None:
    bench.put(1.0)
    error = refused(
        bench, api.get_metric_data, metric_data_queries=queries, start_time=bench.now - 60, end_time=bench.now + 60
    )
    assert error.code == "ValidationError"
    assert part in error.message


def test_pages_of_get_metric_data_hold_all_points_once(bench: Bench) -> None:
    for i in range(5):
        bench.put(float(i), name="a")
        bench.put(float(10 + i), name="b")
        bench.advance(60)
    request: dict[str, Any] = {
        "metric_data_queries": [stat("a", "a"), stat("b", "b")],
        "start_time": bench.now - 600,
        "end_time": bench.now,
        "max_datapoints": 3,
        "scan_by": "TimestampAscending",
    }
    seen: dict[str, list[float]] = {"a": [], "b": []}
    token, statuses = None, []
    for _ in range(4):
        answer = bench.run(api.get_metric_data, next_token=token, **request)
        for result in answer["metric_data_results"]:
            seen[result["id"]] += result["values"]
            statuses.append((result["id"], result["status_code"]))
        token = answer["next_token"]
    assert token is None
    assert seen == {"a": [0, 1, 2, 3, 4], "b": [10, 11, 12, 13, 14]}
    assert statuses[0] == ("a", "PartialData")
    assert statuses[-1] == ("b", "Complete")


def test_labels(bench: Bench) -> None:
    bench.put(2.0, dims={"Host": "x"})
    bench.put(4.0, dims={"Host": "y"})

    def on(id_: str, host: str, **more: Any) -> dict[str, Any]:
        query = stat(id_, **more)
        query["metric_stat"]["metric"]["dimensions"] = [{"name": "Host", "value": host}]
        return query

    assert [r["label"] for r in data(bench, on("a", "x"))] == ["m"]
    assert [r["label"] for r in data(bench, on("a", "x"), on("b", "y"))] == ["x", "y"]
    (dynamic,) = data(bench, on("a", "y", label="${PROP('Dim.Host')} ${MAX} of ${LABEL} in ${PROP('Region')}"))
    assert dynamic["label"] == f"y 4 of m in {REGION}"


def test_search_and_insights_through_get_metric_data(bench: Bench) -> None:
    for host, value in (("x", 1.0), ("y", 3.0)):
        bench.put(value, name="RequestCount", dims={"Host": host})
    bench.put(9.0, name="Other", dims={"Host": "x"})
    found = data(bench, {"id": "s", "expression": "SEARCH('{N,Host} request', 'Sum', 60)"})
    assert {(r["label"], *r["values"]) for r in found} == {("x", 1.0), ("y", 3.0)}
    assert {r["id"] for r in found} == {"s"}
    (total,) = data(bench, {"id": "s", "expression": "SUM(SEARCH('{N,Host} RequestCount', 'Sum', 60))"})
    assert total["values"] == [4.0]
    grouped = data(
        bench,
        {
            "id": "q",
            "expression": 'SELECT SUM(RequestCount) FROM SCHEMA("N", Host) GROUP BY Host ORDER BY SUM() DESC LIMIT 1',
            "period": 60,
        },
    )
    assert [(r["label"], r["values"]) for r in grouped] == [("y", [3.0])]


def test_another_account_is_forbidden(bench: Bench) -> None:
    assert data(bench, stat("a", account_id="999999999999"))[0]["status_code"] == "Forbidden"
    assert data(bench, stat("a", account_id=ACCOUNT))[0]["status_code"] == "Complete"


def test_a_day_of_minutes_is_within_the_limit_at_any_second(bench: Bench) -> None:
    bench.advance(30.25)
    bench.put(1.0)
    assert len(statistics(bench, start_time=bench.now - DAY, end_time=bench.now)) == 1
    error = refused(
        bench,
        api.get_metric_statistics,
        namespace="N",
        metric_name="m",
        start_time=bench.now - DAY - 1,
        end_time=bench.now,
        period=60,
        statistics=["Sum"],
    )
    assert error.code == "InvalidParameterCombination" and "1441 datapoints" in error.message


@pytest.mark.parametrize(
    ("insights", "expression", "values"),
    [
        ('SELECT SUM(m) FROM "N"', "q * 2", [12.0]),
        ('SELECT MAX(m) FROM "N" GROUP BY host', "MIN(q)", [1.0]),
        ('SELECT MAX(x) FROM "N"', "FILL(q, 7) * m", [63.0]),
    ],
)
def test_an_insights_query_feeds_an_expression(
    bench: Bench, insights: str, expression: str, values: list[float]
) -> None:
    for value, host in ((1.0, "a"), (5.0, "b")):
        bench.put(value, dims={"host": host})
    bench.put(9.0, name="plain")
    query = {"id": "q", "expression": insights, "period": 60, "return_data": False}
    metric = stat("m", "plain", return_data=False)
    (result,) = data(bench, query, metric, {"id": "e", "expression": expression}, start_time=bench.now)
    assert result["values"] == values
    with pytest.raises(ApiError) as caught:
        data(bench, query, query | {"id": "r"})
    assert (caught.value.code, caught.value.message) == ("ValidationError", "Maximum number of queries (1) exceeded")


def test_periods_of_queries_have_a_longest(bench: Bench) -> None:
    times = {"start_time": bench.now - 600, "end_time": bench.now}
    assert refused(bench, api.get_metric_data, metric_data_queries=[stat("a", period=86460)], **times).code == (
        "ValidationError"
    )


def test_several_units_without_one_named_give_the_first_and_a_message(bench: Bench) -> None:
    """As recorded from the service: one value, of the first unit in its order, and a message that names all."""
    for value, unit in ((5.0, "Seconds"), (7.0, "Milliseconds"), (9.0, "Count")):
        bench.put(value, unit=unit)
    (result,) = data(bench, stat("m1", stat_="Sum"))
    assert result["values"] == [9.0]
    assert result["messages"] == [
        {"code": "MultipleUnits", "value": "Multiple units returned: '[Count, Milliseconds, Seconds]'"}
    ]
    named = stat("m1", stat_="Sum")
    named["metric_stat"]["unit"] = "Seconds"
    (result,) = data(bench, named)
    assert (result["values"], result["messages"]) == ([5.0], None)


@pytest.mark.parametrize(
    ("pairs", "labels"),
    [
        ([("Sum", 60), ("Minimum", 30)], ["m Sum 60", "m Minimum 30"]),
        ([("Sum", 60), ("Minimum", 60)], ["m Sum", "m Minimum"]),
        ([("Sum", 60), ("Sum", 30)], ["m 60", "m 30"]),
        ([("Sum", 60), ("Sum", 60)], ["m", "m"]),
    ],
)
def test_labels_name_statistic_and_period_where_they_differ(
    bench: Bench, pairs: list[tuple[str, int]], labels: list[str]
) -> None:
    queries = [stat(f"q{i}", stat_=name, period=period) for i, (name, period) in enumerate(pairs)]
    assert [result["label"] for result in data(bench, *queries)] == labels


def test_messages_as_the_service_writes_them(bench: Bench) -> None:
    times = {"start_time": bench.now - 60, "end_time": bench.now}

    def of_data(**more: Any) -> str:
        return refused(bench, api.get_metric_data, **({"metric_data_queries": [stat("a")]} | times | more)).message

    assert of_data(end_time=bench.now - 61) == "The parameter EndTime must be greater than StartTime."
    assert of_data(end_time=bench.now - 60 + 0.9) == "The parameter StartTime must not equal parameter EndTime."
    twice = [stat("a"), stat("a")]
    assert of_data(metric_data_queries=twice) == "The values for parameter id in MetricDataQueries are not unique."

    def of_put(**more: Any) -> str:
        request = {"namespace": "N", "metric_data": [datum(value=1.0) | more]}
        return refused(bench, api.put_metric_data, **request).message

    assert of_put(value=float("nan")) == "The value NaN for parameter MetricData.member.1.Value is invalid."
    assert of_put(value=float("-inf")) == "The value -Infinity for parameter MetricData.member.1.Value is invalid."
    assert of_put(unit="kB").startswith(
        "The parameter MetricData.member.1.Unit must be a value in the set [ Megabits, Terabits, Gigabits, Count, "
    )


def test_values_go_before_a_statistic_set(bench: Bench) -> None:
    """The service takes both together, and no other pair."""
    values = {"sample_count": 4.0, "sum": 20.0, "minimum": 2.0, "maximum": 8.0}
    both = datum(values=[1.0, 2.0], statistic_values=values)
    bench.run(api.put_metric_data, namespace="N", metric_data=[both])
    assert [point["sum"] for point in statistics(bench)] == [3.0]


def test_a_minute_is_found_by_shorter_periods(bench: Bench) -> None:
    for value in (0.0, 2.0, 7.0, 100.0):
        bench.put(value, unit="Seconds")
    (result,) = data(bench, stat("m1", stat_="Minimum", period=30))
    assert (result["values"], result["timestamps"]) == ([0.0], [bench.now])
