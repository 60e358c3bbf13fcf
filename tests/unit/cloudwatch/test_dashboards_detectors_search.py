"""Dashboards, anomaly detection, SEARCH, Metrics Insights, insight rules, the Prometheus text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from elba.cloudwatch import operations as api
from elba.cloudwatch.exposition import expose
from elba.cloudwatch.expressions.parser import ExpressionError
from elba.cloudwatch.insights import parse_insights
from elba.cloudwatch.metric import Metric
from elba.cloudwatch.search import parse_search
from elba.errors import ApiError
from tests.unit.cloudwatch.bench import ACCOUNT, POLICY, REGION, Bench

BODY = '{"widgets": [{"type":"text","x":0,"y":0,"width":6,"height":3, "properties":{"markdown":"# Grüße"}}]}\n'


def test_dashboard_body_comes_back_byte_by_byte(bench: Bench) -> None:
    answer = bench.run(api.put_dashboard, dashboard_name="d", dashboard_body=BODY)
    assert answer == {"dashboard_validation_messages": []}
    assert bench.run(api.get_dashboard, dashboard_name="d") == {
        "dashboard_arn": f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/d",
        "dashboard_body": BODY,
        "dashboard_name": "d",
    }
    (entry,) = bench.run(api.list_dashboards)["dashboard_entries"]
    assert entry["size"] == len(BODY.encode())
    arn = entry["dashboard_arn"]
    bench.run(api.tag_resource, resource_arn=arn, tags=[{"key": "k", "value": "v"}])
    assert bench.run(api.list_tags_for_resource, resource_arn=arn)["tags"] == [{"key": "k", "value": "v"}]


def widget(**changes: Any) -> str:
    one: dict[str, Any] = {"type": "metric", "properties": {"metrics": [["N", "m"]], "region": REGION}} | changes
    return json.dumps({"widgets": [one]})


@pytest.mark.parametrize(
    ("body", "path", "text"),
    [
        ("{}", "", "Should have required property 'widgets'"),
        ('{"widgets": 1}', "/widgets", "Should be array"),
        (widget(type=[]), "/widgets/0/type", "Should be string"),
        (widget(x=24), "/widgets/0/x", "Should be <= 23"),
        (widget(y=-1), "/widgets/0/y", "Should be >= 0"),
        (widget(width=25), "/widgets/0/width", "Should be <= 24"),
        (widget(width=1.5), "/widgets/0/width", "Should be integer"),
        (widget(height=1001), "/widgets/0/height", "Should be <= 1000"),
        (widget(height=0), "/widgets/0/height", "Should be >= 1"),
        (widget(properties=None), "/widgets/0/properties", "Should be object"),
        ('{"widgets": [{"type": "text"}]}', "/widgets/0", "Should have required property 'properties'"),
        (widget(type="text", properties={}), "/widgets/0/properties", "Should have required property 'markdown'"),
        (widget(type="alarm", properties={}), "/widgets/0/properties", "Should have required property 'alarms'"),
        (json.dumps({"widgets": [{"type": "text", "properties": {"markdown": ""}}] * 501}), "/widgets", "Should NOT"),
    ],
)
def test_dashboard_refused(bench: Bench, body: str, path: str, text: str) -> None:
    with pytest.raises(ApiError) as caught:
        bench.run(api.put_dashboard, dashboard_name="d", dashboard_body=body)
    assert caught.value.code == "InvalidParameterInput"
    (found,) = caught.value.fields["dashboard_validation_messages"]
    assert found["data_path"] == path and found["message"].startswith(text)
    assert bench.run(api.list_dashboards)["dashboard_entries"] == []


@pytest.mark.parametrize("body", ["", "{", "[]", "1"])
def test_dashboard_that_is_no_object(bench: Bench, body: str) -> None:
    with pytest.raises(ApiError) as caught:
        bench.run(api.put_dashboard, dashboard_name="d", dashboard_body=body)
    assert (caught.value.code, caught.value.message, caught.value.fields) == (
        "InvalidParameterInput",
        "The field DashboardBody must be a valid JSON object",
        {},
    )


def test_a_widget_of_an_unknown_type_is_kept(bench: Bench) -> None:
    body = widget(type="nonsense", properties={"any": 1})
    assert bench.run(api.put_dashboard, dashboard_name="d", dashboard_body=body)["dashboard_validation_messages"] == []
    assert bench.run(api.get_dashboard, dashboard_name="d")["dashboard_body"] == body


@pytest.mark.parametrize(
    ("properties", "messages"),
    [
        (
            {"view": "timeSeries"},
            [
                ("", "Should have required property 'metrics'"),
                ("", "The metric widget should have specified a region and a data source or an alarm annotation"),
                ("", "Should have required property 'annotations'"),
            ],
        ),
        (
            {"metrics": ["AWS/Lambda", []]},
            [
                ("/metrics/0", "Should be array"),
                (
                    "/metrics/0",
                    'Field "metrics" has to be an array of array of strings, with an optional metricRenderer object '
                    "as last element",
                ),
                ("/metrics/1", "Should NOT have less than 1 items"),
            ],
        ),
        (
            {"metrics": [["N", "m", "TargetGroup", ""], ["N", "m", {"stat": "Sum"}, "a"]]},
            [
                ("/metrics/0/3", 'Invalid metric field type, only "String" type is allowed'),
                ("/metrics/1/2", 'Invalid metric field type, only "String" type is allowed'),
            ],
        ),
        ({"metrics": [["N", "m", "d"]]}, [("/metrics/0", "Should NOT have more than 2 items")]),
        ({"metrics": [["N", "m", "d", {"stat": "Sum"}]]}, [("/metrics/0", "Should NOT have more than 3 items")]),
        ({"metrics": [["N", "m", {"color": "red"}]]}, [("/metrics/0", "Should NOT have more than 2 items")]),
        ({"metrics": [["N", "m", {"color": "#ff0000"}]]}, []),
        ({"metrics": [["N", "m", "d", "v"], [".", "n", ".", "."], ["..."], ["...", "w", {"stat": "Sum"}]]}, []),
        ({"metrics": [[{"expression": "SUM(METRICS())"}], [{"label": "x"}]]}, [("/metrics/1", "Should NOT have less")]),
        (
            {"metrics": [["N", "m"]], "region": None},
            [("", "The metric widget should have specified a region and a data source or an alarm annotation")],
        ),
        ({"annotations": {"alarms": ["arn"]}, "region": None}, []),
        ({"metrics": [["N", "m"]], "period": 45}, [("/period", "Should be multiple of 60")]),
        ({"metrics": [["N", "m"]], "period": 5, "stat": "p99.9"}, []),
        ({"metrics": [["N", "m"]], "stat": "Median"}, [("/stat", "Should match pattern")]),
        (
            {"metrics": [["N", "m"]], "yAxis": {"left": {"min": 2, "max": 1}, "right": {"min": 1}}},
            [("/yAxis/left/min", "Should be <= 1")],
        ),
    ],
)
def test_messages_of_metric_widgets(bench: Bench, properties: dict[str, Any], messages: list[tuple[str, str]]) -> None:
    """Texts and paths as recorded from the service."""
    body = widget(properties={"region": REGION} | properties)
    if not messages:
        bench.run(api.put_dashboard, dashboard_name="d", dashboard_body=body)
        return
    with pytest.raises(ApiError) as caught:
        bench.run(api.put_dashboard, dashboard_name="d", dashboard_body=body)
    found = caught.value.fields["dashboard_validation_messages"]
    paths = [(m["data_path"].removeprefix("/widgets/0/properties"), m["message"]) for m in found]
    assert len(paths) == len(messages)
    assert all(path == p and text.startswith(t) for (path, text), (p, t) in zip(paths, messages, strict=True))
    head, told = caught.value.message.split("\n", 1)
    assert head == f"The dashboard body is invalid, there are {len(messages)} validation errors:"
    assert [m["message"] for m in json.loads(told)] == [m["message"] for m in found]


def test_dashboards_are_deleted_all_or_none(bench: Bench) -> None:
    for name in ("a", "b"):
        bench.run(api.put_dashboard, dashboard_name=name, dashboard_body=BODY)
    for names, code in ((["a", "x"], "DashboardNotFoundError"), ([], "InvalidParameterValue")):
        with pytest.raises(ApiError) as caught:
            bench.run(api.delete_dashboards, dashboard_names=names)
        assert caught.value.code == code
    assert len(bench.run(api.list_dashboards)["dashboard_entries"]) == 2
    bench.run(api.delete_dashboards, dashboard_names=["a"])
    assert [d["dashboard_name"] for d in bench.run(api.list_dashboards, dashboard_name_prefix="b")["dashboard_entries"]]
    with pytest.raises(ApiError) as caught:
        bench.run(api.get_dashboard, dashboard_name="a")
    assert (caught.value.code, caught.value.status) == ("DashboardNotFoundError", 404)
    with pytest.raises(ApiError):
        bench.run(api.put_dashboard, dashboard_name="no spaces", dashboard_body=BODY)


def put_band_alarm(bench: Bench, **more: Any) -> None:
    stat = {"metric": {"namespace": "N", "metric_name": "m"}, "period": 60, "stat": "Average"}
    request: dict[str, Any] = {
        "alarm_name": "band",
        "metrics": [
            {"id": "m1", "metric_stat": stat, "return_data": True},
            {"id": "ad", "expression": "ANOMALY_DETECTION_BAND(m1, 3)", "return_data": True},
        ],
        "evaluation_periods": 1,
        "comparison_operator": "LessThanLowerOrGreaterThanUpperThreshold",
        "threshold_metric_id": "ad",
    } | more
    bench.run(api.put_metric_alarm, **request)


def band_state(bench: Bench) -> str:
    return str(bench.run(api.describe_alarms, alarm_names=["band"])["metric_alarms"][0]["state_value"])


def history(bench: Bench, minutes: int) -> None:
    for i in range(minutes):
        bench.put(100.0 + i % 5, timestamp=bench.now - 60 * (i + 1))


def test_a_band_alarm_waits_for_training_and_then_finds_what_is_unusual(bench: Bench) -> None:
    put_band_alarm(bench)
    bench.put(102.0)
    bench.advance(63)
    assert band_state(bench) == "INSUFFICIENT_DATA"
    history(bench, 120)
    bench.put(102.0)
    bench.advance(61)
    assert band_state(bench) == "OK"
    bench.put(500.0)
    bench.advance(60)
    assert band_state(bench) == "ALARM"
    (alarm,) = bench.run(api.describe_alarms, alarm_names=["band"])["metric_alarms"]
    assert "greater than the upper thresholds" in alarm["state_reason"]
    assert json.loads(alarm["state_reason_data"])["recentUpperThresholds"][0] < 500


@pytest.mark.parametrize(
    "more",
    [
        {"alarm_actions": [POLICY]},
        {"threshold_metric_id": "m1"},
        {"threshold": 1.0},
        {"threshold_metric_id": None},
    ],
)
def test_band_alarm_refused(bench: Bench, more: dict[str, Any]) -> None:
    with pytest.raises(ApiError):
        put_band_alarm(bench, **more)


def test_detectors(bench: Bench) -> None:
    single = {"namespace": "N", "metric_name": "m", "stat": "Average"}
    bench.run(api.put_anomaly_detector, single_metric_anomaly_detector=single)

    def states() -> list[str]:
        found = bench.run(api.describe_anomaly_detectors, namespace="N")["anomaly_detectors"]
        return [d["state_value"] for d in found]

    assert states() == ["PENDING_TRAINING"]
    bench.put(1.0)
    assert states() == ["TRAINED_INSUFFICIENT_DATA"]
    history(bench, 60)
    assert states() == ["TRAINED"]
    excluded = [{"start_time": bench.now - 60, "end_time": bench.now}]
    bench.run(
        api.put_anomaly_detector,
        **single,
        configuration={"excluded_time_ranges": excluded, "metric_timezone": "Europe/Berlin"},
    )
    (detector,) = bench.run(api.describe_anomaly_detectors)["anomaly_detectors"]
    assert detector["configuration"] == {"excluded_time_ranges": excluded, "metric_timezone": "Europe/Berlin"}
    assert detector["single_metric_anomaly_detector"]["metric_name"] == "m"
    queries = [
        {
            "id": "a",
            "metric_stat": {"metric": {"namespace": "N", "metric_name": "m"}, "period": 60, "stat": "Sum"},
            "return_data": False,
        },
        {"id": "e", "expression": "a*2"},
    ]
    bench.run(api.put_anomaly_detector, metric_math_anomaly_detector={"metric_data_queries": queries})
    answer = bench.run(api.describe_anomaly_detectors, anomaly_detector_types=["METRIC_MATH"])
    assert [d["metric_math_anomaly_detector"]["metric_data_queries"] for d in answer["anomaly_detectors"]] == [queries]
    bench.run(api.delete_anomaly_detector, **single)
    assert states() == []
    for request, code in ((single, "ResourceNotFoundException"), ({"namespace": "N"}, "MissingParameter")):
        with pytest.raises(ApiError) as caught:
            bench.run(api.delete_anomaly_detector, **request)
        assert caught.value.code == code


def a_metric(namespace: str, name: str, **pairs: str) -> Metric:
    return Metric((ACCOUNT, REGION, namespace, name, tuple(sorted(pairs.items()))), 1)


ELB = a_metric("AWS/ApplicationELB", "RequestCount", LoadBalancer="app/web/123", TargetGroup="targetgroup/x/9")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("request", True),
        ("Count", True),
        ("requestcount", True),
        ("requestc", False),
        ('"RequestCount"', True),
        ('"requestcount"', False),
        ("{AWS/ApplicationELB,LoadBalancer,TargetGroup}", True),
        ("{AWS/ApplicationELB,TargetGroup,LoadBalancer} request", True),
        ("{AWS/ApplicationELB,LoadBalancer} request", False),
        ('MetricName="RequestCount"', True),
        ('MetricName="Count"', False),
        ("MetricName=Count", True),
        ('LoadBalancer="app/web/123" web', True),
        ("LoadBalancer=(web OR api)", True),
        ("LoadBalancer=(api OR db)", False),
        ("NOT api", True),
        ("request NOT web", False),
        ("api OR request", True),
        ("api OR request AND nothing", False),
        ("(api OR request) AND web", True),
        ('Namespace="AWS/ApplicationELB"', True),
    ],
)
def test_search(query: str, found: bool) -> None:
    assert parse_search(query)(ELB) == found


@pytest.mark.parametrize(
    "query", ["", "{", "{}", "{N", "(a", "a)", "NOT", "a OR", 'MetricName="', "x" * 1025, "(" * 99]
)
def test_search_refused(query: str) -> None:
    with pytest.raises(ExpressionError):
        parse_search(query)


def test_insights_query() -> None:
    found = parse_insights(
        """SELECT AVG("CPU Use") FROM SCHEMA("AWS/EC2", InstanceId) WHERE InstanceId != 'i-1' AND Zone = 'a'
        GROUP BY InstanceId ORDER BY MAX() ASC LIMIT 5"""
    )
    assert (found.function, found.metric_name, found.namespace, found.limit) == ("AVG", "CPU Use", "AWS/EC2", 5)
    assert found.labels == frozenset({"InstanceId"})
    assert found.where == (("InstanceId", False, "i-1"), ("Zone", True, "a"))
    assert (found.group_by, found.order_by) == (("InstanceId",), ("MAX", False))


@pytest.mark.parametrize(
    "query",
    ["SELECT", "SELECT p90(x) FROM n", "SELECT AVG(x)", "SELECT AVG(x) FROM n LIMIT 0", "SELECT AVG(x) FROM n WHERE a"],
)
def test_insights_refused(query: str) -> None:
    with pytest.raises(ExpressionError):
        parse_insights(query)


def test_prometheus_text(bench: Bench) -> None:
    bench.put(1.0, 2.0, 4.0, name="TargetResponseTime", namespace="AWS/ApplicationELB", dims={"LoadBalancer": 'a"\\\n'})
    bench.put(-1.0, name="Old", timestamp=bench.now - 3600)
    lines = expose(bench.metrics.all_metrics(), bench.now).splitlines()
    labels = f'account="{ACCOUNT}",region="{REGION}",unit="None",load_balancer="a\\"\\\\\\n"'
    name = "aws_application_elb_target_response_time"
    assert lines == [
        f"# TYPE {name} summary",
        f'{name}{{{labels},quantile="0.5"}} 2.0',
        f'{name}{{{labels},quantile="0.9"}} 4.0',
        f'{name}{{{labels},quantile="0.99"}} 4.0',
        f"{name}_sum{{{labels}}} 7.0",
        f"{name}_count{{{labels}}} 3.0",
        f"# TYPE {name}_min gauge",
        f"{name}_min{{{labels}}} 1.0",
        f"# TYPE {name}_max gauge",
        f"{name}_max{{{labels}}} 4.0",
    ]
    assert expose([], bench.now) == ""


# ── Contributor Insights rules ───────────────────────────────────────────────────────────────────────


def a_definition(**changes: Any) -> str:
    document = {
        "Schema": {"Name": "CloudWatchLogRule", "Version": 1},
        "LogGroupNames": ["g"],
        "LogFormat": "JSON",
        "Contribution": {"Keys": ["$.ip"], "ValueOf": "$.size", "Filters": []},
        "AggregateOn": "Sum",
    }
    return json.dumps(document | changes)


MISSING, INVALID_TYPE, EMPTY = "MissingKey", "InvalidValueType", "Empty"


@pytest.mark.parametrize(
    ("definition", "kind", "key"),
    [
        ("{}", MISSING, "Schema"),
        (a_definition(Filters=[]), "UnknownKey", "Filters"),
        (a_definition(Schema={"Name": "CloudWatchLogRule", "Version": 2}), "InvalidSchema", "Schema"),
        (a_definition(LogGroupNames=[]), EMPTY, "LogGroupNames"),
        (a_definition(LogFormat="XML"), INVALID_TYPE, "LogFormat"),
        (a_definition(LogFormat=[]), INVALID_TYPE, "LogFormat"),
        (a_definition(LogFormat="CLF"), MISSING, "Fields"),
        (a_definition(AggregateOn="Max"), INVALID_TYPE, "AggregateOn"),
        (a_definition(Contribution={"Keys": [], "Filters": []}), EMPTY, "Keys"),
        (a_definition(Contribution={"Keys": ["$.ip"]}), MISSING, "Filters"),
        (a_definition(Contribution={"Keys": ["$.ip"], "Filters": []}), MISSING, "ValueOf"),
    ],
)
def test_bodies_of_insight_rules(bench: Bench, definition: str, kind: str, key: str) -> None:
    with pytest.raises(ApiError) as caught:
        bench.run(api.put_insight_rule, rule_name="r", rule_definition=definition)
    assert (caught.value.code, caught.value.message) == (
        "InvalidParameterValue",
        f"INVALID_RULE_BODY: {kind} encountered at {key} in the RuleBody.",
    )


@pytest.mark.parametrize(
    ("definition", "text"),
    [
        ("", "The parameter RuleDefinition is required."),
        ("{", "INVALID_RULE_BODY: The RuleBody could not be parsed."),
        ("[]", "INVALID_RULE_BODY: The RuleBody could not be parsed."),
        (
            a_definition(Contribution={"Keys": ["a", "b", "c", "d", "e"], "Filters": []}),
            "RULE_BODY_COMPLEXITY: A RuleBody must have no more than 4 Keys in the Contribution.",
        ),
        (a_definition(Contribution={"Keys": ["$.ip"], "Filters": [{}] * 5}), "RULE_BODY_COMPLEXITY"),
        (a_definition(Fields={"x": "y" * 8192}), "The parameter RuleDefinition must have at most 8192"),
    ],
)
def test_insight_rules_that_are_refused(bench: Bench, definition: str, text: str) -> None:
    with pytest.raises(ApiError) as caught:
        bench.run(api.put_insight_rule, rule_name="r", rule_definition=definition)
    assert caught.value.message.startswith(text)


def test_insight_rules_are_kept_and_switched(bench: Bench) -> None:
    for name in ("b", "a", "c"):
        bench.run(api.put_insight_rule, rule_name=name, rule_definition=a_definition(), rule_state="DISABLED")
    first = bench.run(api.describe_insight_rules, max_results=2)
    assert [(r["name"], r["state"]) for r in first["insight_rules"]] == [("a", "DISABLED"), ("b", "DISABLED")]
    rest = bench.run(api.describe_insight_rules, max_results=2, next_token=first["next_token"])
    assert [r["definition"] for r in rest["insight_rules"]] == [a_definition()]
    answer = bench.run(api.enable_insight_rules, rule_names=["a", "x", "b"])
    assert [f["failure_resource"] for f in answer["failures"]] == ["x"]
    states = {r["name"]: r["state"] for r in bench.run(api.describe_insight_rules)["insight_rules"]}
    assert states == {"a": "ENABLED", "b": "ENABLED", "c": "DISABLED"}
    times = {"start_time": bench.now - 3600, "end_time": bench.now + 1, "period": 300}
    report = bench.run(api.get_insight_rule_report, rule_name="a", **times)
    assert (report["key_labels"], report["aggregation_statistic"]) == (["$.ip"], "Sum")
    assert report["contributors"] == [] and report["aggregate_value"] == 0.0 and report["metric_datapoints"] == []
    points = bench.run(api.get_insight_rule_report, rule_name="a", **times, metrics=["UniqueContributors", "Average"])
    assert [set(p) for p in points["metric_datapoints"]] == [{"timestamp", "unique_contributors"}] * 13
    assert bench.run(api.delete_insight_rules, rule_names=["a", "b", "c"]) == {"failures": []}
    assert bench.run(api.describe_insight_rules)["insight_rules"] == []
