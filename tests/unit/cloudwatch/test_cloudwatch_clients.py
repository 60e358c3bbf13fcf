"""boto3 against CloudWatch in a World: all three protocols, error codes, and the loop up to a stopped instance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.exceptions import ClientError

from elba.testing import World


@pytest.fixture
def world() -> Iterator[World]:
    with World(seed=5) as made:
        yield made


ALARM: dict[str, Any] = {
    "AlarmName": "a",
    "Namespace": "N",
    "MetricName": "m",
    "Dimensions": [{"Name": "b", "Value": "2"}, {"Name": "a", "Value": "1"}],
    "Statistic": "Average",
    "Period": 60,
    "EvaluationPeriods": 3,
    "DatapointsToAlarm": 2,
    "Threshold": 70.0,
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    "TreatMissingData": "missing",
}


def client_of(world: World, protocol: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A boto3 client that speaks `protocol` and no other, answered in process."""
    with monkeypatch.context() as patch:
        patch.setattr("botocore.model.ServiceModel.resolved_protocol", property(lambda _: protocol))
        client = boto3.session.Session("000000000000", "x", region_name="us-east-1").client(
            "cloudwatch", endpoint_url="http://127.0.0.1:4566"
        )
    # botocore asks again when an answer has come; the attribute is a cached property.
    client.meta.service_model.__dict__["resolved_protocol"] = protocol
    assert world._clients is not None
    world._clients.attach(client)
    return client


def test_an_alarm_comes_back_as_it_was_put(world: World) -> None:
    watch = world.boto3("cloudwatch")
    watch.put_metric_alarm(**ALARM)
    (found,) = watch.describe_alarms(AlarmNames=["a"])["MetricAlarms"]
    assert {k: found[k] for k in ALARM} == ALARM
    for absent in ("Unit", "ExtendedStatistic", "Metrics", "AlarmDescription", "EvaluateLowSampleCountPercentile"):
        assert absent not in found
    assert (found["OKActions"], found["AlarmActions"], found["InsufficientDataActions"]) == ([], [], [])
    watch.get_waiter("alarm_exists").wait(AlarmNames=["a"])
    assert watch.list_tags_for_resource(ResourceARN=found["AlarmArn"])["Tags"] == []


def test_error_codes(world: World) -> None:
    watch = world.boto3("cloudwatch")
    with pytest.raises(watch.exceptions.ResourceNotFound) as caught:
        watch.set_alarm_state(AlarmName="x", StateValue="OK", StateReason="")
    metadata = caught.value.response["ResponseMetadata"]
    assert metadata["HTTPStatusCode"] == 404
    assert metadata["HTTPHeaders"]["x-amzn-query-error"] == "ResourceNotFound;Sender"
    assert caught.value.response["Error"]["Code"] == "ResourceNotFound"
    assert caught.value.response["Error"]["QueryErrorCode"] == "ResourceNotFound"
    with pytest.raises(ClientError) as dashboard:
        watch.get_dashboard(DashboardName="x")
    assert dashboard.value.response["Error"]["Code"] == "ResourceNotFound"
    assert dashboard.value.response["Error"]["QueryErrorCode"] == "DashboardNotFoundError"
    with pytest.raises(watch.exceptions.DashboardInvalidInputError) as body:
        watch.put_dashboard(DashboardName="x", DashboardBody='{"widgets": 1}')
    assert body.value.response["dashboardValidationMessages"][0]["DataPath"] == "/widgets"
    with pytest.raises(watch.exceptions.InvalidFormatFault):
        watch.put_metric_alarm(**ALARM)
        watch.set_alarm_state(AlarmName="a", StateValue="OK", StateReason="", StateReasonData="{")
    with pytest.raises(ClientError) as unbuilt:
        watch.get_o_tel_enrichment()
    assert unbuilt.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_every_operation_named_in_the_spec_is_built() -> None:
    from elba.cloudwatch import operations

    model = botocore.session.get_session().get_service_model("cloudwatch")
    wanted = [
        *(
            "PutMetricData",
            "ListMetrics",
            "GetMetricStatistics",
            "GetMetricData",
            "PutMetricAlarm",
            "PutCompositeAlarm",
        ),
        *("DescribeAlarms", "DescribeAlarmsForMetric", "DescribeAlarmHistory", "DeleteAlarms", "EnableAlarmActions"),
        *("DisableAlarmActions", "SetAlarmState", "TagResource", "UntagResource", "ListTagsForResource"),
        *("PutDashboard", "GetDashboard", "ListDashboards", "DeleteDashboards"),
        *("PutAnomalyDetector", "DescribeAnomalyDetectors", "DeleteAnomalyDetector"),
    ]
    for name in wanted:
        assert name in model.operation_names
        assert callable(getattr(operations, botocore.xform_name(name)))


