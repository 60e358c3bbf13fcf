"""Metric streams of a running Elba, set up with boto3, received by servers that decode what real ones would."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cramjam
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from elba.cloudwatch.streaming.remote_write import WriteRequest
from tests.acceptance.conftest import Elba, eventually

pytestmark = pytest.mark.acceptance


class Receiver(ThreadingHTTPServer):
    """OTLP at /v1/metrics and remote write at /api/v1/write; the first request of each is turned away."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.turned_away: set[str] = set()
        self.otlp: dict[str, list[Any]] = {}
        """Summary data points by metric name."""
        self.samples: dict[str, list[tuple[dict[str, str], float]]] = {}
        """(labels, value) by metric name."""

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path not in self.server.turned_away:
            self.server.turned_away.add(self.path)
            self._answer(503, b"")
        elif self.path == "/v1/metrics":
            self._otlp(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
        else:
            self._remote_write(body)

    def _otlp(self, body: bytes) -> None:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    self.server.otlp.setdefault(metric.name, []).extend(metric.summary.data_points)
        self._answer(200, ExportMetricsServiceResponse().SerializeToString())

    def _remote_write(self, body: bytes) -> None:
        request: Any = WriteRequest.FromString(bytes(cramjam.snappy.decompress_raw(body)))
        for series in request.timeseries:
            labels = {label.name: label.value for label in series.labels}
            found = self.server.samples.setdefault(labels.pop("__name__"), [])
            found += [(labels, sample.value) for sample in series.samples]
        self._answer(204, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def streaming(receiver: Receiver, tmp_path: Path) -> Iterator[Elba]:
    """An Elba whose minutes take a second, with two delivery streams that have an endpoint."""
    here = f"http://127.0.0.1:{receiver.port}"
    running = Elba(
        tmp_path,
        *("--time-scale", "60"),
        *("--metric-stream", f"open=otlp+{here}/v1/metrics"),
        *("--metric-stream", f"prometheus=remote-write+{here}/api/v1/write"),
    )
    running.up()
    yield running
    running.down()
    assert running.leftovers() == []


def test_metrics_reach_an_otlp_and_a_remote_write_receiver(receiver: Receiver, streaming: Elba) -> None:
    watch = streaming.client("cloudwatch")
    account = streaming.home.root_key().account
    statistics = [
        {
            "IncludeMetrics": [{"Namespace": "Shop", "MetricName": "Latency"}],
            "AdditionalStatistics": ["p50", "p99"],
        }
    ]
    for name, format_ in (("open", "opentelemetry1.0"), ("prometheus", "json")):
        watch.put_metric_stream(
            Name=name,
            FirehoseArn=f"arn:aws:firehose:us-east-1:{account}:deliverystream/{name}",
            RoleArn=f"arn:aws:iam::{account}:role/streams",
            OutputFormat=format_,
            IncludeFilters=[{"Namespace": "Shop"}],
            StatisticsConfigurations=statistics,
        )
    datum = {
        "MetricName": "Latency",
        "Dimensions": [{"Name": "Store", "Value": "a"}],
        "Unit": "Milliseconds",
        "Values": [float(i) for i in range(1, 101)],
    }
    watch.put_metric_data(Namespace="Shop", MetricData=[datum])
    watch.put_metric_data(Namespace="Other", MetricData=[datum])
    name = "amazonaws.com/Shop/Latency"
    (point,) = eventually(lambda: receiver.otlp.get(name), 20, "the metric at the OTLP receiver")
    assert (point.count, point.sum) == (100, 5050.0)
    assert [(q.quantile, q.value) for q in point.quantile_values] == [(0, 1), (0.5, 50), (0.99, 99), (1, 100)]
    assert set(receiver.otlp) == {name}

    samples = receiver.samples
    eventually(lambda: "shop_latency_max" in samples, 20, "the metric at the remote-write receiver")
    ((labels, total),) = samples["shop_latency_sum"]
    assert total == 5050.0
    assert labels == {"account": account, "region": "us-east-1", "unit": "Milliseconds", "store": "a"}
    assert {labels["quantile"]: value for labels, value in samples["shop_latency"]} == {"0.5": 50.0, "0.99": 99.0}

    # What was measured before a kill, and not sent, is sent after the restart.
    watch.stop_metric_streams(Names=["prometheus"])
    receiver.turned_away.discard("/v1/metrics")
    watch.put_metric_data(Namespace="Shop", MetricData=[{"MetricName": "Late", "Value": 1.0}])
    time.sleep(1.0)  # what is promised to be durable
    streaming.kill()
    streaming.up()
    late = "amazonaws.com/Shop/Late"
    assert eventually(lambda: receiver.otlp.get(late), 20, "the metric after the restart")[0].sum == 1.0
    assert "shop_late_sum" not in samples
    entries = {e["Name"]: e["State"] for e in watch.list_metric_streams()["Entries"]}
    assert entries == {"open": "running", "prometheus": "stopped"}
    shown = subprocess.run(
        [sys.executable, "-m", "awscli", "cloudwatch", "get-metric-stream", "--name", "open"],
        env=streaming.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    described = json.loads(shown.stdout)
    assert described["StatisticsConfigurations"] == statistics and described["OutputFormat"] == "opentelemetry1.0"
    for stream in entries:
        watch.delete_metric_stream(Name=stream)
    with pytest.raises(watch.exceptions.ResourceNotFoundException):
        watch.get_metric_stream(Name="open")
