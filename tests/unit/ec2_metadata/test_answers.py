"""The metadata service's answers, request by request."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from elba.autoscaling.resources import Member, WarmPool
from elba.ec2.metadata.answers import Response, respond
from elba.ec2.metadata.tokens import make_token, token_is_valid
from elba.ec2.resources import Instance, KeyPair, NetworkInterface, SecurityGroup, Subnet, Vpc
from elba.iam.resources import GLOBAL, AccessKey, InstanceProfile, Role
from elba.resource import Resource
from elba.store.interface import Image as StoreImage

OWNER = {"account": "123456789012", "region": "us-east-1"}
NOW = 1_800_000_000.0
KEY = b"k" * 32
MAC = "02:00:00:00:00:01"
TRUST = json.dumps(
    {"Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
)


def an_instance(**changes: Any) -> Instance:
    values: dict[str, Any] = {
        "id": "i-1",
        "image_id": "ami-1",
        "instance_type": "t3.micro",
        "subnet_id": "subnet-1",
        "vpc_id": "vpc-1",
        "availability_zone": "us-east-1a",
        "private_ip_address": "172.31.0.4",
        "private_dns_name": "ip-172-31-0-4.ec2.internal",
        "host_address": "127.16.0.4",
        "public_ip_address": "127.16.0.4",
        "public_dns_name": "ec2-127-16-0-4.compute-1.amazonaws.com",
        "network_interface_id": "eni-1",
        "reservation_id": "r-1",
        "launch_time": NOW,
        "group_ids": ["sg-1", "sg-2"],
        "key_name": "mine",
        "iam_instance_profile_arn": "arn:aws:iam::123456789012:instance-profile/web",
    }
    return Instance(**(OWNER | values | changes))


def a_role(**changes: Any) -> Role:
    values: dict[str, Any] = {
        "id": "app",
        "name": "App",
        "path": "/",
        "role_id": "AROA1",
        "create_time": NOW,
        "assume_role_policy_document": TRUST,
    }
    return Role(account=OWNER["account"], region=GLOBAL, **(values | changes))


def a_session(**changes: Any) -> AccessKey:
    values: dict[str, Any] = {
        "id": "ASIA1",
        "secret_access_key": "s",
        "owner_arn": "arn:aws:sts::123456789012:assumed-role/App/i-1",
        "owner_id": "AROA1:i-1",
        "session_token": "t",
        "expiration": NOW + 3600,
        "create_time": NOW - 10,
    }
    return AccessKey(account=OWNER["account"], region=GLOBAL, **(values | changes))


def a_store(*more: Resource) -> StoreImage:
    image = StoreImage()
    group: dict[str, Any] = {"description": "d", "vpc_id": "vpc-1"}
    for resource in (
        Vpc(**OWNER, id="vpc-1", cidr_block="172.31.0.0/16", slice=16),
        Subnet(
            **OWNER,
            id="subnet-1",
            vpc_id="vpc-1",
            cidr_block="172.31.0.0/20",
            availability_zone="us-east-1a",
            availability_zone_id="use1-az1",
        ),
        SecurityGroup(**OWNER, id="sg-1", group_name="web", **group),
        SecurityGroup(**OWNER, id="sg-2", group_name="db", **group),
        KeyPair(**OWNER, id="key-1", key_name="mine", key_fingerprint="f", public_key="ssh-rsa AAAA me"),
        NetworkInterface(
            **OWNER,
            id="eni-1",
            subnet_id="subnet-1",
            vpc_id="vpc-1",
            availability_zone="us-east-1a",
            private_ip_address="172.31.0.4",
            host_address="127.16.0.4",
            mac_address=MAC,
            group_ids=["sg-1", "sg-2"],
        ),
        InstanceProfile(
            account=OWNER["account"],
            region=GLOBAL,
            id="web",
            name="web",
            path="/",
            instance_profile_id="AIPA1",
            create_time=NOW,
            role_name="App",
        ),
        a_role(),
        *more,
    ):
        image.put(resource)
    return image


def ask(path: str, *more: Resource, method: str = "GET", headers: Any = None, **changes: Any) -> Response:
    return respond(a_store(*more), an_instance(**changes), method, path, headers or {}, NOW, KEY)


TOKEN = "/latest/api/token"
TTL = "x-aws-ec2-metadata-token-ttl-seconds"
ID = "/latest/meta-data/instance-id"
GOOD = {"x-aws-ec2-metadata-token": make_token(KEY, "i-1", NOW + 60)}


@pytest.mark.parametrize(
    ("method", "path", "headers", "changes", "status"),
    [
        ("PUT", TOKEN, {TTL: "21600"}, {}, 200),
        ("PUT", "/2021-07-15/api/token", {TTL: "1"}, {}, 200),
        ("PUT", TOKEN, {}, {}, 400),
        ("PUT", TOKEN, {TTL: "0"}, {}, 400),
        ("PUT", TOKEN, {TTL: "21601"}, {}, 400),
        ("PUT", TOKEN, {TTL: "-1"}, {}, 400),
        ("PUT", TOKEN, {TTL: "²"}, {}, 400),
        ("PUT", TOKEN, {TTL: "60", "x-forwarded-for": "1.2.3.4"}, {}, 403),
        ("GET", TOKEN, {}, {}, 405),
        ("PUT", TOKEN, {TTL: "60"}, {"http_endpoint": "disabled"}, 403),
        ("GET", ID, {}, {}, 200),
        ("HEAD", ID, {}, {}, 200),
        ("GET", ID, {}, {"http_tokens": "required"}, 401),
        ("GET", ID, GOOD, {"http_tokens": "required"}, 200),
        ("GET", ID, {"x-aws-ec2-metadata-token": "bad"}, {}, 401),
        ("GET", ID, {"x-aws-ec2-metadata-token": make_token(KEY, "i-2", NOW + 60)}, {}, 401),
        ("GET", ID, {"x-aws-ec2-metadata-token": make_token(KEY, "i-1", NOW)}, {}, 401),
        ("GET", ID, {"x-aws-ec2-metadata-token": make_token(b"other", "i-1", NOW + 60)}, {}, 401),
        ("GET", ID, {}, {"http_endpoint": "disabled"}, 403),
        ("POST", ID, {}, {}, 405),
        ("DELETE", ID, {}, {}, 405),
        ("PUT", ID, {}, {}, 405),
        ("GET", "/latest/meta-data/nothing", {}, {}, 404),
        ("GET", "/latest/meta-data/instance-id/more", {}, {}, 404),
        ("GET", "/next/meta-data/", {}, {}, 404),
        ("GET", "/latest/user-data", {}, {}, 404),
        ("GET", "/latest/meta-data/spot/instance-action", {}, {}, 404),
        ("GET", "/latest/meta-data/spot/termination-time", {}, {}, 404),
        ("GET", "/latest/meta-data/events/recommendations/rebalance", {}, {}, 404),
        ("GET", "/latest/meta-data/autoscaling/target-lifecycle-state", {}, {}, 404),
        ("GET", "/latest/meta-data/tags/instance/Name", {}, {"tags": {"Name": "x"}}, 404),
        ("GET", "/latest/meta-data/public-ipv4", {}, {"public_ip_address": ""}, 404),
        ("GET", "/latest/meta-data/iam/security-credentials/", {}, {"iam_instance_profile_arn": ""}, 404),
    ],
)
def test_statuses(method: str, path: str, headers: Any, changes: Any, status: int) -> None:
    assert ask(path, method=method, headers=headers, **changes).status == status


def test_a_token_from_the_service_is_good_for_its_time() -> None:
    answer = ask(TOKEN, method="PUT", headers={TTL: "60"})
    token = answer.body.decode()
    assert answer.headers[TTL] == "60"
    assert token_is_valid(KEY, "i-1", token, NOW + 59)
    assert not token_is_valid(KEY, "i-1", token, NOW + 60)


def test_version_one_is_counted() -> None:
    assert ask(ID).without_token
    assert not ask(ID, headers=GOOD).without_token


BASE = "/latest/meta-data/"
INTERFACE = f"{BASE}network/interfaces/macs/{MAC}/"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (BASE + "ami-id", "ami-1"),
        (BASE + "ami-launch-index", "0"),
        (BASE + "hostname", "ip-172-31-0-4.ec2.internal"),
        (BASE + "instance-action", "none"),
        (BASE + "instance-id", "i-1"),
        ("/2021-07-15/meta-data/instance-id", "i-1"),
        (BASE + "instance-life-cycle", "on-demand"),
        (BASE + "instance-type", "t3.micro"),
        (BASE + "local-hostname", "ip-172-31-0-4.ec2.internal"),
        (BASE + "local-ipv4", "172.31.0.4"),
        (BASE + "mac", MAC),
        (BASE + "placement/availability-zone", "us-east-1a"),
        (BASE + "placement/availability-zone-id", "use1-az1"),
        (BASE + "placement/region", "us-east-1"),
        (BASE + "profile", "default-hvm"),
        (BASE + "public-hostname", "ec2-127-16-0-4.compute-1.amazonaws.com"),
        (BASE + "public-ipv4", "127.16.0.4"),
        (BASE + "public-keys/", "0=mine"),
        (BASE + "public-keys/0/", "openssh-key"),
        (BASE + "public-keys/0/openssh-key", "ssh-rsa AAAA me"),
        (BASE + "reservation-id", "r-1"),
        (BASE + "security-groups", "web\ndb"),
        (BASE + "services/domain", "amazonaws.com"),
        (BASE + "services/partition", "aws"),
        (BASE + "block-device-mapping/", "ami\nroot"),
        (BASE + "block-device-mapping/root", "/dev/xvda"),
        (BASE + "events/maintenance/scheduled", "[]"),
        (BASE + "network/interfaces/macs/", f"{MAC}/"),
        (INTERFACE + "device-number", "0"),
        (INTERFACE + "interface-id", "eni-1"),
        (INTERFACE + "local-ipv4s", "172.31.0.4"),
        (INTERFACE + "owner-id", "123456789012"),
        (INTERFACE + "public-ipv4s", "127.16.0.4"),
        (INTERFACE + "ipv4-associations/127.16.0.4", "172.31.0.4"),
        (INTERFACE + "security-group-ids", "sg-1\nsg-2"),
        (INTERFACE + "subnet-id", "subnet-1"),
        (INTERFACE + "subnet-ipv4-cidr-block", "172.31.0.0/20"),
        (INTERFACE + "vpc-id", "vpc-1"),
        (INTERFACE + "vpc-ipv4-cidr-block", "172.31.0.0/16"),
        ("/latest", "dynamic\nmeta-data"),
        ("/latest/dynamic/", "fws/\ninstance-identity/"),
        ("/latest/dynamic/fws/instance-monitoring", "disabled"),
    ],
)
def test_values(path: str, body: str) -> None:
    answer = ask(path)
    assert (answer.status, answer.body.decode()) == (200, body)


def test_the_root_of_metadata_lists_directories_with_a_slash() -> None:
    names = ask(BASE).body.decode().split("\n")
    assert {"ami-id", "iam/", "network/", "placement/", "public-keys/", "services/"} <= set(names)
    assert "latest" in ask("/").body.decode().split("\n")


def test_user_data_is_decoded() -> None:
    answer = ask("/latest/user-data", user_data=base64.b64encode(b"#!/bin/sh\n\xff").decode())
    assert answer.body == b"#!/bin/sh\n\xff"
    assert ask("/latest/", user_data="eA==").body == b"dynamic\nmeta-data\nuser-data"


def test_tags_if_enabled() -> None:
    options: Any = {"tags": {"Name": "web", "stage": "prod"}, "instance_metadata_tags": "enabled"}
    assert ask(BASE + "tags/instance", **options).body == b"Name\nstage"
    assert ask(BASE + "tags/instance/Name", **options).body == b"web"


@pytest.mark.parametrize(
    ("state", "target"),
    [
        ("Pending", "InService"),
        ("Pending:Wait", "InService"),
        ("InService", "InService"),
        ("EnteringStandby", "Standby"),
        ("Standby", "Standby"),
        ("Detaching", "Detached"),
        ("Terminating:Wait", "Terminated"),
        ("Terminated", "Terminated"),
        ("Warmed:Pending:Wait", "Warmed:Stopped"),
        ("Warmed:Running", "Warmed:Running"),
        ("Warmed:Terminating:Wait", "Warmed:Terminated"),
    ],
)
def test_target_lifecycle_state(state: str, target: str) -> None:
    member = Member(
        **OWNER,
        id="i-1",
        group_name="g",
        availability_zone="us-east-1a",
        instance_type="t3.micro",
        lifecycle_state=state,
    )
    assert ask(BASE + "autoscaling/target-lifecycle-state", member).body.decode() == target


@pytest.mark.parametrize(
    ("state", "why", "target"),
    [
        ("Warmed:Pending:Wait", "", "Warmed:Hibernated"),
        ("Terminating:Wait", "scale-in", "Warmed:Hibernated"),
        ("Terminating:Wait", "unhealthy", "Terminated"),
    ],
)
def test_target_lifecycle_state_with_a_warm_pool(state: str, why: str, target: str) -> None:
    pool = WarmPool(**OWNER, id="g", pool_state="Hibernated", reuse_on_scale_in=True)
    member = Member(
        **OWNER,
        id="i-1",
        group_name="g",
        availability_zone="us-east-1a",
        instance_type="t3.micro",
        lifecycle_state=state,
        termination=why,
    )
    assert ask(BASE + "autoscaling/target-lifecycle-state", member, pool).body.decode() == target


def test_spot_notices() -> None:
    options: Any = {"spot_interruption_time": NOW + 120, "rebalance_recommendation_time": NOW}
    assert json.loads(ask(BASE + "spot/instance-action", **options).body) == {
        "action": "terminate",
        "time": "2027-01-15T08:02:00Z",
    }
    assert ask(BASE + "spot/termination-time", **options).body == b"2027-01-15T08:02:00Z"
    assert json.loads(ask(BASE + "events/recommendations/rebalance", **options).body) == {
        "noticeTime": "2027-01-15T08:00:00Z"
    }
    stop = options | {"spot_interruption_behavior": "stop"}
    assert json.loads(ask(BASE + "spot/instance-action", **stop).body)["action"] == "stop"
    assert ask(BASE + "spot/termination-time", **stop).status == 404


def test_identity_document() -> None:
    document = json.loads(ask("/latest/dynamic/instance-identity/document").body)
    assert document["accountId"] == "123456789012"
    assert document["instanceId"] == "i-1"
    assert document["imageId"] == "ami-1"
    assert document["instanceType"] == "t3.micro"
    assert document["privateIp"] == "172.31.0.4"
    assert document["region"] == "us-east-1"
    assert document["availabilityZone"] == "us-east-1a"
    assert document["architecture"] == "x86_64"
    assert document["pendingTime"] == "2027-01-15T08:00:00Z"


CREDENTIALS = BASE + "iam/security-credentials/"


def test_credentials() -> None:
    info = json.loads(ask(BASE + "iam/info").body)
    assert info["Code"] == "Success"
    assert info["InstanceProfileArn"] == "arn:aws:iam::123456789012:instance-profile/web"
    assert info["InstanceProfileId"] == "AIPA1"
    assert ask(CREDENTIALS, a_session()).body == b"App"
    assert json.loads(ask(CREDENTIALS + "App", a_session()).body) == {
        "Code": "Success",
        "LastUpdated": "2027-01-15T07:59:50Z",
        "Type": "AWS-HMAC",
        "AccessKeyId": "ASIA1",
        "SecretAccessKey": "s",
        "Token": "t",
        "Expiration": "2027-01-15T09:00:00Z",
    }
    assert ask(CREDENTIALS + "Other", a_session()).status == 404


def test_the_credentials_that_last_longest_are_shown_and_only_this_instances() -> None:
    newer = a_session(id="ASIA2", expiration=NOW + 7200)
    others = a_session(id="ASIA3", expiration=NOW + 9999, owner_arn="arn:aws:sts::123456789012:assumed-role/App/i-2")
    shown = json.loads(ask(CREDENTIALS + "App", a_session(), newer, others).body)
    assert shown["AccessKeyId"] == "ASIA2"
    assert ask(CREDENTIALS + "App", a_session(expiration=NOW + 299)).status == 404


def test_a_role_that_ec2_may_not_assume() -> None:
    closed = a_role(assume_role_policy_document=TRUST.replace("ec2.", "lambda."))
    shown = json.loads(ask(CREDENTIALS + "App", a_session(), closed).body)
    assert shown["Code"] == "AssumeRoleUnauthorizedAccess"
    assert "SecretAccessKey" not in shown
