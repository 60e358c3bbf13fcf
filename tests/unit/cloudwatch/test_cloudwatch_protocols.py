"""Every kind of operation through boto3 in all three protocols: the same calls give the same answers and errors."""

from __future__ import annotations

import json
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from elba.cloudwatch import operations
from elba.testing import World
from tests.unit.cloudwatch.test_cloudwatch_clients import client_of

PROTOCOLS = ("query", "json", "smithy-rpc-v2-cbor")
ACCOUNT = "000000000000"
HERE = f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}"
RULE = json.dumps(
    {
        "Schema": {"Name": "CloudWatchLogRule", "Version": 1},
        "LogGroupNames": ["g"],
        "LogFormat": "JSON",
        "Contribution": {"Keys": ["$.ip"], "Filters": []},
        "AggregateOn": "Count",
    }
)
ALARM = {
    "AlarmName": "a",
    "Namespace": "N",
    "MetricName": "m",
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 1.5,
    "ComparisonOperator": "GreaterThanThreshold",
}


def story(world: World, watch: Any) -> list[tuple[str, Any]]:
    """All answers, with what differs from run to run left out."""
    told: list[tuple[str, Any]] = []
    called: set[str] = set()

    def call(operation: str, **parameters: Any) -> Any:
        called.add(operation)
        try:
            answer = getattr(watch, operation)(**parameters)
        except ClientError as error:
            metadata = error.response["ResponseMetadata"]
            told.append((operation, (metadata["HTTPStatusCode"], error.response["Error"].get("Message", ""))))
            return {}
        answer.pop("ResponseMetadata")
        told.append((operation, answer))
        return answer

    since, until = world.now - 600, world.now + 600
    entry = {"MetricName": "m", "Dimensions": [{"Name": "d", "Value": "1 & <2>"}], "Value": 1.0}
    call("put_metric_data", Namespace="N", MetricData=[entry])
    entry = {"MetricName": "m", "Values": [1.0, 2.5], "Counts": [1.0, 3.0], "Unit": "Count/Second"}
    call("put_metric_data", Namespace="N", MetricData=[entry])
    call("put_metric_data", Namespace="AWS/EC2", MetricData=[entry])
    call("list_metrics", Namespace="N")
    times = {"StartTime": since, "EndTime": until}
    extended = {"Namespace": "N", "MetricName": "m", "Period": 60, "ExtendedStatistics": ["p50", "TM(10%:90%)"]}
    call("get_metric_statistics", **times, **extended)
    call("get_metric_statistics", **times, **extended, Statistics=["Sum"])
    stat = {"Metric": {"Namespace": "N", "MetricName": "m"}, "Period": 60, "Stat": "Average"}
    queries = [{"Id": "m1", "MetricStat": stat}, {"Id": "e", "Expression": "m1 * 2", "Label": "twice"}]
    call("get_metric_data", **times, MetricDataQueries=queries)
    call("get_metric_data", **times, MetricDataQueries=[{"Id": "e", "Expression": "m1 *"}])
    image = json.dumps({"metrics": [["N", "m", {"stat": "Sum"}]], "title": "é <&>", "width": 200, "height": 100})
    call("get_metric_widget_image", MetricWidget=image)
    call("get_metric_widget_image", MetricWidget="{}")
    call("put_metric_alarm", **ALARM, Tags=[{"Key": "k", "Value": "v"}], Dimensions=[{"Name": "d", "Value": "1"}])
    call("put_metric_alarm", **(ALARM | {"Period": 7}))
    call("put_composite_alarm", AlarmName="c", AlarmRule='ALARM("a") OR NOT OK(a)')
    call("put_composite_alarm", AlarmName="c", AlarmRule="ALARM(a")
    call("set_alarm_state", AlarmName="a", StateValue="ALARM", StateReason="why", StateReasonData='{"x": 1}')
    call("set_alarm_state", AlarmName="a", StateValue="ALARM", StateReason="why", StateReasonData="{")
    call("set_alarm_state", AlarmName="none", StateValue="OK", StateReason="why")
    world.settle()
    call("describe_alarms", AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    call("describe_alarms", AlarmNames=["a"], AlarmNamePrefix="a")
    call("describe_alarms_for_metric", Namespace="N", MetricName="m", Dimensions=[{"Name": "d", "Value": "1"}])
    call("describe_alarm_history", AlarmName="a", ScanBy="TimestampAscending")
    call("describe_alarm_history", NextToken="?")
    call("describe_alarm_contributors", AlarmName="a")
    call("describe_alarm_contributors", AlarmName="none")
    schedule = {"Expression": "cron(0 2 * * SUN)", "Duration": "PT4H", "Timezone": "Europe/London"}
    rule = {"Rule": {"Schedule": schedule}, "MuteTargets": {"AlarmNames": ["a"]}, "StartDate": since}
    call("put_alarm_mute_rule", Name="m", Description="x", **rule, Tags=[{"Key": "k", "Value": "v"}])
    call("put_alarm_mute_rule", Name="m", Rule={"Schedule": schedule | {"Duration": "4h"}})
    call("get_alarm_mute_rule", AlarmMuteRuleName="m")
    call("get_alarm_mute_rule", AlarmMuteRuleName="none")
    call("list_alarm_mute_rules", AlarmName="a", Statuses=["SCHEDULED"])
    call("list_tags_for_resource", ResourceARN=f"{HERE}:alarm-mute-rule:m")
    call("delete_alarm_mute_rule", AlarmMuteRuleName="m")
    call("delete_alarm_mute_rule", AlarmMuteRuleName="m")
    call("disable_alarm_actions", AlarmNames=["a"])
    call("enable_alarm_actions", AlarmNames=["a"])
    call("tag_resource", ResourceARN=f"{HERE}:alarm:a", Tags=[{"Key": "x", "Value": ""}])
    call("untag_resource", ResourceARN=f"{HERE}:alarm:a", TagKeys=["k"])
    call("list_tags_for_resource", ResourceARN=f"{HERE}:alarm:a")
    call("list_tags_for_resource", ResourceARN=f"{HERE}:alarm:none")
    call("tag_resource", ResourceARN=f"{HERE}:alarm:none", Tags=[{"Key": "x", "Value": ""}])
    call("delete_alarms", AlarmNames=["a"])
    call("delete_alarms", AlarmNames=["c"])
    call("delete_alarms", AlarmNames=["a"])
    call("delete_alarms", AlarmNames=["a"])
    body = '{"widgets": [{"type": "text", "properties": {"markdown": "# é"}}]}'
    call("put_dashboard", DashboardName="d", DashboardBody=body)
    call("put_dashboard", DashboardName="d", DashboardBody="[]")
    call("get_dashboard", DashboardName="d")
    call("list_dashboards")
    call("delete_dashboards", DashboardNames=["d"])
    call("get_dashboard", DashboardName="d")
    single = {"Namespace": "N", "MetricName": "m", "Stat": "Sum"}
    ranges = {"ExcludedTimeRanges": [{"StartTime": since, "EndTime": until}], "MetricTimezone": "UTC"}
    call("put_anomaly_detector", SingleMetricAnomalyDetector=single, Configuration=ranges)
    call("describe_anomaly_detectors", Namespace="N")
    call("delete_anomaly_detector", SingleMetricAnomalyDetector=single)
    call("delete_anomaly_detector", SingleMetricAnomalyDetector=single)
    call(
        "put_metric_stream",
        Name="s",
        FirehoseArn=f"arn:aws:firehose:us-east-1:{ACCOUNT}:deliverystream/x",
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/r",
        OutputFormat="json",
        IncludeFilters=[{"Namespace": "N", "MetricNames": ["m"]}],
        IncludeLinkedAccountsMetrics=True,
        StatisticsConfigurations=[
            {"IncludeMetrics": [{"Namespace": "N", "MetricName": "m"}], "AdditionalStatistics": ["p90", "PR(:300)"]}
        ],
    )
    call("put_metric_stream", Name="s", FirehoseArn="x", RoleArn="x", OutputFormat="json")
    call("get_metric_stream", Name="s")
    call("get_metric_stream", Name="none")
    call("stop_metric_streams", Names=["s"])
    call("list_metric_streams")
    call("start_metric_streams", Names=["s", "none"])
    call("start_metric_streams", Names=["s"])
    call("delete_metric_stream", Name="s")
    call("put_insight_rule", RuleName="r", RuleDefinition=RULE, Tags=[{"Key": "k", "Value": "v"}])
    call("put_insight_rule", RuleName="r", RuleDefinition="{}")
    call("describe_insight_rules")
    call("list_tags_for_resource", ResourceARN=f"{HERE}:insight-rule/r")
    call("disable_insight_rules", RuleNames=["r", "none"])
    call("enable_insight_rules", RuleNames=["r"])
    call("get_insight_rule_report", RuleName="r", **times, Period=60)
    call("get_insight_rule_report", RuleName="none", **times, Period=60)
    managed = {"TemplateName": "T-1", "ResourceARN": f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc-endpoint/v"}
    call("put_managed_insight_rules", ManagedRules=[managed])
    listed = call("list_managed_insight_rules", ResourceARN=managed["ResourceARN"])
    call("put_insight_rule", RuleName=listed["ManagedRules"][0]["RuleState"]["RuleName"], RuleDefinition=RULE)
    call("delete_insight_rules", RuleNames=["r", listed["ManagedRules"][0]["RuleState"]["RuleName"], "none"])
    call("describe_insight_rules")
    query = {"Path": "team/é", "Expression": "SUM(METRICS())", "Type": "METRIC_MATH"}
    saved = call("put_metric_data_query_definition", **query, Tags=[{"Key": "k", "Value": "v"}])
    call("put_metric_data_query_definition", **query)
    call("get_metric_data_query_definition", Id=saved["Id"])
    call("list_metric_data_query_definitions")
    call("list_tags_for_resource", ResourceARN=saved["Arn"])
    call("delete_metric_data_query_definition", Id=saved["Id"])
    call("get_metric_data_query_definition", Id=saved["Id"])
    call("get_o_tel_enrichment")
    served = {
        xform_name(name)
        for name in botocore.session.get_session().get_service_model("cloudwatch").operation_names
        if hasattr(operations, xform_name(name))
    }
    assert served - called == set(), "an operation that this story leaves out"
    return told


def test_all_operations_agree_in_all_protocols(monkeypatch: pytest.MonkeyPatch) -> None:
    stories = []
    for protocol in PROTOCOLS:
        with World(seed=5) as world:
            stories.append(story(world, client_of(world, protocol, monkeypatch)))
    assert dict(stories[0])["get_metric_widget_image"][0] == 400
    (image,) = (a["MetricWidgetImage"] for n, a in stories[0] if n == "get_metric_widget_image" and isinstance(a, dict))
    assert image.startswith(b"\x89PNG")
    for mine, other in zip(stories[0], stories[1], strict=True):
        assert mine == other
    for mine, other in zip(stories[0], stories[2], strict=True):
        assert mine == other
    failures = [(name, answer) for name, answer in stories[0] if isinstance(answer, tuple)]
    assert [(name, status) for name, (status, _) in failures] == [
        ("put_metric_data", 400),
        ("get_metric_statistics", 400),
        ("get_metric_data", 400),
        ("get_metric_widget_image", 400),
        ("put_metric_alarm", 400),
        ("put_composite_alarm", 400),
        ("set_alarm_state", 400),
        ("set_alarm_state", 404),
        ("describe_alarms", 400),
        ("describe_alarm_history", 400),
        ("describe_alarm_contributors", 404),
        ("put_alarm_mute_rule", 400),
        ("get_alarm_mute_rule", 404),
        ("tag_resource", 404),
        ("delete_alarms", 400),
        ("put_dashboard", 400),
        ("get_dashboard", 404),
        ("delete_anomaly_detector", 404),
        ("put_metric_stream", 400),
        ("get_metric_stream", 404),
        ("start_metric_streams", 400),
        ("put_insight_rule", 400),
        ("get_insight_rule_report", 404),
        ("put_insight_rule", 400),
        ("put_metric_data_query_definition", 409),
        ("get_metric_data_query_definition", 404),
        ("get_o_tel_enrichment", 400),
    ]
