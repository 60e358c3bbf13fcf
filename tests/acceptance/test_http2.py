"""HTTP/2 and gRPC through an HTTPS listener, spoken by httpx and grpcio, with a certificate that clients verify."""

from __future__ import annotations

import asyncio
import datetime
import http.server
import json
import queue
import ssl
import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import httpx
import pytest

from tests.acceptance.conftest import Elba, eventually, free_port
from tests.unit.acm import pki

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

NAME = "calls.example.com"
AT_ONCE = 50
WEB, CALLED = "172.31.250.10", "172.31.250.20"
SERVICES = {"elba.Plain": "HTTP", "elba.Sealed": "HTTPS"}
"""The service's name, and how the load balancer reaches it: over TCP or over TLS."""


class Web(http.server.ThreadingHTTPServer):
    """An HTTP/1.1 server. It answers what is below /meet once `AT_ONCE` requests have met there."""

    request_queue_size = 2 * AT_ONCE
    daemon_threads = True

    def __init__(self, address: str, port: int) -> None:
        self.meeting = meeting = threading.Barrier(AT_ONCE)

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path.startswith("/meet"):
                    meeting.wait(timeout=20)
                self.answer(f"{self.request_version} {self.path}".encode())

            def do_POST(self) -> None:
                self.answer(self.rfile.read(int(self.headers["Content-Length"])))

            def answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__((address, port), Handler)


def unary(request: bytes, context: grpc.ServicerContext) -> bytes:
    if request == b"unknown":
        context.abort(grpc.StatusCode.NOT_FOUND, "there is no such thing")
    sent = dict(context.invocation_metadata())
    context.set_trailing_metadata(
        (("x-seen", str(sent.get("x-sent"))), ("x-proto", str(sent.get("x-forwarded-proto"))))
    )
    return request[::-1]


def serve_calls(address: str, ports: dict[str, int]) -> grpc.Server:
    """A gRPC server with the same methods in each service; it knows nothing of health checks."""

    def counted(request: bytes, _: grpc.ServicerContext) -> Iterator[bytes]:
        yield from (b"%d" % number for number in range(int(request)))

    def total(requests: Iterator[bytes], _: grpc.ServicerContext) -> bytes:
        return b"%d" % sum(len(request) for request in requests)

    def echoed(requests: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
        yield from requests

    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Counted": grpc.unary_stream_rpc_method_handler(counted),
        "Total": grpc.stream_unary_rpc_method_handler(total),
        "Echoed": grpc.stream_stream_rpc_method_handler(echoed),
    }
    server = grpc.server(futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, methods) for service in SERVICES])
    server.add_insecure_port(f"{address}:{ports['HTTP']}")
    now = datetime.datetime.now(datetime.UTC)
    pair = pki.make("target.internal", start=now - pki.DAY, end=now + pki.DAY)
    server.add_secure_port(f"{address}:{ports['HTTPS']}", grpc.ssl_server_credentials([(pair.key_pem, pair.pem)]))
    server.start()
    return server