def test_an_alarm_stops_its_instance(world: World) -> None:
    ec2, watch = world.boto3("ec2"), world.boto3("cloudwatch")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    run = ec2.run_instances(
        ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1, Monitoring={"Enabled": True}
    )
    instance = run["Instances"][0]["InstanceId"]
    arn = "arn:aws:automate:us-east-1:ec2:stop"
    watch.put_metric_alarm(
        AlarmName="idle",
        Namespace="AWS/EC2",
        MetricName="CPUUtilization",
        Dimensions=[{"Name": "InstanceId", "Value": instance}],
        Statistic="Average",
        Period=60,
        EvaluationPeriods=2,
        Threshold=101.0,
        ComparisonOperator="LessThanThreshold",
        AlarmActions=[arn],
    )

    def state() -> str:
        found = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        return str(found["State"]["Name"])

    world.until(lambda: state() == "stopped", 600, "the alarm stops it")
    items = watch.describe_alarm_history(AlarmName="idle", HistoryItemType="Action")["AlarmHistoryItems"]
    assert [i["HistorySummary"] for i in items] == [f"Successfully executed action {arn}"]


def test_an_alarm_recovers_its_instance(world: World) -> None:
    ec2, watch = world.boto3("ec2"), world.boto3("cloudwatch")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    run = ec2.run_instances(ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1)
    instance = run["Instances"][0]["InstanceId"]
    arn = "arn:aws:swf:us-east-1:000000000000:action/actions/AWS_EC2.InstanceId.Recover/1.0"
    watch.put_metric_alarm(
        AlarmName="host",
        Namespace="AWS/EC2",
        MetricName="StatusCheckFailed_System",
        Dimensions=[{"Name": "InstanceId", "Value": instance}],
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=2,
        Threshold=0.0,
        ComparisonOperator="GreaterThanThreshold",
        AlarmActions=[arn],
    )

    def status() -> tuple[str, str]:
        found = ec2.describe_instance_status(InstanceIds=[instance])["InstanceStatuses"]
        return (found[0]["InstanceStatus"]["Status"], found[0]["SystemStatus"]["Status"]) if found else ("", "")

    world.until(lambda: status() == ("ok", "ok"), 300, "it runs")
    before = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]

    # An alarm set by hand recovers nothing that is well.
    watch.set_alarm_state(AlarmName="host", StateValue="ALARM", StateReason="test")
    world.settle()
    items = watch.describe_alarm_history(AlarmName="host", HistoryItemType="Action")["AlarmHistoryItems"]
    assert len(items) == 1 and items[0]["HistorySummary"].startswith(f"Failed to execute action {arn}")

    world.provider.fail_host(instance)
    world.until(lambda: world.provider.boots(instance) == 2, 600, "the alarm recovers it")
    world.until(lambda: status() == ("ok", "ok"), 300, "it is well again")
    after = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    for same in ("InstanceId", "PrivateIpAddress", "PublicIpAddress", "State", "LaunchTime"):
        assert after[same] == before[same]
    items = watch.describe_alarm_history(AlarmName="host", HistoryItemType="Action")["AlarmHistoryItems"]
    assert items[0]["HistorySummary"] == f"Successfully executed action {arn}"


