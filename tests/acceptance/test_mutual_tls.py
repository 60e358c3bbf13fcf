"""Mutual TLS and TLS to targets, end to end: a trust store from a local bucket, clients with and without certificates,
and a target with a certificate that nobody vouches for."""

from __future__ import annotations

import datetime
import http.client
import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.acceptance.conftest import Elba, eventually, free_port
from tests.unit.acm import pki

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

START = datetime.datetime.now(datetime.UTC).replace(microsecond=0) - pki.DAY
END = START + 90 * pki.DAY


def client_pair(issuer: pki.Pair) -> pki.Pair:
    private = pki.key("p256")
    name = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Shop, Inc."), x509.NameAttribute(NameOID.COMMON_NAME, "one")]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(name))
        .issuer_name(issuer.certificate.subject)
        .public_key(private.public_key())
        .serial_number(0x03A5B1)
        .not_valid_before(START)
        .not_valid_after(END)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    )
    return pki.Pair(builder.sign(issuer.private, hashes.SHA256()), private)


def files(directory: Path, name: str, pair: pki.Pair) -> tuple[Path, Path]:
    chain, key = directory / f"{name}.pem", directory / f"{name}.key"
    chain.write_bytes(pair.pem)
    key.write_bytes(pair.key_pem)
    return chain, key


