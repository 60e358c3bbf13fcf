"""Metric streams: what the API takes and says, what is sent of a minute, and what becomes of it on the way."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import cramjam
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from elba.cloudwatch import operations
from elba.cloudwatch.resources import MetricStream
from elba.cloudwatch.streaming import remote_write
from elba.cloudwatch.streaming.destinations import (
    Outgoing,
    destination_of,
    parse_destination,
    parse_destinations,
    request_for,
)
from elba.cloudwatch.streaming.otlp import Labels, unit_of
from elba.cloudwatch.streaming.outbox import WAITING_MOST_BYTES, Letter, Outbox
from elba.cloudwatch.streaming.records import record, varint
from elba.cloudwatch.streaming.streamer import MetricStreamer
from elba.cloudwatch.streaming.updates import Update, selects
from elba.errors import ApiError
from elba.testing.virtual_loop import VirtualLoop
from tests.unit.cloudwatch.bench import ACCOUNT, REGION, Bench

FIREHOSE = f"arn:aws:firehose:{REGION}:{ACCOUNT}:deliverystream/out"
STREAM: dict[str, Any] = {
    "name": "s",
    "firehose_arn": FIREHOSE,
    "role_arn": f"arn:aws:iam::{ACCOUNT}:role/r",
    "output_format": "json",
}


def refused(bench: Bench, **changes: Any) -> str:
    with pytest.raises(ApiError) as caught:
        bench.run(operations.put_metric_stream, **(STREAM | changes))
    return caught.value.code


def test_a_stream_comes_back_as_it_was_put(bench: Bench) -> None:
    filters = [{"namespace": "AWS/EC2", "metric_names": ["CPUUtilization"]}, {"namespace": "N"}]
    statistics = [
        {
            "include_metrics": [{"namespace": "N", "metric_name": "m"}],
            "additional_statistics": ["p99", "TM(10%:90%)", "PR(:300)", "IQM"],
        }
    ]
    made = bench.run(
        operations.put_metric_stream,
        **STREAM,
        include_filters=filters,
        statistics_configurations=statistics,
        tags=[{"key": "k", "value": "v"}],
    )
    assert made == {"arn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:metric-stream/s"}
    found = bench.run(operations.get_metric_stream, name="s")
    assert found["include_filters"] == filters and found["exclude_filters"] is None
    assert found["statistics_configurations"] == statistics
    assert (found["state"], found["firehose_arn"], found["output_format"]) == ("running", FIREHOSE, "json")
    assert found["creation_date"] == found["last_update_date"] == bench.now
    assert bench.run(operations.list_tags_for_resource, resource_arn=made["arn"])["tags"] == [
        {"key": "k", "value": "v"}
    ]


def test_an_update_keeps_state_and_tags(bench: Bench) -> None:
    bench.run(operations.put_metric_stream, **STREAM, tags=[{"key": "k", "value": "v"}])
    created = bench.now
    bench.run(operations.stop_metric_streams, names=["s"])
    bench.advance(10)
    bench.run(
        operations.put_metric_stream,
        **(STREAM | {"output_format": "opentelemetry1.0"}),
        tags=[{"key": "x", "value": ""}],
    )
    found = bench.run(operations.get_metric_stream, name="s")
    assert (found["state"], found["output_format"]) == ("stopped", "opentelemetry1.0")
    assert (found["creation_date"], found["last_update_date"]) == (created, bench.now)
    tags = bench.run(operations.list_tags_for_resource, resource_arn=found["arn"])["tags"]
    assert tags == [{"key": "k", "value": "v"}]
    bench.run(operations.start_metric_streams, names=["s"])
    assert bench.run(operations.get_metric_stream, name="s")["state"] == "running"


def test_what_is_refused(bench: Bench) -> None:
    one = [{"namespace": "N"}]
    assert refused(bench, include_filters=one, exclude_filters=one) == "InvalidParameterCombination"
    assert refused(bench, name="a b") == "InvalidParameterValue"
    assert refused(bench, name=None) == "MissingParameter"
    assert refused(bench, output_format="xml") == "InvalidParameterValue"
    assert refused(bench, firehose_arn="out") == "InvalidParameterValue"
    other = f"arn:aws:firehose:{REGION}:999999999999:deliverystream/out"
    assert refused(bench, firehose_arn=other) == "InvalidParameterValue"
    assert refused(bench, role_arn="r") == "InvalidParameterValue"
    assert refused(bench, role_arn=None) == "MissingParameter"
    assert refused(bench, include_filters=[{"namespace": ":N"}]) == "InvalidParameterValue"
    assert refused(bench, include_filters=[{"namespace": " "}]) == "InvalidParameterValue"
    crowd = [{"namespace": "N", "metric_names": [f"m{i}" for i in range(1000)]}]
    assert refused(bench, include_filters=crowd) == "InvalidParameterValue"

    def configured(*statistics: str, output: str = "json") -> str:
        return refused(
            bench,
            output_format=output,
            statistics_configurations=[
                {
                    "include_metrics": [{"namespace": "N", "metric_name": "m"}],
                    "additional_statistics": list(statistics),
                }
            ],
        )

    assert configured("tm90", output="opentelemetry1.0") == "InvalidParameterValue"
    assert configured("Average") == "InvalidParameterValue"
    assert configured("x") == "InvalidParameterValue"
    assert configured() == "MissingParameter"
    assert configured(*(f"p{i}" for i in range(21))) == "InvalidParameterValue"


def test_streams_that_are_not_there(bench: Bench) -> None:
    with pytest.raises(ApiError) as caught:
        bench.run(operations.get_metric_stream, name="x")
    assert (caught.value.code, caught.value.status) == ("ResourceNotFoundException", 404)
    bench.run(operations.put_metric_stream, **STREAM)
    with pytest.raises(ApiError) as unknown:
        bench.run(operations.stop_metric_streams, names=["s", "x"])
    assert unknown.value.code == "InvalidParameterValue"
    assert bench.run(operations.get_metric_stream, name="s")["state"] == "running", "all or nothing"
    bench.run(operations.delete_metric_stream, name="s")
    bench.run(operations.delete_metric_stream, name="s")
    assert bench.run(operations.list_metric_streams)["entries"] == []


def test_streams_are_listed_by_pages(bench: Bench) -> None:
    for name in "cab":
        bench.run(operations.put_metric_stream, **(STREAM | {"name": name}))
    first = bench.run(operations.list_metric_streams, max_results=2)
    assert [e["name"] for e in first["entries"]] == ["a", "b"]
    second = bench.run(operations.list_metric_streams, max_results=2, next_token=first["next_token"])
    assert [e["name"] for e in second["entries"]] == ["c"] and second["next_token"] is None
    with pytest.raises(ApiError) as caught:
        bench.run(operations.list_metric_streams, next_token="?")
    assert caught.value.code == "InvalidNextToken"


# ── formats ──────────────────────────────────────────────────────────────────────────────────────────


def a_stream(**changes: Any) -> MetricStream:
    return MetricStream(
        account=ACCOUNT,
        region=REGION,
        id="s",
        arn=f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:metric-stream/s",
        **({"firehose_arn": FIREHOSE, "role_arn": "r", "output_format": "json"} | changes),
    )


UPDATE = Update(
    account=ACCOUNT,
    region=REGION,
    namespace="AWS/EC2",
    metric_name="NetworkIn",
    dimensions=(("InstanceId", "i-1"),),
    unit="Bytes/Second",
    start=1_600_000_020,
    count=3.0,
    total=20.0,
    minimum=0.0,
    maximum=18.0,
    extra=(("p99.9", 17.8), ("p99", 17.5), ("TM(25%:75%)", 16.43)),
)


def test_filters() -> None:
    everything = a_stream()
    assert selects(everything, "N", "m")
    some = a_stream(include_filters=[{"namespace": "N", "metric_names": ["m"]}, {"namespace": "M"}])
    assert [selects(some, *each) for each in (("N", "m"), ("N", "x"), ("M", "x"), ("O", "m"))] == [
        True,
        False,
        True,
        False,
    ]
    others = a_stream(exclude_filters=[{"namespace": "N", "metric_names": ["m"]}, {"namespace": "M"}])
    assert [selects(others, *each) for each in (("N", "m"), ("N", "x"), ("M", "x"), ("O", "m"))] == [
        False,
        True,
        False,
        True,
    ]


def test_json_lines() -> None:
    lines = record(a_stream(), [UPDATE, UPDATE]).splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0]) == {
        "metric_stream_name": "s",
        "account_id": ACCOUNT,
        "region": REGION,
        "namespace": "AWS/EC2",
        "metric_name": "NetworkIn",
        "dimensions": {"InstanceId": "i-1"},
        "timestamp": 1_600_000_020_000,
        "value": {
            "max": 18.0,
            "min": 0.0,
            "sum": 20.0,
            "count": 3.0,
            "p99.9": 17.8,
            "p99": 17.5,
            "TM(25%:75%)": 16.43,
        },
        "unit": "Bytes/Second",
    }


def messages(data: bytes) -> Iterator[bytes]:
    """The messages of a record, each after its length."""
    while data:
        length = shift = place = 0
        while True:
            byte = data[place]
            length |= (byte & 0x7F) << shift
            place, shift = place + 1, shift + 7
            if byte < 0x80:
                break
        yield data[place : place + length]
        data = data[place + length :]


def test_opentelemetry_1_0() -> None:
    found = list(messages(record(a_stream(output_format="opentelemetry1.0"), [UPDATE] * 150)))
    assert len(found) == 2
    (resource,) = ExportMetricsServiceRequest.FromString(found[0]).resource_metrics
    assert {a.key: a.value.string_value for a in resource.resource.attributes} == {
        "cloud.provider": "aws",
        "cloud.account.id": ACCOUNT,
        "cloud.region": REGION,
        "aws.exporter.arn": a_stream().arn,
    }
    (metric,) = resource.scope_metrics[0].metrics
    assert (metric.name, metric.unit) == ("amazonaws.com/AWS/EC2/NetworkIn", "By/s")
    assert len(metric.summary.data_points) == 100
    point = metric.summary.data_points[0]
    assert (point.count, point.sum) == (3, 20.0)
    assert point.start_time_unix_nano == 1_600_000_020 * 10**9
    assert point.time_unix_nano == 1_600_000_080 * 10**9
    assert [(q.quantile, q.value) for q in point.quantile_values] == [
        (0.0, 0.0),
        (0.99, 17.5),
        (pytest.approx(0.999), 17.8),
        (1.0, 18.0),
    ]
    attributes = {a.key: a.value for a in point.attributes}
    assert attributes["Namespace"].string_value == "AWS/EC2"
    assert attributes["MetricName"].string_value == "NetworkIn"
    (pair,) = attributes["Dimensions"].kvlist_value.values
    assert (pair.key, pair.value.string_value) == ("InstanceId", "i-1")


def test_opentelemetry_0_7_has_labels_and_no_attributes() -> None:
    (message,) = messages(record(a_stream(output_format="opentelemetry0.7"), [UPDATE]))
    request = ExportMetricsServiceRequest.FromString(message)
    point = request.resource_metrics[0].scope_metrics[0].metrics[0].summary.data_points[0]
    assert not point.attributes and point.sum == 20.0
    old: Any = Labels.FromString(point.SerializeToString())
    assert [(label.key, label.value) for label in old.labels] == [
        ("Namespace", "AWS/EC2"),
        ("MetricName", "NetworkIn"),
        ("InstanceId", "i-1"),
    ]


def test_varint_and_units() -> None:
    assert [varint(n) for n in (0, 127, 128, 300)] == [b"\0", b"\x7f", b"\x80\x01", b"\xac\x02"]
    assert [unit_of(u) for u in ("None", "Percent", "Count/Second", "Megabits/Second")] == [
        "1",
        "%",
        "{Count}/s",
        "MBit/s",
    ]


def decoded(body: bytes) -> dict[str, list[tuple[float, int]]]:
    """A remote-write body: samples by series."""
    request: Any = remote_write.WriteRequest.FromString(bytes(cramjam.snappy.decompress_raw(body)))
    found = {}
    for each in request.timeseries:
        names = [label.name for label in each.labels]
        assert names == sorted(names) and len(set(names)) == len(names)
        labels = {label.name: label.value for label in each.labels}
        name = labels.pop("__name__")
        text = ",".join(f'{k}="{v}"' for k, v in sorted(labels.items()))
        found[f"{name}{{{text}}}"] = [(s.value, s.timestamp) for s in each.samples]
    return found


def test_remote_write() -> None:
    outgoing = request_for(
        parse_destination("remote-write+http://u:p%40@localhost:9090/api/v1/write"), a_stream(), [UPDATE], "id", 0
    )
    assert outgoing.url == "http://localhost:9090/api/v1/write"
    assert outgoing.headers["Authorization"] == "Basic " + base64.b64encode(b"u:p@").decode()
    assert outgoing.headers["X-Prometheus-Remote-Write-Version"] == "0.1.0"
    assert outgoing.headers["Content-Encoding"] == "snappy"
    rest = f'account="{ACCOUNT}",instance_id="i-1"'
    end = f'region="{REGION}"'
    at = 1_600_000_080_000
    unit = 'unit="Bytes/Second"'
    assert decoded(outgoing.body) == {
        f"aws_ec2_network_in_sum{{{rest},{end},{unit}}}": [(20.0, at)],
        f"aws_ec2_network_in_count{{{rest},{end},{unit}}}": [(3.0, at)],
        f"aws_ec2_network_in_min{{{rest},{end},{unit}}}": [(0.0, at)],
        f"aws_ec2_network_in_max{{{rest},{end},{unit}}}": [(18.0, at)],
        f'aws_ec2_network_in{{{rest},quantile="0.99",{end},{unit}}}': [(17.5, at)],
        f'aws_ec2_network_in{{{rest},quantile="0.999",{end},{unit}}}': [(17.8, at)],
        f'aws_ec2_network_in{{{rest},{end},statistic="TM(25%:75%)",{unit}}}': [(16.43, at)],
    }


def test_otlp_in_both_encodings() -> None:
    outgoing = request_for(parse_destination("otlp+https://h/v1/metrics"), a_stream(), [UPDATE] * 20, "id", 0)
    assert (outgoing.url, outgoing.headers["Content-Encoding"]) == ("https://h/v1/metrics", "gzip")
    assert "Authorization" not in outgoing.headers
    request = ExportMetricsServiceRequest.FromString(gzip.decompress(outgoing.body))
    assert len(request.resource_metrics[0].scope_metrics[0].metrics[0].summary.data_points) == 20
    text = request_for(parse_destination("otlp-json+http://h:1"), a_stream(), [UPDATE], "id", 0)
    assert text.headers["Content-Type"] == "application/json"
    body = json.loads(gzip.decompress(text.body))
    metric = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]
    assert metric["name"] == "amazonaws.com/AWS/EC2/NetworkIn"
    assert metric["summary"]["dataPoints"][0]["timeUnixNano"] == "1600000080000000000"


def test_firehose_endpoint() -> None:
    outgoing = request_for(parse_destination("firehose+http://:key@h:1/x"), a_stream(), [UPDATE], "id", 12.5)
    assert outgoing.headers["X-Amz-Firehose-Access-Key"] == "key"
    assert outgoing.headers["X-Amz-Firehose-Source-Arn"] == FIREHOSE
    assert outgoing.headers["X-Amz-Firehose-Request-Id"] == "id"
    body = json.loads(outgoing.body)
    assert (body["requestId"], body["timestamp"]) == ("id", 12500)
    assert json.loads(base64.b64decode(body["records"][0]["data"]))["metric_name"] == "NetworkIn"


def test_destinations_are_found_by_arn_name_or_star() -> None:
    some = parse_destinations(f"*=otlp+http://all/,out=otlp+http://name/,{FIREHOSE}=otlp+http://arn/")
    assert destination_of(a_stream(), some) == parse_destination("otlp+http://arn/")
    del some[FIREHOSE]
    assert destination_of(a_stream(), some) == parse_destination("otlp+http://name/")
    del some["out"]
    assert destination_of(a_stream(), some) == parse_destination("otlp+http://all/")
    assert destination_of(a_stream(), {}) is None
    assert parse_destinations("") == {}
    for wrong in ("x", "x=http://h/", "x=otlp+ftp://h/", "x=otlp+http://", "=otlp+http://h/"):
        with pytest.raises(ValueError, match=r"form NAME=URL|not the URL"):
            parse_destinations(wrong)


# ── the way there ────────────────────────────────────────────────────────────────────────────────────


class Endpoint:
    """Takes what is posted; `answers` are used up first, then it is 200."""

    def __init__(self) -> None:
        self.taken: list[Outgoing] = []
        self.times: list[float] = []
        self.answers: list[int | Exception | tuple[int, Mapping[str, str]]] = []

    async def post(self, request: Outgoing) -> tuple[int, Mapping[str, str]]:
        self.times.append(asyncio.get_running_loop().time())
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        if status < 300:
            self.taken.append(request)
        return status, headers

    def lines(self) -> list[dict[str, Any]]:
        """All that was delivered as lines of JSON, in order."""
        found = []
        for request in self.taken:
            body = gzip.decompress(request.body) if "Content-Encoding" in request.headers else request.body
            for each in json.loads(body)["records"]:
                found += [json.loads(line) for line in base64.b64decode(each["data"]).splitlines()]
        return found


def letter(size: int = 10, updates: int = 1) -> Letter:
    return Letter(Outgoing("http://h/", {}, b"x" * size), updates)


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop()
    yield made
    made.close()


def deliver(loop: VirtualLoop, endpoint: Endpoint, *letters: Letter, seconds: float = 1000) -> Outbox:
    async def go() -> Outbox:
        outbox = Outbox("s", endpoint.post)
        task = asyncio.create_task(outbox.run())
        for each in letters:
            outbox.offer(each)
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return outbox

    return loop.run(go())


def test_failures_are_tried_again_with_growing_pauses(loop: VirtualLoop) -> None:
    endpoint = Endpoint()
    endpoint.answers = [OSError("refused"), 503, TimeoutError(), 500]
    outbox = deliver(loop, endpoint, letter(), letter())
    assert [t - endpoint.times[0] for t in endpoint.times] == [0, 1, 3, 7, 15, 15]
    assert (outbox.delivered, outbox.dropped) == (2, 0)
    assert outbox.take_attempts() == [True] * 4 + [False] * 2 and outbox.take_attempts() == []


def test_the_receiver_says_when(loop: VirtualLoop) -> None:
    endpoint = Endpoint()
    endpoint.answers = [(429, {"Retry-After": "30"})]
    deliver(loop, endpoint, letter())
    assert [t - endpoint.times[0] for t in endpoint.times] == [0, 30]


def test_what_will_never_be_taken_is_given_up(loop: VirtualLoop) -> None:
    endpoint = Endpoint()
    endpoint.answers = [400]
    outbox = deliver(loop, endpoint, letter(updates=3), letter())
    assert (outbox.delivered, outbox.dropped, len(endpoint.taken)) == (1, 3, 1)


def test_an_endpoint_that_is_gone_costs_bounded_memory_and_time(loop: VirtualLoop) -> None:
    endpoint = Endpoint()
    endpoint.answers = [503] * 10_000
    third = WAITING_MOST_BYTES // 3
    outbox = deliver(loop, endpoint, *(letter(third, updates=i) for i in range(6)), seconds=8000)
    assert outbox.dropped >= 0 + 1 + 2, "the oldest that had no room, and the first after two hours"
    assert not outbox.idle


# ── the round of each minute ─────────────────────────────────────────────────────────────────────────


class Streaming:
    """A bench with a streamer whose endpoint is at hand."""

    def __init__(self, bench: Bench, destinations: str = "*=firehose+http://h/") -> None:
        self.bench, self.destinations, self.endpoint = bench, destinations, Endpoint()
        self.tasks: list[asyncio.Task[None]] = []
        self.start()

    def start(self) -> None:
        settings = {**self.bench.parts.settings, "metric_streams": self.destinations}
        streamer = MetricStreamer(replace(self.bench.parts, settings=settings), self.endpoint.post)
        self.tasks.append(self.bench.loop.create_task(streamer.run()))

    def stop(self) -> None:
        async def end() -> None:
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

        self.bench.loop.run(end())
        self.tasks.clear()

    def sent(self, name: str = "m") -> list[tuple[float, dict[str, float]]]:
        return [
            ((line["timestamp"] / 1000 - self.bench.clock.start), line["value"])
            for line in self.endpoint.lines()
            if line["metric_name"] == name
        ]


@pytest.fixture
def streaming(bench: Bench) -> Iterator[Callable[..., Streaming]]:
    made: list[Streaming] = []

    def make(*arguments: str) -> Streaming:
        made.append(Streaming(bench, *arguments))
        return made[-1]

    yield make
    for each in made:
        each.stop()


def test_each_ended_minute_is_sent_once(bench: Bench, streaming: Callable[..., Streaming]) -> None:
    there = streaming()
    bench.run(
        operations.put_metric_stream,
        **STREAM,
        statistics_configurations=[
            {
                "include_metrics": [{"namespace": "N", "metric_name": "m"}],
                "additional_statistics": ["p50", "TC(2:)"],
            }
        ],
    )
    bench.advance(1)
    bench.put(1.0, 2.0, 3.0)
    bench.put(7.0, name="other")
    bench.advance(50)
    assert there.sent() == []
    bench.advance(20)
    value = {"max": 3.0, "min": 1.0, "sum": 6.0, "count": 3.0, "p50": 2.0, "TC(2:)": 1.0}
    assert there.sent() == [(0, value)]
    assert there.sent("other") == [(0, {"max": 7.0, "min": 7.0, "sum": 7.0, "count": 1.0})]
    bench.advance(300)
    assert len(there.sent()) == 1
    bench.put(5.0, timestamp=bench.now - 300)
    bench.put(9.0, timestamp=bench.now - 7500)
    bench.advance(70)
    assert [at for at, _ in there.sent()] == [0, 60], "late data are sent with all of their minute; older ones not"


def test_the_stream_counts_itself(bench: Bench, streaming: Callable[..., Streaming]) -> None:
    there = streaming()
    there.endpoint.answers = [503]
    bench.run(operations.put_metric_stream, **STREAM)
    bench.put(1.0)
    bench.advance(200)

    def own(name: str, pairs: list[dict[str, str]], statistic: str) -> list[float]:
        answer = bench.run(
            operations.get_metric_statistics,
            namespace="AWS/CloudWatch/MetricStreams",
            metric_name=name,
            dimensions=pairs,
            start_time=bench.now - 600,
            end_time=bench.now + 60,
            period=60,
            statistics=[statistic],
        )
        return [point[statistic.lower()] for point in answer["datapoints"]]

    mine = [{"name": "MetricStreamName", "value": "s"}]
    assert own("MetricUpdate", mine, "Sum")[:2] == [0.0, 1.0], "the round just after the start had nothing"
    assert own("TotalMetricUpdate", [], "Sum")[:2] == [0.0, 1.0]
    assert own("PublishErrorRate", mine, "Maximum")[:2] == [1.0, 0.0]


def test_filters_decide_and_a_stopped_stream_sends_nothing(bench: Bench, streaming: Callable[..., Streaming]) -> None:
    there = streaming()
    bench.run(operations.put_metric_stream, **STREAM, include_filters=[{"namespace": "N", "metric_names": ["m"]}])
    bench.put(1.0)
    bench.put(1.0, name="x")
    bench.advance(65)
    assert {line["metric_name"] for line in there.endpoint.lines()} == {"m"}
    bench.run(operations.stop_metric_streams, names=["s"])
    bench.put(2.0)
    bench.advance(120)
    bench.run(operations.start_metric_streams, names=["s"])
    bench.advance(120)
    bench.put(3.0)
    bench.advance(65)
    assert [value["sum"] for _, value in there.sent()] == [1.0, 3.0]


def test_a_restart_goes_on_where_the_stream_had_come_to(bench: Bench, streaming: Callable[..., Streaming]) -> None:
    there = streaming()
    bench.run(operations.put_metric_stream, **STREAM)
    bench.put(1.0)
    bench.advance(65)
    bench.put(2.0)
    there.stop()
    bench.advance(600)
    there.start()
    bench.advance(65)
    assert [value["sum"] for _, value in there.sent()] == [1.0, 2.0], "nothing lost, nothing twice"


def test_without_an_endpoint_nothing_is_sent_until_one_is_named(
    bench: Bench, streaming: Callable[..., Streaming], caplog: pytest.LogCaptureFixture
) -> None:
    there = streaming("other=firehose+http://h/")
    bench.run(operations.put_metric_stream, **STREAM)
    bench.put(1.0)
    bench.advance(300)
    assert there.endpoint.times == []
    assert sum("no endpoint" in record.message for record in caplog.records) == 1
    there.stop()
    there.destinations = "out=firehose+http://h/"
    there.start()
    bench.advance(65)
    assert [value["sum"] for _, value in there.sent()] == [1.0]


def test_a_deleted_stream_forgets_what_was_waiting(bench: Bench, streaming: Callable[..., Streaming]) -> None:
    there = streaming()
    there.endpoint.answers = [503] * 3
    bench.run(operations.put_metric_stream, **STREAM)
    bench.put(1.0)
    bench.advance(62.5)
    assert len(there.endpoint.times) == 1
    bench.run(operations.delete_metric_stream, name="s")
    bench.advance(300)
    assert len(there.endpoint.times) == 1 and there.sent() == []
    assert bench.metrics.touched is None
