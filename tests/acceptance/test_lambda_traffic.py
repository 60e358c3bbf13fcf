"""Functions behind a load balancer, with an unmodified boto3 client and real sockets."""

from __future__ import annotations

import http.client
import io
import json
import urllib.request
import zipfile
from typing import Any

import pytest

from tests.acceptance.conftest import Elba, eventually, free_port

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

SOURCE = """
import base64, json
def handler(event, context):
    path = event["path"]
    if path == "/up":
        agents = event["multiValueHeaders"]["user-agent"]
        return {"statusCode": 200 if agents == ["ELB-HealthChecker/2.0"] else 404}
    if path == "/fail":
        raise ValueError("no")
    if path == "/odd":
        return {"body": "no status"}
    if path == "/binary":
        body = base64.b64encode(bytes(range(256))).decode()
        return {"statusCode": 200, "headers": {"Content-Type": "image/x"}, "body": body, "isBase64Encoded": True}
    if path == "/large":
        return {"statusCode": 200, "body": "x" * (1024 * 1024 + 1)}
    if "multiValueHeaders" in event:
        both = {"Set-Cookie": ["a=1", "b=2"], "Content-Type": ["application/json"]}
        return {"statusCode": 201, "multiValueHeaders": both, "body": json.dumps(event)}
    headers = {"Content-Type": "application/json", "Connection": "close"}
    return {"statusCode": 201, "statusDescription": "201 Made", "headers": headers, "body": json.dumps(event)}
"""


def code() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("app.py", SOURCE)
    return made.getvalue()


class Site:
    def __init__(self, elba: Elba) -> None:
        self.elba, self.elb, self.functions = elba, elba.client("elbv2"), elba.client("lambda")
        trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        role = elba.client("iam").create_role(RoleName="fn", AssumeRolePolicyDocument=policy)["Role"]["Arn"]
        self.function = self.functions.create_function(
            FunctionName="fn", Runtime="python3.12", Role=role, Handler="app.handler", Code={"ZipFile": code()}
        )["FunctionArn"]
        self.functions.get_waiter("function_active_v2").wait(FunctionName="fn")
        made = self.elb.create_target_group(Name="fn", TargetType="lambda")["TargetGroups"][0]
        self.group = made["TargetGroupArn"]
        self.allow()
        self.elb.register_targets(TargetGroupArn=self.group, Targets=[{"Id": self.function}])
        subnets = [each["SubnetId"] for each in elba.client("ec2").describe_subnets()["Subnets"]]
        balancer = self.elb.create_load_balancer(Name="fn", Subnets=subnets[:2])["LoadBalancers"][0]
        self.balancer, self.name, self.port = balancer["LoadBalancerArn"], balancer["DNSName"], free_port()
        self.elb.create_listener(
            LoadBalancerArn=self.balancer,
            Protocol="HTTP",
            Port=self.port,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.group}],
        )
        logged = {"access_logs.s3.enabled": "true", "access_logs.s3.bucket": "logs"}
        self.elb.modify_load_balancer_attributes(
            LoadBalancerArn=self.balancer, Attributes=[{"Key": key, "Value": logged[key]} for key in logged]
        )
        waiter = self.elb.get_waiter("load_balancer_available")
        waiter.wait(LoadBalancerArns=[self.balancer], WaiterConfig={"Delay": 1, "MaxAttempts": 30})

    def allow(self) -> None:
        self.functions.add_permission(
            FunctionName="fn",
            StatementId="lb",
            Action="lambda:InvokeFunction",
            Principal="elasticloadbalancing.amazonaws.com",
            SourceArn=self.group,
        )

    def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            sent = {"Host": self.name, **named}
            connection.request(method, path, body, sent, encode_chunked=not isinstance(body, bytes))
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def reasons(self) -> list[str]:
        """Why functions gave no answer, as the access log has it."""
        lines = self.elba.run("logs", "--lb", "fn", "--json", "-n", "200").stdout.splitlines()
        return [reason for line in lines if (reason := json.loads(line)["error_reason"])]

    def counted(self, metric: str) -> float:
        """What CloudWatch has counted for the target group in the last hour."""
        with urllib.request.urlopen(f"{self.elba.endpoint}/_elba/status", timeout=10) as answer:
            end = json.load(answer)["clock"]
        group = self.group.split(":", 5)[5]
        found = self.elba.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/ApplicationELB",
            MetricName=metric,
            Dimensions=[{"Name": "TargetGroup", "Value": group}],
            StartTime=end - 3600,
            EndTime=end + 60,
            Period=60,
            Statistics=["Sum"],
        )["Datapoints"]
        return sum(float(each["Sum"]) for each in found)

    def health(self) -> dict[str, Any]:
        described = self.elb.describe_target_health(TargetGroupArn=self.group)["TargetHealthDescriptions"]
        assert [each["Target"]["Id"] for each in described] == [self.function]
        health: dict[str, Any] = described[0]["TargetHealth"]
        return health