class Target:
    """A target under TLS that answers with the fields that it got."""

    def __init__(self, address: str, port: int, chain: Path, key: Path) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        self.server = http.server.ThreadingHTTPServer((address, port), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Site:
    def __init__(self, elba: Elba, certificate: pki.Pair, root: pki.Pair) -> None:
        self.elba, self.elb, ec2 = elba, elba.client("elbv2"), elba.client("ec2")
        s3 = elba.client("s3")
        s3.create_bucket(Bucket="trust")
        s3.put_object(Bucket="trust", Key="roots.pem", Body=root.pem)
        self.store = self.elb.create_trust_store(
            Name="clients", CaCertificatesBundleS3Bucket="trust", CaCertificatesBundleS3Key="roots.pem"
        )["TrustStores"][0]["TrustStoreArn"]
        arn = elba.client("acm").import_certificate(Certificate=certificate.pem, PrivateKey=certificate.key_pem)
        subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]]
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        balancer = self.elb.create_load_balancer(Name="mutual", Subnets=subnets[:2])["LoadBalancers"][0]
        self.balancer, self.dns_name = balancer["LoadBalancerArn"], balancer["DNSName"]
        self.port, self.target_port = free_port(), free_port()
        self.group = self.elb.create_target_group(
            Name="secured",
            Protocol="HTTPS",
            Port=self.target_port,
            VpcId=vpc,
            TargetType="ip",
            HealthCheckProtocol="HTTPS",
            HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=2,
            HealthyThresholdCount=2,
        )["TargetGroups"][0]["TargetGroupArn"]
        self.elb.register_targets(TargetGroupArn=self.group, Targets=[{"Id": "172.31.250.30"}])
        self.elb.create_listener(
            LoadBalancerArn=self.balancer,
            Protocol="HTTPS",
            Port=self.port,
            SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06",
            Certificates=[{"CertificateArn": arn["CertificateArn"]}],
            MutualAuthentication={"Mode": "verify", "TrustStoreArn": self.store},
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.group}],
        )
        logs = {"enabled": "true", "bucket": "trust"}
        kinds = [f"{kind}_logs.s3.{key}" for kind in ("access", "connection", "health_check") for key in logs]
        given = [{"Key": key, "Value": logs[key.rpartition(".")[2]]} for key in kinds]
        self.elb.modify_load_balancer_attributes(LoadBalancerArn=self.balancer, Attributes=given)
        interfaces = ec2.describe_network_interfaces(Filters=[{"Name": "interface-type", "Values": ["interface"]}])
        public = next(i["Association"]["PublicIp"] for i in interfaces["NetworkInterfaces"] if "Association" in i)
        self.target_address = f"{'.'.join(public.split('.')[:2])}.250.30"

    def is_healthy(self) -> bool:
        found = self.elb.describe_target_health(TargetGroupArn=self.group)["TargetHealthDescriptions"]
        return [each["TargetHealth"]["State"] for each in found] == ["healthy"]

    def ask(self, identity: tuple[Path, Path] | None) -> dict[str, Any] | None:
        """What the target got; None = the connection was refused."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if identity:
            context.load_cert_chain(*identity)
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=5, context=context)
        try:
            connection.request("GET", "/", headers={"Host": self.dns_name, "X-Amzn-Mtls-Clientcert-Leaf": "forged"})
            answer = connection.getresponse()
            assert answer.status == 200
            got: dict[str, Any] = json.loads(answer.read())
            return got
        except (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected):
            return None
        finally:
            connection.close()


@pytest.fixture
def site(elba: Elba, tmp_path: Path) -> Iterator[tuple[Site, pki.Pair]]:
    root = pki.make("Clients' root", ca=True, start=START, end=END)
    made = Site(elba, pki.make("shop.example", start=START, end=END), root)
    unknown = pki.make("elsewhere.example", start=START - 90 * pki.DAY, end=START)
    target = Target(made.target_address, made.target_port, *files(tmp_path, "target", unknown))
    yield made, root
    target.close()
    made.elb.delete_load_balancer(LoadBalancerArn=made.balancer)


def test_clients_are_verified_and_targets_are_not(site: tuple[Site, pki.Pair], elba: Elba, tmp_path: Path) -> None:
    shop, root = site
    eventually(shop.is_healthy, 30, "the target under TLS being healthy")
    known = files(tmp_path, "known", client_pair(root))
    stranger = files(tmp_path, "stranger", client_pair(pki.make("Other root", ca=True, start=START, end=END)))
    got = eventually(lambda: shop.ask(known), 10, "a client with a certificate being served")
    assert got["x-amzn-mtls-clientcert-subject"] == "CN=one,O=Shop\\, Inc."
    assert got["x-amzn-mtls-clientcert-issuer"] == "CN=Clients' root"
    assert got["x-amzn-mtls-clientcert-serial-number"] == "03A5B1"
    validity = f"NotBefore={START:%Y-%m-%dT%H:%M:%SZ};NotAfter={END:%Y-%m-%dT%H:%M:%SZ}"
    assert got["x-amzn-mtls-clientcert-validity"] == validity
    assert got["x-amzn-mtls-clientcert-leaf"].startswith("-----BEGIN%20CERTIFICATE-----%0A")
    assert got["x-forwarded-proto"] == "https"
    assert shop.ask(None) is None
    assert shop.ask(stranger) is None

    def logged(kind: str) -> list[dict[str, Any]]:
        shown = elba.run("logs", "--lb", "mutual", "--type", kind, "--json", check=False).stdout.splitlines()
        return [json.loads(line) for line in shown]

    def refused() -> list[dict[str, Any]] | None:
        found = logged("connection")
        statuses = [each["tls_verify_status"] for each in found]
        wanted = ["Failed:UnmappedConnectionError", "Failed:ClientCertUntrusted"]
        return found if statuses[-2:] == wanted else None

    connections = eventually(refused, 10, "the connections being logged")
    served = next(each for each in connections if each["tls_verify_status"] == "Success")
    assert (served["leaf_client_cert_subject"], served["tls_protocol"]) == ("CN=one,O=Shop\\, Inc.", "TLSv1.3")
    assert (served["listener_port"], connections[-1]["leaf_client_cert_serial_number"]) == (shop.port, "03A5B1")
    checks = eventually(lambda: logged("health-check"), 20, "the checks being logged")
    assert {each["type"] for each in checks} == {"https"}
    assert (checks[-1]["status"], checks[-1]["status_code"], checks[-1]["target_group_id"]) == ("PASS", 200, "secured")
    request = eventually(lambda: logged("access"), 10, "the request being logged")[0]
    assert request["conn_trace_id"] in [each["conn_trace_id"] for each in connections]
    assert request["chosen_cert_arn"].startswith("arn:aws:acm:")

    s3 = elba.client("s3")
    s3.put_object(Bucket="trust", Key="revoked.pem", Body=revoking(root, 0x03A5B1))
    given = {"S3Bucket": "trust", "S3Key": "revoked.pem", "RevocationType": "CRL"}
    shop.elb.add_trust_store_revocations(TrustStoreArn=shop.store, RevocationContents=[given])
    eventually(lambda: shop.ask(known) is None, 10, "the revocation reaching the listener")
    shop.elb.remove_trust_store_revocations(TrustStoreArn=shop.store, RevocationIds=[1])
    eventually(lambda: shop.ask(known), 10, "the client being served again")


def revoking(issuer: pki.Pair, serial: int) -> bytes:
    revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(START).build()
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(START)
        .next_update(END)
        .add_revoked_certificate(revoked)
        .add_extension(x509.CRLNumber(1), critical=False)
    )
    return builder.sign(issuer.private, hashes.SHA256()).public_bytes(Encoding.PEM)