class Site:
    """A load balancer with one HTTPS listener: calls go to the GRPC groups, all else to a group of HTTP/1.1."""

    def __init__(self, elba: Elba) -> None:
        self.elba = elba
        self.root = elba.run("ca").stdout.encode()
        self.elbv2, self.ec2 = elba.client("elbv2"), elba.client("ec2")
        subnets = self.ec2.describe_subnets()["Subnets"]
        self.vpc = subnets[0]["VpcId"]
        self.balancer = self.elbv2.create_load_balancer(Name="calls", Subnets=[s["SubnetId"] for s in subnets])[
            "LoadBalancers"
        ][0]["LoadBalancerArn"]
        interfaces = self.ec2.describe_network_interfaces()["NetworkInterfaces"]
        public = next(each["Association"]["PublicIp"] for each in interfaces if "Association" in each)
        self.slice = ".".join(public.split(".")[:2])
        self.port, self.web_port = free_port(), free_port()
        self.ports = {protocol: free_port() for protocol in SERVICES.values()}
        self.web_group = self.group("web", WEB, self.web_port)
        self.groups = {
            service: self.group(protocol.lower(), CALLED, self.ports[protocol], protocol, "GRPC")
            for service, protocol in SERVICES.items()
        }
        certificate = elba.client("acm").request_certificate(DomainName=NAME)["CertificateArn"]
        self.listener = self.elbv2.create_listener(
            LoadBalancerArn=self.balancer,
            Protocol="HTTPS",
            Port=self.port,
            Certificates=[{"CertificateArn": certificate}],
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.web_group}],
        )["Listeners"][0]["ListenerArn"]
        for priority, (service, group) in enumerate(self.groups.items(), 1):
            self.elbv2.create_rule(
                ListenerArn=self.listener,
                Priority=priority,
                Conditions=[{"Field": "path-pattern", "Values": [f"/{service}/*"]}],
                Actions=[{"Type": "forward", "TargetGroupArn": group}],
            )
        self.set("access_logs.s3.enabled", "true", "access_logs.s3.bucket", "logs")

    def group(self, name: str, address: str, port: int, protocol: str = "HTTP", version: str = "HTTP1") -> str:
        made = self.elbv2.create_target_group(
            Name=name,
            Protocol=protocol,
            ProtocolVersion=version,
            Port=port,
            VpcId=self.vpc,
            TargetType="ip",
            HealthCheckProtocol=protocol,
            HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=2,
            HealthyThresholdCount=2,
            UnhealthyThresholdCount=2,
        )["TargetGroups"][0]["TargetGroupArn"]
        self.elbv2.register_targets(TargetGroupArn=made, Targets=[{"Id": address}])
        return str(made)

    def set(self, *pairs: str) -> None:
        attributes = [{"Key": key, "Value": value} for key, value in zip(pairs[::2], pairs[1::2], strict=True)]
        self.elbv2.modify_load_balancer_attributes(LoadBalancerArn=self.balancer, Attributes=attributes)

    def health(self, group: str) -> tuple[str, str]:
        found = self.elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"][0]["TargetHealth"]
        return found["State"], found.get("Description", "")

    def becomes(self, group: str, state: str) -> str:
        """Waits for the target's state; what is said about it."""
        eventually(lambda: self.health(group)[0] == state, 30, f"the target being {state}")
        return self.health(group)[1]

    def client(self, http2: bool = True) -> httpx.AsyncClient:
        """A client that keeps to one connection and trusts Elba's root alone."""
        trust = ssl.create_default_context(cadata=self.root.decode())
        limits = httpx.Limits(max_connections=1)
        return httpx.AsyncClient(http2=http2, verify=trust, timeout=30, limits=limits, trust_env=False)

    async def ask(self, client: httpx.AsyncClient, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Host": NAME, **more.pop("headers", {})}
        url = f"https://127.0.0.1:{self.port}{path}"
        return await client.request(method, url, headers=headers, extensions={"sni_hostname": NAME}, **more)

    def get(self, path: str, http2: bool = True) -> httpx.Response:
        async def once() -> httpx.Response:
            async with self.client(http2) as client:
                return await self.ask(client, "GET", path)

        return asyncio.run(once())

    def channel(self) -> grpc.Channel:
        trust = grpc.ssl_channel_credentials(self.root)
        options = [("grpc.ssl_target_name_override", NAME), ("grpc.enable_http_proxy", 0)]
        return grpc.secure_channel(f"127.0.0.1:{self.port}", trust, options)

    def logged(self) -> list[tuple[str, str, int]]:
        """Type, request line without its address, and status of the requests in the access log."""
        shown = self.elba.run("logs", "--lb", "calls", "--json", "-n", "500", check=False).stdout.splitlines()
        lines = [json.loads(line) for line in shown]
        start = f"https://{NAME}:{self.port}"
        return [(line["type"], line["request"].replace(start, ""), line["elb_status_code"]) for line in lines]


@pytest.fixture(scope="module")
def site(elba: Elba) -> Iterator[Site]:
    made = Site(elba)
    web = Web(f"{made.slice}.250.10", made.web_port)
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    calls = serve_calls(f"{made.slice}.250.20", made.ports)
    try:
        made.elbv2.get_waiter("load_balancer_available").wait(
            LoadBalancerArns=[made.balancer], WaiterConfig={"Delay": 1, "MaxAttempts": 30}
        )
        made.becomes(made.web_group, "healthy")
        yield made
    finally:
        calls.stop(None).wait()
        web.shutdown()
        web.server_close()
        thread.join()


def test_fifty_requests_at_once_on_one_connection(site: Site) -> None:
    async def meet() -> None:
        async with site.client() as client:
            answers = await asyncio.gather(*(site.ask(client, "GET", f"/meet/{number}") for number in range(AT_ONCE)))
            assert {(answer.http_version, answer.status_code) for answer in answers} == {("HTTP/2", 200)}
            assert [answer.text for answer in answers] == [f"HTTP/1.1 /meet/{number}" for number in range(AT_ONCE)]
            body = bytes(range(256)) * 1024
            answer = await site.ask(client, "POST", "/body", content=body)
            assert (answer.http_version, answer.content) == ("HTTP/2", body)

    asyncio.run(meet())


@pytest.mark.parametrize("service", SERVICES)
def test_calls_of_every_kind(site: Site, service: str) -> None:
    # a server that knows nothing of the check answers UNIMPLEMENTED, 12, which is what AWS takes for healthy
    site.becomes(site.groups[service], "healthy")
    with site.channel() as channel:
        call = channel.unary_unary(f"/{service}/Unary")
        answer, outcome = call.with_call(b"abc", metadata=[("x-sent", "token")], timeout=10)
        trailers = dict(outcome.trailing_metadata())
        assert (answer, trailers["x-seen"], trailers["x-proto"]) == (b"cba", "token", "https")
        with pytest.raises(grpc.RpcError) as refused:
            call(b"unknown", timeout=10)
        assert refused.value.code() == grpc.StatusCode.NOT_FOUND
        assert refused.value.details() == "there is no such thing"

        counted = channel.unary_stream(f"/{service}/Counted")(b"200", timeout=10)
        assert list(counted) == [b"%d" % number for number in range(200)]

        parts = (bytes(20_000) for _ in range(50))
        assert channel.stream_unary(f"/{service}/Total")(parts, timeout=10) == b"1000000"

        # each message goes only after the one before has come back: neither direction waits for the other's end
        sent: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        echoed = channel.stream_stream(f"/{service}/Echoed")(iter(sent.get, None), timeout=10)
        for number in range(20):
            sent.put(b"%d" % number)
            assert next(echoed) == b"%d" % number
        sent.put(None)
        assert list(echoed) == []
        assert echoed.code() == grpc.StatusCode.OK


def test_the_health_check_of_a_grpc_group_goes_by_its_matcher(site: Site) -> None:
    group = site.groups["elba.Plain"]
    site.becomes(group, "healthy")
    site.elbv2.modify_target_group(TargetGroupArn=group, Matcher={"GrpcCode": "0"})
    assert site.becomes(group, "unhealthy") == "Health checks failed with these codes: [12]"
    site.elbv2.modify_target_group(TargetGroupArn=group, HealthCheckPath="/elba.Plain/Unary")
    site.becomes(group, "healthy")


def test_protocols_that_do_not_go_together_get_464(site: Site) -> None:
    async def ask(http2: bool, path: str) -> tuple[str, int]:
        async with site.client(http2) as client:
            call = {"Content-Type": "application/grpc", "TE": "trailers"}
            answer = await site.ask(client, "POST", path, content=bytes(5), headers=call)
            return answer.http_version, answer.status_code

    assert asyncio.run(ask(False, "/elba.Plain/Unary")) == ("HTTP/1.1", 464)
    assert asyncio.run(ask(True, "/to.Web/Unary")) == ("HTTP/2", 464)


def test_the_access_log_tells_the_protocols(site: Site) -> None:
    assert site.get("/logged/web").status_code == 200
    assert site.get("/logged/old", http2=False).status_code == 200
    site.becomes(site.groups["elba.Sealed"], "healthy")
    with site.channel() as channel:
        assert channel.unary_unary("/elba.Sealed/Unary")(b"logged", timeout=10) == b"deggol"

    expected = [
        ("h2", "GET /logged/web HTTP/2.0", 200),
        ("https", "GET /logged/old HTTP/1.1", 200),
        ("grpcs", "POST /elba.Sealed/Unary HTTP/2.0", 200),
    ]
    eventually(lambda: set(expected) <= set(site.logged()), 15, "the requests in the access log")


def test_http2_turned_off(site: Site) -> None:
    assert site.get("/on").http_version == "HTTP/2"
    assert site.get("/on", http2=False).text == "HTTP/1.1 /on"
    site.set("routing.http2.enabled", "false")
    eventually(lambda: site.get("/off").http_version == "HTTP/1.1", 10, "HTTP/1.1 once HTTP/2 is off")
