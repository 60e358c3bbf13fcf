"""A listener whose users log in at a real OpenID Connect provider (oidc-provider-mock), by an unmodified client."""

from __future__ import annotations

import base64
import http.client
import http.server
import json
import ssl
import threading
import urllib.request
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tests.acceptance.conftest import Elba, eventually, free_port
from tests.unit.acm import pki

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # the provider's own
]


class QuietProvider(WSGIRequestHandler):
    def get_environ(self) -> dict[str, Any]:
        return {**super().get_environ(), "HTTPS": "on"}

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class Provider:
    """The provider over TLS, on this machine. Its access tokens are good for two seconds."""

    def __init__(self, chain: Path, key: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from oidc_provider_mock import User, app

            claims = {"email": "ada@example.com", "role": "engineer"}
            provider = app(access_token_max_age=timedelta(seconds=2), user_claims=[User(sub="ada", claims=claims)])
        self.port = free_port()
        self.url = f"https://localhost:{self.port}"
        self.context = ssl.create_default_context(cafile=str(chain))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        self.server = make_server("127.0.0.1", self.port, provider, handler_class=QuietProvider)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def log_in(self, location: str, **form: str) -> str:
        """What a browser does with the login page: the address that the provider then sends it to."""
        parts = urlsplit(location)
        connection = http.client.HTTPSConnection("localhost", self.port, context=self.context, timeout=10)
        fields = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", f"{parts.path}?{parts.query}", urlencode(form), fields)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        assert answer.status in (302, 303), text
        return answer.headers["Location"]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Target:
    """Answers with the fields that it got."""

    def __init__(self, address: str, port: int) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self.server = http.server.ThreadingHTTPServer((address, port), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Browser:
    """Keeps cookies and follows nothing by itself."""

    def __init__(self, port: int, host: str) -> None:
        self.port, self.host = port, host
        self.cookies: dict[str, str] = {}

    def get(self, path: str, **fields: str) -> tuple[int, str, str]:
        """Status, Location and body."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=15)
        pairs = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection.request("GET", path, headers={"Host": self.host, **({"Cookie": pairs} if pairs else {}), **fields})
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        for line in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = line.split(";")[0].partition("=")
            self.cookies[name] = value
            if not value:
                del self.cookies[name]
        return answer.status, answer.headers.get("Location", ""), body


class Site:
    """A load balancer with an HTTPS listener and one target."""

    def __init__(self, elba: Elba, certificate: pki.Pair, provider: Provider) -> None:
        self.provider = provider
        self.elb, ec2 = elba.client("elbv2"), elba.client("ec2")
        acm = elba.client("acm")
        arn = acm.import_certificate(Certificate=certificate.pem, PrivateKey=certificate.key_pem)["CertificateArn"]
        subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]]
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        made = self.elb.create_load_balancer(Name="login", Subnets=subnets)["LoadBalancers"][0]
        self.balancer, self.port = made["LoadBalancerArn"], free_port()
        target_port = free_port()
        self.group = self.elb.create_target_group(
            Name="login",
            Protocol="HTTP",
            Port=target_port,
            VpcId=vpc,
            TargetType="ip",
            HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=2,
        )["TargetGroups"][0]["TargetGroupArn"]
        self.elb.register_targets(TargetGroupArn=self.group, Targets=[{"Id": "172.31.250.30"}])
        self.listener = self.elb.create_listener(
            LoadBalancerArn=self.balancer,
            Protocol="HTTPS",
            Port=self.port,
            Certificates=[{"CertificateArn": arn}],
            DefaultActions=self.actions(),
        )["Listeners"][0]["ListenerArn"]
        interfaces = ec2.describe_network_interfaces(Filters=[{"Name": "interface-type", "Values": ["interface"]}])
        public = next(i["Association"]["PublicIp"] for i in interfaces["NetworkInterfaces"] if "Association" in i)
        self.target = Target(f"{'.'.join(public.split('.')[:2])}.250.30", target_port)
        self.host = f"{made['DNSName']}:{self.port}"

    def actions(self, **changes: Any) -> list[dict[str, Any]]:
        oidc = {
            "Issuer": self.provider.url,
            "AuthorizationEndpoint": f"{self.provider.url}/oauth2/authorize",
            "TokenEndpoint": f"{self.provider.url}/oauth2/token",
            "UserInfoEndpoint": f"{self.provider.url}/userinfo",
            "ClientId": "elba",
            "ClientSecret": "secret",
            "Scope": "openid email",
        }
        return [
            {"Type": "authenticate-oidc", "Order": 1, "AuthenticateOidcConfig": {**oidc, **changes}},
            {"Type": "forward", "Order": 2, "TargetGroupArn": self.group},
        ]

    def change(self, **changes: Any) -> None:
        self.elb.modify_listener(ListenerArn=self.listener, DefaultActions=self.actions(**changes))

    def browser(self) -> Browser:
        return Browser(self.port, self.host)

    def is_healthy(self) -> bool:
        found = self.elb.describe_target_health(TargetGroupArn=self.group)["TargetHealthDescriptions"]
        return [each["TargetHealth"]["State"] for each in found] == ["healthy"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[pki.Pair, Path, Path]:
    """A certificate for localhost that signs itself, and its files."""
    directory = tmp_path_factory.mktemp("provider")
    now = datetime.now(UTC)
    made = pki.make("localhost", start=now - pki.DAY, end=now + pki.DAY)
    chain, key = directory / "provider.pem", directory / "provider.key"
    chain.write_bytes(made.pem)
    key.write_bytes(made.key_pem)
    return made, chain, key


@pytest.fixture(scope="module")
def site(pair: tuple[pki.Pair, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    provider = Provider(pair[1], pair[2])
    elba = Elba(tmp_path_factory.mktemp("oidc"), "--identity-ca", str(pair[1]))
    try:
        elba.up()
        site = Site(elba, pair[0], provider)
        try:
            eventually(site.is_healthy, 60, "the target is healthy")
            yield site
        finally:
            site.target.close()
    finally:
        elba.down()
        provider.close()


def logged_in(site: Site) -> Browser:
    browser = site.browser()
    status, location, _ = browser.get("/a?b=c")
    assert status == 302
    assert location.startswith(f"{site.provider.url}/oauth2/authorize?client_id=elba&redirect_uri=https%3A%2F%2F")
    back = urlsplit(site.provider.log_in(location, sub="ada"))
    assert (back.netloc, back.path) == (site.host, "/oauth2/idpresponse")
    status, location, _ = browser.get(f"{back.path}?{back.query}")
    assert (status, location) == (302, f"https://{site.host}/a?b=c")
    assert set(browser.cookies) == {"AWSELBAuthSessionCookie-0"}
    return browser


def padded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text)


def test_a_user_logs_in_and_the_target_knows_who_it_is(site: Site) -> None:
    site.change()
    eventually(lambda: site.browser().get("/")[0] == 302, 20, "the listener asks who is there")
    browser = logged_in(site)
    status, _, body = browser.get("/a?b=c", **{"X-Amzn-Oidc-Identity": "forged"})
    assert status == 200
    fields = json.loads(body)
    assert fields["x-amzn-oidc-identity"] == "ada"
    assert fields["x-amzn-oidc-accesstoken"]
    header, payload, signature = fields["x-amzn-oidc-data"].split(".")
    assert len(header) % 4 == len(payload) % 4 == len(signature) % 4 == 0
    head, claims = json.loads(padded(header)), json.loads(padded(payload))
    assert (head["alg"], head["signer"], head["client"]) == ("ES256", site.balancer, "elba")
    assert claims["email"] == "ada@example.com"
    endpoint = site.elb.meta.endpoint_url
    with urllib.request.urlopen(f"{endpoint}/_elba/public-keys/{head['kid']}", timeout=10) as answer:
        public = load_pem_public_key(answer.read())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    raw = padded(signature)
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    public.verify(der, f"{header}.{payload}".encode(), ec.ECDSA(SHA256()))

    # the access token is good for two seconds: then it is renewed, and the session goes on
    def renewed() -> bool:
        status, _, body = browser.get("/")
        assert status == 200
        return bool(json.loads(body)["x-amzn-oidc-accesstoken"] != fields["x-amzn-oidc-accesstoken"])

    eventually(renewed, 20, "the access token is renewed")


def test_who_may_not_come_in(site: Site) -> None:
    site.change()
    eventually(lambda: site.browser().get("/")[0] == 302, 20, "the listener asks who is there")
    browser = site.browser()
    _, location, _ = browser.get("/")
    back = urlsplit(site.provider.log_in(location, sub="ada", action="deny"))
    assert browser.get(f"{back.path}?{back.query}")[0] == 401
    assert site.browser().get("/oauth2/idpresponse?code=x&state=forged")[0] == 401
    # the way back belongs to the browser that left
    _, location, _ = browser.get("/")
    back = urlsplit(site.provider.log_in(location, sub="ada"))
    assert site.browser().get(f"{back.path}?{back.query}")[0] == 401
    forged = site.browser()
    forged.cookies["AWSELBAuthSessionCookie-0"] = "AAAA"
    assert forged.get("/")[0] == 302

    site.change(OnUnauthenticatedRequest="deny")
    eventually(lambda: site.browser().get("/")[0] == 401, 20, "who is not known is turned away")
    site.change(OnUnauthenticatedRequest="allow")
    eventually(lambda: site.browser().get("/")[0] == 200, 20, "who is not known is let in")
    _, _, body = site.browser().get("/", **{"X-Amzn-Oidc-Identity": "forged"})
    assert "x-amzn-oidc-identity" not in json.loads(body)
    # a provider that cannot be reached
    site.change(TokenEndpoint=f"https://localhost:{free_port()}/token")
    eventually(lambda: site.browser().get("/")[0] == 302, 20, "the listener asks who is there")
    browser = site.browser()
    _, location, _ = browser.get("/")
    back = urlsplit(site.provider.log_in(location, sub="ada"))
    assert browser.get(f"{back.path}?{back.query}")[0] == 500