@pytest.fixture(scope="module")
def site(elba: Elba) -> Site:
    return Site(elba)


def test_a_function_answers_for_its_target_group(site: Site) -> None:
    eventually(lambda: site.ask("GET", "/")[0] == 201, 20, "the function answers")
    status, headers, body = site.ask("GET", "/a%20b?k=v1&k=v2&flag", user_agent="test")
    assert (status, headers["Content-Type"], headers["Server"]) == (201, "application/json", "awselb/2.0")
    event = json.loads(body)
    assert event["requestContext"] == {"elb": {"targetGroupArn": site.group}}
    assert (event["httpMethod"], event["path"]) == ("GET", "/a%20b")
    assert event["queryStringParameters"] == {"k": "v2", "flag": ""}
    assert (event["body"], event["isBase64Encoded"]) == ("", False)
    assert event["headers"]["host"] == f"{site.name}:{site.port}".lower()
    assert event["headers"]["x-forwarded-port"] == str(site.port)
    assert set(event["headers"]) == {
        "host", "user-agent", "accept-encoding", "x-amzn-trace-id", "x-forwarded-for", "x-forwarded-port",
        "x-forwarded-proto",
    }  # fmt: skip

    event = json.loads(site.ask("POST", "/", b'{"a": 1}', content_type="application/json")[2])
    assert (event["body"], event["isBase64Encoded"]) == ('{"a": 1}', False)
    event = json.loads(site.ask("PUT", "/", iter([b"\xff\x00", b"\x01"]), transfer_encoding="chunked")[2])
    assert (event["body"], event["isBase64Encoded"]) == ("/wAB", True)
    assert "transfer-encoding" not in event["headers"]

    assert site.ask("GET", "/binary")[2] == bytes(range(256))
    status, headers, body = site.ask("HEAD", "/binary")
    assert (status, headers["Content-Length"], body) == (200, "256", b"")

    assert site.ask("GET", "/fail")[0] == 502
    assert site.ask("GET", "/odd")[0] == 502
    assert site.ask("GET", "/large")[0] == 502
    assert site.ask("POST", "/", bytes(1024 * 1024 + 1))[0] == 413
    assert site.ask("POST", "/", b"x" * (1024 * 1024), content_type="text/plain")[0] == 502  # the echo is too long
    assert site.ask("GET", "/", Upgrade="websocket", Connection="Upgrade", Sec_WebSocket_Key="x")[0] == 400

    site.functions.remove_permission(FunctionName="fn", StatementId="lb")
    assert site.ask("GET", "/")[0] == 502
    expected = [  # in no order: the nodes of three zones log, each when its answer is through
        "LambdaUnhandled",
        "LambdaInvalidResponse",
        "LambdaResponseTooLarge",
        "LambdaRequestTooLarge",
        "LambdaResponseTooLarge",
        "LambdaWebsocketNotSupported",
        "LambdaAccessDenied",
    ]
    eventually(lambda: sorted(site.reasons()[-len(expected) :]) == sorted(expected), 10, "the reasons are logged")
    eventually(lambda: site.counted("LambdaUserError") == len(expected), 30, "the user's errors are counted")
    assert site.counted("LambdaInternalError") == 0
    site.allow()
    assert site.ask("GET", "/")[0] == 201

    multi = [{"Key": "lambda.multi_value_headers.enabled", "Value": "true"}]
    site.elb.modify_target_group_attributes(TargetGroupArn=site.group, Attributes=multi)
    status, headers, body = site.ask("GET", "/?k=v1&k=v2")
    assert headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert json.loads(body)["multiValueQueryStringParameters"] == {"k": ["v1", "v2"]}


def test_functions_are_checked_when_asked_to(site: Site) -> None:
    off = {"State": "unavailable", "Reason": "Target.HealthCheckDisabled", "Description": "Health checks are disabled"}
    eventually(lambda: site.health() == off, 20, "checks are off")
    site.elb.modify_target_group(TargetGroupArn=site.group, HealthCheckEnabled=True, HealthCheckPath="/up")
    eventually(lambda: site.health() == {"State": "healthy"}, 20, "the function is healthy")
    changed = site.elb.describe_target_groups(TargetGroupArns=[site.group])["TargetGroups"][0]
    assert (changed["HealthCheckIntervalSeconds"], changed["HealthCheckTimeoutSeconds"]) == (35, 30)
