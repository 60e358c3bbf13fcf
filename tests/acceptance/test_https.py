"""HTTPS with real sockets: certificates chosen by server name, and replaced under load with no request failed."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509

from tests.acceptance.conftest import Elba, eventually
from tests.unit.acm import pki

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

PORT = 8443
BODY = "served over TLS"
CLIENTS = 4


def pair(*names: str, kind: str) -> pki.Pair:
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    return pki.make(*names, kind=kind, start=now - pki.DAY, end=now + 90 * pki.DAY)


def import_(elba: Elba, made: pki.Pair, **more: str) -> str:
    answer = elba.client("acm").import_certificate(Certificate=made.pem, PrivateKey=made.key_pem, **more)
    arn: str = answer["CertificateArn"]
    return arn


class Site:
    """A load balancer that answers over TLS by itself."""

    def __init__(self, elba: Elba, certificate: str) -> None:
        self.elb = elba.client("elbv2")
        subnets = [each["SubnetId"] for each in elba.client("ec2").describe_subnets()["Subnets"]]
        made = self.elb.create_load_balancer(Name="tls", Subnets=subnets[:2])["LoadBalancers"][0]
        self.balancer, self.dns_name = made["LoadBalancerArn"], made["DNSName"]
        config = {"StatusCode": "200", "ContentType": "text/plain", "MessageBody": BODY}
        self.listener: str = self.elb.create_listener(
            LoadBalancerArn=self.balancer,
            Protocol="HTTPS",
            Port=PORT,
            SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06",
            Certificates=[{"CertificateArn": certificate}],
            DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": config}],
        )["Listeners"][0]["ListenerArn"]

    def active(self) -> bool:
        state = self.elb.describe_load_balancers(LoadBalancerArns=[self.balancer])["LoadBalancers"][0]["State"]
        assert state["Code"] != "failed", state
        return bool(state["Code"] == "active")


async def address_of(elba: Elba, name: str) -> str:
    resolver = elba.resolver()
    try:
        found = await resolver.resolve(name, PORT)
    finally:
        await resolver.close()
    return found[0]["host"]


def context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE  # which certificate comes is what is looked at
    return made


async def get(address: str, name: str | None) -> x509.Certificate:
    """The certificate that came for `name`, after a request over the connection was answered."""
    reader, writer = await asyncio.open_connection(address, PORT, ssl=context(), server_hostname=name or "")
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: a.example.com\r\nConnection: close\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 10)
        assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(BODY.encode()), answer
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.close()
    return x509.load_der_x509_certificate(der)


def test_certificates_by_name_and_replaced_under_load(elba: Elba) -> None:
    rsa, curve = pair("a.example.com", kind="rsa2048"), pair("b.example.com", "*.c.example.com", kind="p256")
    default, listed = import_(elba, rsa), import_(elba, curve)
    site = Site(elba, default)
    weaker = import_(elba, pair("b.example.com", kind="rsa2048"))  # ECDSA comes before RSA for the same name
    for each in (weaker, listed):
        site.elb.add_listener_certificates(ListenerArn=site.listener, Certificates=[{"CertificateArn": each}])
    eventually(site.active, 30, "the load balancer being active")
    address = asyncio.run(address_of(elba, site.dns_name))

    def serves(name: str, expected: pki.Pair) -> Callable[[], bool]:
        return lambda: asyncio.run(get(address, name)) == expected.certificate

    eventually(serves("b.example.com", curve), 10, "the certificate of the list being served")
    for name, expected in {
        "a.example.com": rsa,
        "A.EXAMPLE.com": rsa,
        "x.c.example.com": curve,
        "x.y.c.example.com": rsa,  # a wildcard covers one label
        "other.example.org": rsa,
    }.items():
        assert asyncio.run(get(address, name)) == expected.certificate, name

    served, failures = asyncio.run(replace_under_load(elba, site, address, default))
    assert failures == []
    assert served["old"] > 20 and served["new"] > 20, served
    site.elb.delete_load_balancer(LoadBalancerArn=site.balancer)
    for arn in (default, weaker, listed):
        elba.client("acm").delete_certificate(CertificateArn=arn)


async def replace_under_load(
    elba: Elba, site: Site, address: str, default: str
) -> tuple[dict[str, int], list[BaseException]]:
    """How many connections got the old and the new default certificate, and what failed."""
    served = {"old": 0, "new": 0}
    failures: list[BaseException] = []
    replacement = pair("new.example.com", kind="p384")
    stop, moved = asyncio.Event(), asyncio.Event()

    async def client() -> None:
        while not stop.is_set():
            try:
                certificate = await get(address, "a.example.com")
            except (OSError, AssertionError, TimeoutError) as error:
                failures.append(error)
            else:
                moved.set()
                served["new" if certificate == replacement.certificate else "old"] += 1

    async def until(what: Callable[[], Any]) -> None:
        async with asyncio.timeout(30):
            while not what():
                moved.clear()
                await moved.wait()

    clients = [asyncio.create_task(client()) for _ in range(CLIENTS)]
    try:
        await until(lambda: served["old"] > 20)
        await asyncio.to_thread(import_, elba, replacement, CertificateArn=default)
        await until(lambda: served["new"] > 20)
    finally:
        stop.set()
        await asyncio.gather(*clients)
    return served, failures
