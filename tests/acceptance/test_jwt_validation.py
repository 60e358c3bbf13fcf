"""jwt-validation at an HTTPS listener, with an unmodified boto3 client and a real key server under TLS."""

from __future__ import annotations

import base64
import datetime
import http.client
import http.server
import json
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.acceptance.conftest import Elba, eventually, free_port
from tests.unit.acm import pki

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Signs tokens, and serves its public keys over HTTPS."""

    def __init__(self, directory: Path) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        self.fetched = 0
        self.answer: bytes | None = None
        now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        pair = pki.make("localhost", start=now - pki.DAY, end=now + pki.DAY)
        self.ca = directory / "issuer.pem"
        self.ca.write_bytes(pair.pem)
        both = directory / "both.pem"
        both.write_bytes(pair.pem + pair.key_pem)
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.fetched += 1
                body = issuer.keys() if issuer.answer is None else issuer.answer
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(both)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.server.server_address[1]}"

    def keys(self) -> bytes:
        numbers = self.key.public_key().public_numbers()
        modulus, exponent = b64(numbers.n.to_bytes(256, "big")), b64(numbers.e.to_bytes(3, "big"))
        key = {"kty": "RSA", "kid": "k1", "alg": "RS256", "use": "sig", "n": modulus, "e": exponent}
        return json.dumps({"keys": [key]}).encode()

    def token(self, **changes: Any) -> str:
        claims = {"iss": self.url, "exp": int(time.time()) + 600, "scope": "read write"} | changes
        claims = {name: value for name, value in claims.items() if value is not None}
        head = {"alg": "RS256", "kid": "k1", "typ": "JWT"}
        signed = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims).encode())}"
        return f"{signed}.{b64(self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[Issuer]:
    made = Issuer(tmp_path)
    yield made
    made.close()


def test_only_tokens_of_the_issuer_pass(issuer: Issuer, tmp_path: Path) -> None:
    elba = Elba(tmp_path / "elba", "--identity-ca", str(issuer.ca), "--node-workers", "1")
    elba.up()
    try:
        check(elba, issuer)
    finally:
        elba.down()
    assert elba.leftovers() == []


def check(elba: Elba, issuer: Issuer) -> None:
    elb, port = elba.client("elbv2"), free_port()
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    pair = pki.make("lb.example.com", start=now - pki.DAY, end=now + pki.DAY)
    certificate = elba.client("acm").import_certificate(Certificate=pair.pem, PrivateKey=pair.key_pem)["CertificateArn"]
    subnets = [each["SubnetId"] for each in elba.client("ec2").describe_subnets()["Subnets"]]
    balancer = elb.create_load_balancer(Name="jwt", Subnets=subnets[:2])["LoadBalancers"][0]
    scope = {"Name": "scope", "Format": "space-separated-values", "Values": ["write", "admin"]}
    config = {"JwksEndpoint": f"{issuer.url}/keys", "Issuer": issuer.url, "AdditionalClaims": [scope]}
    fixed = {"StatusCode": "200", "ContentType": "text/plain", "MessageBody": "let in"}
    listener = elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTPS",
        Port=port,
        Certificates=[{"CertificateArn": certificate}],
        DefaultActions=[
            {"Type": "jwt-validation", "Order": 1, "JwtValidationConfig": config},
            {"Type": "fixed-response", "Order": 2, "FixedResponseConfig": fixed},
        ],
    )["Listeners"][0]
    assert listener["DefaultActions"][0]["JwtValidationConfig"] == config
    waiter = elb.get_waiter("load_balancer_available")
    waiter.wait(LoadBalancerArns=[balancer["LoadBalancerArn"]], WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def ask(authorization: str | None) -> int:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=context)
        try:
            given = {} if authorization is None else {"Authorization": authorization}
            connection.request("GET", "/", headers={"Host": balancer["DNSName"], **given})
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()

    def is_served() -> bool:
        try:
            return ask(None) == 401
        except OSError:
            return False

    eventually(is_served, 20, "the listener answers")
    assert issuer.fetched == 0  # without a token there is nothing to verify
    issuer.answer = b"no key set"
    assert ask(f"Bearer {issuer.token()}") == 500
    issuer.answer = None
    time.sleep(1.5)  # a failure is remembered for a second
    for changed, status in (
        ({}, 200),
        ({"scope": "admin"}, 200),
        ({"scope": "read"}, 401),
        ({"scope": None}, 401),
        ({"iss": "https://other"}, 401),
        ({"exp": int(time.time()) - 1}, 401),
        ({"nbf": int(time.time()) + 600}, 401),
    ):
        assert ask(f"Bearer {issuer.token(**changed)}") == status, changed
    head, payload, signature = issuer.token().split(".")
    assert ask(f"Bearer {head}.{payload}.{signature[:-8]}AAAAAAAA") == 401
    forged = b64(json.dumps({"iss": issuer.url, "exp": 9_999_999_999, "scope": "admin"}).encode())
    assert ask(f"Bearer {head}.{forged}.{signature}") == 401
    unsigned = b64(b'{"alg":"none"}')
    assert ask(f"Bearer {unsigned}.{forged}.") == 401
    assert ask(f"Basic {b64(b'a:b')}") == 401
    assert issuer.fetched <= 5  # each of the three nodes keeps what it has fetched; one had fetched what is no key set