def test_protocols_agree(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same alarm through Query, JSON and CBOR leaves the same state."""
    clients = {p: client_of(world, p, monkeypatch) for p in ("query", "json", "smithy-rpc-v2-cbor")}
    seen: list[Any] = []
    for client in clients.values():
        client.meta.events.register("before-send", lambda request, **_: seen.append(request.headers["Content-Type"]))
    found = []
    for protocol, client in clients.items():
        client.put_metric_alarm(**{**ALARM, "AlarmName": protocol})
        client.put_metric_data(
            Namespace="N", MetricData=[{"MetricName": protocol, "Values": [1.5, 2.0], "Counts": [1.0, 3.0]}]
        )
        (alarm,) = client.describe_alarms(AlarmNames=[protocol])["MetricAlarms"]
        for own in ("AlarmName", "AlarmArn"):
            alarm.pop(own)
        statistics = client.get_metric_statistics(
            Namespace="N",
            MetricName=protocol,
            StartTime=world.now - 60,
            EndTime=world.now + 60,
            Period=60,
            Statistics=["Sum", "SampleCount"],
        )["Datapoints"]
        found.append((alarm, statistics))
    assert found[0] == found[1] == found[2]
    types = {(t.decode() if isinstance(t, bytes) else t).split(";")[0] for t in seen}
    assert types == {"application/x-www-form-urlencoded", "application/x-amz-json-1.0", "application/cbor"}


@pytest.mark.parametrize("protocol", ["query", "json", "smithy-rpc-v2-cbor"])
def test_bodies_have_a_size(world: World, protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is in them, not of what gzip makes of it: texts as the service writes them."""
    watch = client_of(world, protocol, monkeypatch)
    encodings: list[Any] = []
    watch.meta.events.register(
        "before-send", lambda request, **_: encodings.append(request.headers.get("Content-Encoding"))
    )

    def put(size: int) -> None:
        dimensions = [{"Name": f"d{i}", "Value": "v" * size} for i in range(10)]
        entry = {"MetricName": "m", "Value": 1.0, "Dimensions": dimensions}
        watch.put_metric_data(Namespace="N", MetricData=[entry] * 300)

    put(10)
    with pytest.raises(ClientError) as caught:
        put(500)
    error, metadata = caught.value.response["Error"], caught.value.response["ResponseMetadata"]
    assert (error["Code"], metadata["HTTPStatusCode"]) == ("RequestEntityTooLarge", 413)
    assert error["Message"].startswith("Request size ") and error["Message"].endswith(" exceeded 1048576 bytes")
    assert {e if isinstance(e, str) else e.decode() for e in encodings} == {"gzip"}
    stat = {"Metric": {"Namespace": "N", "MetricName": "m" * 255}, "Period": 60, "Stat": "Sum"}
    queries = [{"Id": f"q{i}", "MetricStat": stat, "Label": "x" * 1200} for i in range(500)]
    with pytest.raises(ClientError) as caught:
        watch.get_metric_data(StartTime=world.now - 60, EndTime=world.now, MetricDataQueries=queries)
    assert caught.value.response["Error"]["Message"].endswith(" exceeded 614400 bytes")


@pytest.mark.parametrize("protocol", ["query", "json", "smithy-rpc-v2-cbor"])
def test_the_oldest_operations_judge_their_parameters_themselves(
    world: World, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = client_of(world, protocol, monkeypatch)

    def refused(operation: str, **parameters: Any) -> tuple[str, str]:
        with pytest.raises(ClientError) as caught:
            getattr(watch, operation)(**parameters)
        error = caught.value.response["Error"]
        return error["Code"], error["Message"][:60]

    def put(**datum: Any) -> tuple[str, str]:
        return refused("put_metric_data", Namespace="N", MetricData=[{"MetricName": "m", "Value": 1.0, **datum}])

    invalid = "InvalidParameterValue"
    assert put(Unit="kB") == (invalid, "The parameter MetricData.member.1.Unit must be a value in th")
    many = [{"Name": f"d{i}", "Value": "v"} for i in range(31)]
    assert put(Dimensions=many) == (invalid, "The collection MetricData.member.1.Dimensions must not have ")
    assert put(MetricName="x" * 256)[0] == invalid
    assert put(StorageResolution=7)[0] == invalid
    times = {"StartTime": world.now - 60, "EndTime": world.now, "Period": 60}
    of_m = {"Namespace": "N", "MetricName": "m", **times}
    assert refused("get_metric_statistics", **of_m, Statistics=["Median"]) == (
        invalid,
        "The parameter Statistics.member must be a value in the set [",
    )
    assert refused("get_metric_statistics", **of_m)[0] == "InvalidParameterCombination"
    stat = {"Metric": {"MetricName": "m"}, "Period": 60, "Stat": "Sum"}
    times.pop("Period")
    assert refused("get_metric_data", **times, MetricDataQueries=[{"Id": "a", "MetricStat": stat}]) == (
        "ValidationError",
        "The parameter MetricDataQueries.member.1.MetricStat.Metric.Namespace"[:60],
    )
