"""Whatever a private key passes through prints without it: resources, configurations, answers, errors, the log."""

from __future__ import annotations

import logging

import msgspec
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elba.dataplane import protocol
from elba.dataplane.compile import compile_place
from elba.dataplane.delta import diff
from elba.dataplane.interface import Configuration, Place
from elba.ec2.resources import Subnet
from elba.log import JsonFormatter
from elba.testing.world import World
from tests.unit.acm import pki

TEXT = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=12, max_size=40)


@given(secret=TEXT, arn=TEXT, names=st.lists(TEXT, max_size=2))
@settings(max_examples=50, deadline=None)
def test_the_control_protocol(secret: str, arn: str, names: list[str]) -> None:
    secret = f"<{secret}>"
    listener = protocol.Listener(
        arn=arn,
        port=443,
        certificates=[protocol.Certificate(arn=arn, chain="c", private_key=secret, names=names)],
        rules=[
            protocol.Rule(
                arn=arn,
                priority=1,
                actions=[
                    protocol.Action(
                        kind="authenticate-oidc",
                        authenticate=protocol.Authenticate(
                            issuer="i",
                            authorization_endpoint="a",
                            token_endpoint="t",
                            user_info_endpoint="u",
                            client_id="c",
                            client_secret=secret,
                        ),
                    )
                ],
            )
        ],
    )
    balancer = protocol.LoadBalancer(
        arn=arn,
        name="n",
        resource_id="r",
        dns_name="d",
        listeners=[listener],
        cookie_keys=[protocol.CookieKey(id="k", secret=secret)],
    )
    snapshot = protocol.Snapshot(version=1, node=protocol.Node(id="a", zone="z", region="r"), load_balancers=[balancer])
    change = diff(Configuration([], []), Configuration([balancer], []), base=0, version=1)
    for value in (listener, balancer, snapshot, change, [snapshot], {"x": snapshot}):
        assert secret not in f"{value} {value!r} {value!s}"
    record = logging.LogRecord("n", 20, "", 0, "event", (), None)
    record.__dict__["configuration"] = snapshot
    assert secret not in JsonFormatter().format(record)
    # and yet the node is told it
    assert msgspec.json.decode(msgspec.json.encode(snapshot), type=protocol.Snapshot) == snapshot
    assert secret.encode() in msgspec.json.encode(snapshot)


@given(kind=st.sampled_from(["p256", "p384", "rsa2048"]), damage=st.sampled_from(["none", "key", "chain", "pair"]))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_whole_elba(caplog: pytest.LogCaptureFixture, kind: str, damage: str) -> None:
    pair = pki.make("a.example.com", kind=kind)
    key, body = pair.key_pem, b"".join(pair.key_pem.splitlines()[1:-1])
    secret = body[20:60].decode()
    if damage == "key":
        key = key.replace(b"\n", b"\n\n\0", 3)
    certificate = pki.make("b.example.com", kind="p521").pem if damage == "pair" else pair.pem
    chain = {"CertificateChain": b"nonsense" + key} if damage == "chain" else {}
    caplog.clear()
    caplog.set_level(logging.DEBUG, "elba")
    with World() as world:
        acm, elb = world.boto3("acm"), world.boto3("elbv2")
        told = ""
        try:
            acm.import_certificate(Certificate=certificate, PrivateKey=key, **chain)
            assert damage == "none"
        except ClientError as error:
            assert damage != "none"
            told = f"{error} {error.response}"
        issued = acm.request_certificate(DomainName="c.example.com", KeyAlgorithm="EC_prime256v1")
        arn = issued["CertificateArn"]
        told += f"{acm.describe_certificate(CertificateArn=arn)} {acm.get_certificate(CertificateArn=arn)}"
        told += f"{acm.list_certificates()} {elb.describe_load_balancers()}"
        subnets = [subnet.id for subnet in world.store.view.all(Subnet)]
        balancer = elb.create_load_balancer(Name="a", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
        listener = elb.create_listener(
            LoadBalancerArn=balancer,
            Protocol="HTTPS",
            Port=443,
            Certificates=[{"CertificateArn": arn}],
            DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}],
        )
        told += str(listener)
        world.settle()
        everything = list(world.store._image)
        configuration = compile_place(world.store.view, Place("us-east-1", "us-east-1a"))
        shown = f"{told} {everything!r} {configuration!r} " + " ".join(map(JsonFormatter().format, caplog.records))
    assert secret not in shown
    assert "-----BEGIN PRIVATE KEY" not in shown
    assert arn in repr(configuration) and "private_key=***" in repr(configuration)
