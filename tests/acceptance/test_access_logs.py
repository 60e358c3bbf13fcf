"""Access logs end to end: enabled by boto3, shown by `elba logs`, shipped to an S3 endpoint that checks signatures."""

from __future__ import annotations

import gzip
import http.client
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from botocore.exceptions import ClientError

from tests.acceptance.conftest import Elba, eventually, free_port

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

KEY, SECRET = "AKIASHIPPER", "shipper's secret"


class Endpoint:
    """An S3 endpoint: takes signed objects into every bucket but "forbidden", and is out of order once."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.problems: list[str] = []
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(endpoint.put(self.path, dict(self.headers), body))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.out_of_order = 1

    def put(self, path: str, headers: dict[str, str], body: bytes) -> int:
        if self.signature(path, headers, body) != headers["Authorization"]:
            self.problems.append(f"{path}: bad signature")
            return 403
        if path.startswith("/forbidden/"):
            return 403
        if path.endswith(".gz") and self.out_of_order:
            self.out_of_order -= 1
            return 503
        self.objects[path.removeprefix("/")] = body
        return 200

    def signature(self, path: str, headers: dict[str, str], body: bytes) -> str:
        """What the Authorization field should be, by botocore."""
        signed = {"Content-Type": headers["Content-Type"]}
        request = botocore.awsrequest.AWSRequest(method="PUT", url=self.url + path, data=body, headers=signed)
        signer = botocore.auth.S3SigV4Auth(botocore.credentials.Credentials(KEY, SECRET), "s3", "us-east-1")
        request.context["timestamp"] = headers["X-Amz-Date"]
        request.headers["X-Amz-Date"] = headers["X-Amz-Date"]
        request.headers["X-Amz-Content-SHA256"] = headers["X-Amz-Content-SHA256"]
        canonical = signer.canonical_request(request)
        text = signer.string_to_sign(request, canonical)
        scope = f"{KEY}/{headers['X-Amz-Date'][:8]}/us-east-1/s3/aws4_request"
        names = signer.signed_headers(signer.headers_to_sign(request))
        signature = signer.signature(text, request)
        return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={signature}"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def elba(endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elba]:
    """Five minutes of AWS's time pass in 2.5 seconds."""
    options = ("--time-scale", "120", "--zones", "a,b", "--s3-endpoint", endpoint.url)
    running = Elba(tmp_path_factory.mktemp("elba"), *options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ELBA_S3_ACCESS_KEY_ID", KEY)
        patch.setenv("ELBA_S3_SECRET_ACCESS_KEY", SECRET)
        running.up()
    try:
        yield running
    finally:
        running.down()
    assert running.leftovers() == []


def attributes(bucket: str) -> list[dict[str, str]]:
    given = {"enabled": "true", "bucket": bucket, "prefix": "web"}
    return [{"Key": f"access_logs.s3.{name}", "Value": value} for name, value in given.items()]


def test_enabled_served_shown_and_shipped(elba: Elba, endpoint: Endpoint) -> None:
    elbv2 = elba.client("elbv2")
    subnets = [each["SubnetId"] for each in elba.client("ec2").describe_subnets()["Subnets"]]
    balancer: dict[str, Any] = elbv2.create_load_balancer(Name="logged", Subnets=subnets)["LoadBalancers"][0]
    arn, port = balancer["LoadBalancerArn"], free_port()
    fixed = {"StatusCode": "200", "ContentType": "text/plain", "MessageBody": "hello"}
    elbv2.create_listener(
        LoadBalancerArn=arn,
        Protocol="HTTP",
        Port=port,
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": fixed}],
    )
    elbv2.get_waiter("load_balancer_available").wait(
        LoadBalancerArns=[arn], WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    with pytest.raises(ClientError) as refused:
        elbv2.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=attributes("forbidden"))
    assert refused.value.response["Error"]["Code"] == "InvalidConfigurationRequest"
    assert "Access Denied for bucket: forbidden" in refused.value.response["Error"]["Message"]
    after = {a["Key"]: a["Value"] for a in elbv2.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]}
    assert after["access_logs.s3.enabled"] == "false"

    elbv2.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=attributes("logs"))
    test_object = "logs/web/AWSLogs/000000000000/ELBAccessLogTestFile"
    assert endpoint.objects[test_object].startswith(b"Enable AccessLog for ELB: logged at 20")

    def ask() -> list[dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/seen?by=log", headers={"Host": balancer["DNSName"], "User-Agent": "test"})
        assert connection.getresponse().read() == b"hello"
        connection.close()
        shown = elba.run("logs", "--lb", "logged", "--json", check=False).stdout.splitlines()
        return [json.loads(line) for line in shown]

    lines = eventually(ask, 15, "`elba logs` shows the requests")
    assert lines[-1]["request"] == f"GET http://{balancer['DNSName']}:{port}/seen?by=log HTTP/1.1"
    assert (lines[-1]["elb_status_code"], lines[-1]["user_agent"]) == (200, "test")

    def shipped() -> list[str]:
        return [name for name in endpoint.objects if name.endswith(".log.gz")]

    name = eventually(shipped, 30, "a file is shipped")[0]
    folder, _, file = name.rpartition("/")
    assert folder.startswith("logs/web/AWSLogs/000000000000/elasticloadbalancing/us-east-1/20")
    resource = arn.split("loadbalancer/")[1].replace("/", ".")
    assert file.startswith(f"000000000000_elasticloadbalancing_us-east-1_{resource}_20")
    first = gzip.decompress(endpoint.objects[name]).decode().splitlines()[0]
    assert '/seen?by=log HTTP/1.1" "test"' in first
    assert (elba.home.buckets_directory / name).is_file()
    assert endpoint.problems == [] and endpoint.out_of_order == 0
