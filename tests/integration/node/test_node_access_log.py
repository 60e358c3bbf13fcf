"""The access log of a real node, read back by Elba's own reader: requests of several kinds, intervals, the end."""

from __future__ import annotations

import gzip
import http.client
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from elba.access_log import Value, parse
from elba.dataplane.protocol import Action, Condition, FixedResponse, LoadBalancer, Node, Redirect, Rule, Snapshot
from elba.dataplane.protocol import WeightedTargetGroup as Weighted
from tests.integration.node.harness import (
    NodeProcess,
    Origin,
    a_balancer,
    a_free_port,
    a_group,
    a_node,
    an_address,
    get,
    wait_until,
)

pytestmark = pytest.mark.integration

ACCOUNT = "000000000000"
ATTRIBUTES = {"access_logs.s3.enabled": "true", "access_logs.s3.bucket": "logs", "access_logs.s3.prefix": "web"}


def rule(priority: int, path: str, action: Action) -> Rule:
    conditions = [Condition(field="path-pattern", values=[path])]
    return Rule(arn=f"rule-{priority}", priority=priority, conditions=conditions, actions=[action])


@dataclass
class Logged:
    """A started node with a load balancer that logs; where, and what it is told of itself."""

    node: NodeProcess
    address: str
    port: int
    folder: Path
    told: Node
    balancer: LoadBalancer

    def files(self) -> list[Path]:
        return sorted(self.folder.rglob("*.log.gz"))

    def records(self) -> list[Mapping[str, Value]]:
        """Of all files, in the order in which the requests came: a worker may log an answer after the next request."""
        lines = [line for path in self.files() for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
        return sorted((parse(line) for line in lines), key=lambda fields: str(fields["request_creation_time"]))


@pytest.fixture
def start(
    make_node: Callable[..., NodeProcess], make_origin: Callable[..., Origin], tmp_path: Path
) -> Callable[..., Logged]:
    def begin(scale: float) -> Logged:
        origin = make_origin("one")
        node = make_node().start()
        address = an_address()
        port = a_free_port(address)
        web = a_group("web", origin.target(known_health="healthy", host_header="172.31.0.9:8080"))
        empty = a_group("empty")
        closed = a_free_port("127.0.0.1")
        dead_target = msgspec.structs.replace(origin.target(known_health="healthy"), id="i-dead", port=closed)
        dead = a_group("dead", dead_target)
        balancer = a_balancer("web", address, port, web, account=ACCOUNT, attributes=ATTRIBUTES)
        rules = [
            rule(1, "/none", Action(kind="fixed-response", fixed_response=FixedResponse(status=404))),
            rule(2, "/old", Action(kind="redirect", redirect=Redirect(path="/new", status=302))),
            rule(3, "/empty", Action(kind="forward", target_groups=[Weighted(arn=empty.arn)])),
            rule(4, "/dead", Action(kind="forward", target_groups=[Weighted(arn=dead.arn)])),
            *balancer.listeners[0].rules,
        ]
        listener = msgspec.structs.replace(balancer.listeners[0], rules=rules)
        balancer = msgspec.structs.replace(balancer, listeners=[listener])
        folder = tmp_path / "buckets"
        told = a_node(log_directory=str(folder))
        told = msgspec.structs.replace(told, clock=msgspec.structs.replace(told.clock, scale=scale))
        snapshot = Snapshot(version=1, node=told, load_balancers=[balancer], target_groups=[web, empty, dead])
        node.connect().apply(snapshot)
        return Logged(node, address, port, folder, told, balancer)

    return begin


def test_requests_of_every_kind(start: Callable[..., Logged]) -> None:
    logged = start(1.0)
    ask = (logged.address, logged.port)
    for path, status in {"/": 200, "/none": 404, "/old": 302, "/empty": 503, "/dead": 502}.items():
        assert get(*ask, path)[0] == status
    with socket.create_connection(ask) as gone:
        gone.sendall(b"GET /slow HTTP/1.1\r\nHost: shop\r\nUser-Agent: impatient\r\n\r\n")
        tail = logged.node.data / "access" / "web.1.log"
        wait_until(lambda: tail.exists() and len(tail.read_text().splitlines()) == 5, "the live log shows them")
    wait_until(lambda: len(tail.read_text().splitlines()) == 6, "a client that left is logged")
    test_object = logged.folder / "logs" / "web" / "AWSLogs" / ACCOUNT / "ELBAccessLogTestFile"
    wait_until(test_object.exists, "the test object is written")
    logged.node.signal(signal.SIGTERM)
    assert logged.node.wait_for_exit() == 0

    (file,) = logged.files()
    assert file.is_relative_to(test_object.parent / "elasticloadbalancing" / "us-east-1")
    assert file.name.startswith(f"{ACCOUNT}_elasticloadbalancing_us-east-1_app.web.1_")
    assert f"Z_{logged.address}_" in file.name
    ok, none, old, empty, dead, left = logged.records()
    assert [each["elb_status_code"] for each in (ok, none, old, empty, dead, left)] == [200, 404, 302, 503, 502, 460]
    assert str(ok["target:port"]).startswith("172.31.0.9:") and ok["target_status_code"] == 200
    assert (ok["matched_rule_priority"], ok["actions_executed"]) == (0, "forward")
    assert ok["request"] == f"GET http://{logged.address}:{logged.port}/ HTTP/1.1"
    assert (none["matched_rule_priority"], none["actions_executed"], none["target:port"]) == (1, "fixed-response", None)
    assert (old["redirect_url"], old["actions_executed"]) == (f"http://{logged.address}:{logged.port}/new", "redirect")
    assert (empty["target:port"], str(empty["target_group_arn"]).rsplit("/")[-2]) == (None, "empty")
    assert (dead["target_status_code"], dead["request_processing_time"]) == (None, None)
    assert (left["user_agent"], left["sent_bytes"], left["target_status_code"]) == ("impatient", 0, None)


def test_a_file_for_each_interval_and_nothing_lost(start: Callable[..., Logged]) -> None:
    logged = start(600.0)  # five minutes pass in half a second
    asked = 0

    def has_two() -> bool:
        nonlocal asked
        asked += 1
        return get(logged.address, logged.port)[0] == 200 and len(logged.files()) >= 2

    wait_until(has_two, "two intervals end")
    assert logged.files()[0].name != logged.files()[1].name
    connection = http.client.HTTPConnection(logged.address, logged.port)
    for _ in range(300):
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"one"
    connection.close()
    logged.node.signal(signal.SIGTERM)
    assert logged.node.wait_for_exit() == 0
    assert len(logged.records()) == asked + 300
