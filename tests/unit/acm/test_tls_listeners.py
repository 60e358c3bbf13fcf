"""HTTPS listeners: their certificates, policies, mutual authentication, and what zone nodes are told."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from elba.dataplane import protocol
from elba.dataplane.interface import Place
from elba.ec2.resources import Subnet
from elba.testing.world import World
from elba.wire import HttpRequest
from tests.unit.acm import pki

PLACE = Place("us-east-1", "us-east-1a")
FIXED = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}]


class Site:
    """A load balancer, and what makes listeners and certificates for it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.elb, self.acm, self.iam = (world.boto3(name) for name in ("elbv2", "acm", "iam"))
        self.elb.describe_load_balancers()
        self.balancer = self.load_balancer("site")

    def load_balancer(self, name: str) -> str:
        subnets = [subnet.id for subnet in self.world.store.view.all(Subnet)]
        made = self.elb.create_load_balancer(Name=name, Subnets=subnets)["LoadBalancers"][0]
        arn: str = made["LoadBalancerArn"]
        return arn

    def certificate(self, *names: str, kind: str = "p256", arn: str = "") -> str:
        pair = pki.make(*names, kind=kind)
        more = {"CertificateArn": arn} if arn else {}
        imported: str = self.acm.import_certificate(Certificate=pair.pem, PrivateKey=pair.key_pem, **more)[
            "CertificateArn"
        ]
        return imported

    def uploaded(self, name: str, *names: str) -> str:
        pair = pki.make(*names)
        answer = self.iam.upload_server_certificate(
            ServerCertificateName=name, CertificateBody=pair.pem.decode(), PrivateKey=pair.key_pem.decode()
        )
        arn: str = answer["ServerCertificateMetadata"]["Arn"]
        return arn

    def listener(self, certificate: str, port: int = 443, **more: Any) -> dict[str, Any]:
        request = {
            "LoadBalancerArn": self.balancer,
            "Protocol": "HTTPS",
            "Port": port,
            "Certificates": [{"CertificateArn": certificate}],
            "DefaultActions": FIXED,
            **more,
        }
        made: dict[str, Any] = self.elb.create_listener(**request)["Listeners"][0]
        return made

    def told(self, port: int = 443) -> protocol.Listener:
        """The listener as the node of the first zone has it, once all is settled."""
        self.world.settle()
        balancer = next(b for b in self.world.nodes.configuration(PLACE).load_balancers if b.arn == self.balancer)
        return next(listener for listener in balancer.listeners if listener.port == port)

    def put(self, key: str, body: bytes) -> dict[str, Any]:
        self.world.buckets.objects[("trust", key)] = body
        return {"CaCertificatesBundleS3Bucket": "trust", "CaCertificatesBundleS3Key": key}

    def trust_store(self, name: str, *roots: pki.Pair) -> str:
        where = self.put(f"{name}.pem", b"".join(root.pem for root in roots))
        arn: str = self.elb.create_trust_store(Name=name, **where)["TrustStores"][0]["TrustStoreArn"]
        return arn


@pytest.fixture
def site() -> Iterator[Site]:
    with World() as world:
        yield Site(world)


def refused(call: Any, code: str, text: str = "", status: int = 400, **parameters: Any) -> None:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    assert (error["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]) == (code, status), error
    assert text in error["Message"], error


def test_a_listener_with_certificates_of_acm_and_iam(site: Site) -> None:
    one, two = site.certificate("One.example.com"), site.uploaded("two", "two.example.com", "*.two.example.com")
    made = site.listener(one)
    assert made["Certificates"] == [{"CertificateArn": one}]
    assert made["SslPolicy"] == "ELBSecurityPolicy-2016-08"
    assert made["MutualAuthentication"] == {"Mode": "off"}
    arn = made["ListenerArn"]
    assert site.listener(one)["ListenerArn"] == arn  # the same call again
    added = site.elb.add_listener_certificates(ListenerArn=arn, Certificates=[{"CertificateArn": two}])
    assert added["Certificates"] == [{"CertificateArn": two, "IsDefault": False}]
    site.elb.add_listener_certificates(ListenerArn=arn, Certificates=[{"CertificateArn": one}])
    listed = site.elb.describe_listener_certificates(ListenerArn=arn)["Certificates"]
    assert [(c["CertificateArn"], c["IsDefault"]) for c in listed] == [(one, True), (two, False), (one, False)]
    told = site.told()
    assert [c.arn for c in told.certificates] == [one, two]
    assert [c.names for c in told.certificates] == [["one.example.com"], ["two.example.com", "*.two.example.com"]]
    assert told.ssl_policy == "ELBSecurityPolicy-2016-08" and told.mutual_tls is None
    assert all(c.private_key.startswith("-----BEGIN PRIVATE KEY-----") for c in told.certificates)

    assert site.acm.describe_certificate(CertificateArn=one)["Certificate"]["InUseBy"] == [site.balancer]
    refused(site.acm.delete_certificate, "ResourceInUseException", site.balancer, CertificateArn=one)
    refused(site.iam.delete_server_certificate, "DeleteConflict", status=409, ServerCertificateName="two")
    remove = site.elb.remove_listener_certificates
    remove(ListenerArn=arn, Certificates=[{"CertificateArn": one}])
    refused(remove, "OperationNotPermitted", ListenerArn=arn, Certificates=[{"CertificateArn": one}])
    remove(ListenerArn=arn, Certificates=[{"CertificateArn": two}])
    remove(ListenerArn=arn, Certificates=[{"CertificateArn": two}])
    assert [c.arn for c in site.told().certificates] == [one]
    site.iam.delete_server_certificate(ServerCertificateName="two")
    site.elb.delete_listener(ListenerArn=arn)
    site.acm.delete_certificate(CertificateArn=one)


def test_a_certificate_imported_again_reaches_the_nodes(site: Site) -> None:
    shared, other = site.certificate("a.example.com"), site.certificate("b.example.com")
    site.listener(shared)
    before = site.told()
    site.certificate("c.example.com", arn=other)
    assert site.told() is before  # nobody uses it
    site.certificate("new.example.com", arn=shared, kind="p384")
    after = site.told()
    assert after.certificates[0].names == ["new.example.com"]
    assert after.certificates[0].private_key != before.certificates[0].private_key


def test_a_server_certificate_renamed_goes_on_serving(site: Site) -> None:
    arn = site.uploaded("old", "a.example.com")
    made = site.listener(arn)
    site.told()
    site.iam.update_server_certificate(
        ServerCertificateName="old", NewServerCertificateName="new", NewPath="/cloudfront/"
    )
    new = "arn:aws:iam::000000000000:server-certificate/cloudfront/new"
    shown = site.elb.describe_listeners(ListenerArns=[made["ListenerArn"]])["Listeners"][0]
    assert shown["Certificates"] == [{"CertificateArn": new}]
    assert site.told().certificates[0].arn == new


def test_modify_between_http_and_https(site: Site) -> None:
    one, two = site.certificate("a.example.com"), site.certificate("b.example.com")
    arn = site.listener(one, SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06")["ListenerArn"]
    site.elb.add_listener_certificates(ListenerArn=arn, Certificates=[{"CertificateArn": two}])
    plain = site.elb.modify_listener(ListenerArn=arn, Protocol="HTTP", Port=80)["Listeners"][0]
    assert "Certificates" not in plain and "SslPolicy" not in plain
    assert site.told(80).certificates == []
    refused(site.elb.modify_listener, "ValidationError", "certificate", ListenerArn=arn, Protocol="HTTPS")
    back = site.elb.modify_listener(ListenerArn=arn, Protocol="HTTPS", Certificates=[{"CertificateArn": two}])
    assert back["Listeners"][0]["SslPolicy"] == "ELBSecurityPolicy-2016-08"
    assert [c.arn for c in site.told(80).certificates] == [two]


def test_what_a_listener_refuses(site: Site) -> None:
    good = site.certificate("a.example.com")
    weak = site.certificate("weak.example.com", kind="rsa1024")
    create = site.listener
    refused(create, "CertificateNotFound", certificate=good[:-1] + "x")
    refused(create, "CertificateNotFound", certificate=good.replace("us-east-1", "eu-west-1"))
    refused(create, "CertificateNotFound", certificate="arn:aws:iam::000000000000:server-certificate/none")
    refused(create, "ValidationError", "Certificate ARN", certificate="nonsense")
    refused(create, "UnsupportedCertificate", certificate=weak)
    refused(create, "SSLPolicyNotFound", certificate=good, SslPolicy="ELBSecurityPolicy-None")
    arn = create(good, SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06")["ListenerArn"]
    fips = "ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04"
    refused(create, "InvalidConfigurationRequest", "SSL policy", certificate=good, port=444, SslPolicy=fips)
    add = site.elb.add_listener_certificates
    refused(add, "CertificateNotFound", ListenerArn=arn, Certificates=[{"CertificateArn": good[:-1] + "x"}])
    refused(
        add, "ValidationError", "IsDefault", ListenerArn=arn,
        Certificates=[{"CertificateArn": good, "IsDefault": True}],
    )  # fmt: skip


def test_the_quota_of_certificates_is_of_the_load_balancer(site: Site) -> None:
    default = site.certificate("a.example.com")
    arns = [site.listener(default, port=port)["ListenerArn"] for port in (443, 444)]
    made = [site.certificate(f"{n}.example.com") for n in range(26)]
    add = site.elb.add_listener_certificates
    for number, certificate in enumerate(made[:25]):
        add(ListenerArn=arns[number % 2], Certificates=[{"CertificateArn": certificate}])
    add(ListenerArn=arns[0], Certificates=[{"CertificateArn": made[1]}])  # counted already
    refused(add, "TooManyCertificates", ListenerArn=arns[0], Certificates=[{"CertificateArn": made[25]}])


# ── trust stores ─────────────────────────────────────────────────────────────────────────────────────


def test_a_trust_store_through_its_life(site: Site) -> None:
    root, other = pki.make("Root", ca=True), pki.make("Other", ca=True, kind="rsa2048")
    arn = site.trust_store("clients", root)
    assert arn.startswith("arn:aws:elasticloadbalancing:us-east-1:000000000000:truststore/clients/")
    shown = site.elb.describe_trust_stores(Names=["clients"])["TrustStores"][0]
    assert (shown["Status"], shown["NumberOfCaCertificates"], shown["TotalRevokedEntries"]) == ("ACTIVE", 1, 0)
    listener = site.listener(
        site.certificate("a.example.com"),
        MutualAuthentication={"Mode": "verify", "TrustStoreArn": arn, "AdvertiseTrustStoreCaNames": "on"},
    )
    assert listener["MutualAuthentication"] == {
        "Mode": "verify",
        "TrustStoreArn": arn,
        "IgnoreClientCertificateExpiry": False,
        "TrustStoreAssociationStatus": "active",
        "AdvertiseTrustStoreCaNames": "on",
    }
    told = site.told().mutual_tls
    assert told == protocol.MutualTls(
        mode="verify", trust_store_arn=arn, ca_bundle=root.pem.decode(), advertise_names=True
    )
    site.elb.modify_trust_store(TrustStoreArn=arn, **site.put("two.pem", b"# two\n" + root.pem + other.pem))
    site.world.buckets.objects[("trust", "crl.pem")] = crl = pki.revocation_list(root, 3)
    content = {"S3Bucket": "trust", "S3Key": "crl.pem", "RevocationType": "CRL"}
    added = site.elb.add_trust_store_revocations(TrustStoreArn=arn, RevocationContents=[content, content])
    assert [(r["RevocationId"], r["NumberOfRevokedEntries"]) for r in added["TrustStoreRevocations"]] == [
        (1, 3), (2, 3),
    ]  # fmt: skip
    told = site.told().mutual_tls
    assert told is not None
    assert told.crls == [crl.decode()] * 2 and told.ca_bundle == (root.pem + other.pem).decode()
    shown = site.elb.describe_trust_stores(TrustStoreArns=[arn])["TrustStores"][0]
    assert (shown["NumberOfCaCertificates"], shown["TotalRevokedEntries"]) == (2, 6)
    site.elb.remove_trust_store_revocations(TrustStoreArn=arn, RevocationIds=[2])
    told = site.told().mutual_tls
    assert told is not None and len(told.crls) == 1
    again = site.elb.add_trust_store_revocations(TrustStoreArn=arn, RevocationContents=[content])
    assert again["TrustStoreRevocations"][0]["RevocationId"] == 3  # ids are not used again
    listed = site.elb.describe_trust_store_revocations(TrustStoreArn=arn)["TrustStoreRevocations"]
    assert [r["RevocationId"] for r in listed] == [1, 3]
    assert site.elb.describe_trust_store_associations(TrustStoreArn=arn)["TrustStoreAssociations"] == [
        {"ResourceArn": site.balancer}
    ]
    refused(site.elb.delete_trust_store, "TrustStoreInUse", TrustStoreArn=arn)
    refused(
        site.elb.delete_shared_trust_store_association, "DeleteAssociationSameAccount",
        TrustStoreArn=arn, ResourceArn=site.balancer,
    )  # fmt: skip
    off = site.elb.modify_listener(ListenerArn=listener["ListenerArn"], MutualAuthentication={"Mode": "off"})
    assert off["Listeners"][0]["MutualAuthentication"] == {"Mode": "off"}
    assert site.told().mutual_tls is None
    refused(
        site.elb.delete_shared_trust_store_association, "AssociationNotFound",
        TrustStoreArn=arn, ResourceArn=site.balancer,
    )  # fmt: skip
    refused(site.elb.get_resource_policy, "ResourceNotFound", ResourceArn=arn)
    site.elb.add_tags(ResourceArns=[arn], Tags=[{"Key": "a", "Value": "b"}])
    tags = site.elb.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"]
    assert tags == [{"Key": "a", "Value": "b"}]
    site.elb.delete_trust_store(TrustStoreArn=arn)
    refused(site.elb.describe_trust_stores, "TrustStoreNotFound", TrustStoreArns=[arn])


def test_contents_can_be_read_for_ten_minutes(site: Site) -> None:
    root = pki.make("Root", ca=True)
    arn = site.trust_store("clients", root)
    site.world.buckets.objects[("trust", "crl.pem")] = crl = pki.revocation_list(root, 1)
    content = [{"S3Bucket": "trust", "S3Key": "crl.pem"}]
    site.elb.add_trust_store_revocations(TrustStoreArn=arn, RevocationContents=content)
    bundle = site.elb.get_trust_store_ca_certificates_bundle(TrustStoreArn=arn)["Location"]
    revoked = site.elb.get_trust_store_revocation_content(TrustStoreArn=arn, RevocationId=1)["Location"]

    def read(location: str) -> tuple[int, bytes]:
        url = urllib.parse.urlsplit(location)
        app = site.world.app
        response = site.world.loop.run(app.handle(HttpRequest("GET", url.path, url.query, {"host": url.netloc}, b"")))
        return response.status, response.body

    assert read(bundle) == (200, root.pem)
    assert read(revoked) == (200, crl)
    assert read(revoked.replace("revocation=1", "revocation="))[0] == 404
    assert read(bundle.replace("signature=", "signature=0"))[0] == 404
    site.world.advance(601)
    assert read(bundle)[0] == 404
    refused(site.elb.get_trust_store_revocation_content, "RevocationIdNotFound", TrustStoreArn=arn, RevocationId=9)


def test_what_trust_stores_refuse(site: Site) -> None:
    root, leaf = pki.make("Root", ca=True), pki.make("leaf.example.com")
    create = site.elb.create_trust_store
    refused(
        create, "CaCertificatesBundleNotFound", Name="a", **{**site.put("k", b""), "CaCertificatesBundleS3Key": "z"}
    )
    outside: dict[str, Any] = {"CaCertificatesBundleS3Bucket": "trust", "CaCertificatesBundleS3Key": "../trust/k"}
    refused(create, "CaCertificatesBundleNotFound", Name="a", **outside)
    version: dict[str, Any] = {**site.put("root.pem", root.pem), "CaCertificatesBundleS3ObjectVersion": "1"}
    refused(create, "CaCertificatesBundleNotFound", Name="a", **version)
    for body in (b"", b"nonsense", leaf.pem, root.pem + leaf.pem, root.pem * 26, root.key_pem):
        refused(create, "InvalidCaCertificatesBundle", Name="a", **site.put("bad.pem", body))
    refused(
        create, "DuplicateTagKeys", Name="a", Tags=[{"Key": "k", "Value": ""}] * 2, **site.put("root.pem", root.pem)
    )
    arn = site.trust_store("a", root)
    refused(create, "DuplicateTrustStoreName", Name="a", **site.put("root.pem", root.pem))
    for number in range(19):
        site.trust_store(f"more-{number}", root)
    refused(create, "TooManyTrustStores", Name="last", **site.put("root.pem", root.pem))
    unknown = arn[:-16] + "0" * 16
    refused(site.elb.modify_trust_store, "TrustStoreNotFound", TrustStoreArn=unknown, **site.put("root.pem", root.pem))
    refused(site.elb.modify_trust_store, "InvalidCaCertificatesBundle", TrustStoreArn=arn, **site.put("x", leaf.pem))
    refused(site.elb.delete_trust_store, "TrustStoreNotFound", TrustStoreArn=unknown)
    refused(site.elb.describe_trust_stores, "TrustStoreNotFound", Names=["none"])
    refused(site.elb.describe_trust_store_associations, "ValidationError", TrustStoreArn="nonsense")
    add = site.elb.add_trust_store_revocations
    refused(
        add, "RevocationContentNotFound", TrustStoreArn=arn, RevocationContents=[{"S3Bucket": "trust", "S3Key": "y"}]
    )
    site.put("crl", b"nonsense")
    refused(
        add, "InvalidRevocationContent", TrustStoreArn=arn, RevocationContents=[{"S3Bucket": "trust", "S3Key": "crl"}]
    )
    site.put("good", pki.revocation_list(root, 1))
    many = [{"S3Bucket": "trust", "S3Key": "good"}] * 31
    refused(add, "TooManyTrustStoreRevocationEntries", TrustStoreArn=arn, RevocationContents=many)
    refused(site.elb.remove_trust_store_revocations, "RevocationIdNotFound", TrustStoreArn=arn, RevocationIds=[1])
    refused(site.elb.describe_trust_store_revocations, "RevocationIdNotFound", TrustStoreArn=arn, RevocationIds=[1])


def test_what_mutual_authentication_refuses(site: Site) -> None:
    certificate, store = site.certificate("a.example.com"), site.trust_store("clients", pki.make("Root", ca=True))

    def with_(**mutual: Any) -> dict[str, Any]:
        return {"certificate": certificate, "MutualAuthentication": mutual}

    create = site.listener
    mode = "Mutual Authentication mode"
    refused(create, "ValidationError", f"{mode} verify requires a trust store arn", **with_(Mode="verify"))
    text = f"{mode} passthrough does not support ignoring client certificate expiry"
    refused(create, "ValidationError", text, **with_(Mode="passthrough", IgnoreClientCertificateExpiry=True))
    text = f"{mode} off does not support advertise trust store ca names"
    refused(create, "ValidationError", text, **with_(Mode="off", AdvertiseTrustStoreCaNames="on"))
    refused(create, "ValidationError", "cannot be specified", **with_(Mode="passthrough", TrustStoreArn=store))
    refused(create, "ValidationError", f"{mode} required not found", **with_(Mode="required"))
    refused(create, "TrustStoreNotFound", **with_(Mode="verify", TrustStoreArn=store[:-16] + "0" * 16))
    create(**with_(Mode="passthrough"))
    assert site.told().mutual_tls == protocol.MutualTls(mode="passthrough")
    made = [create(port=port, **with_(Mode="verify", TrustStoreArn=store)) for port in (444, 445)]
    third = {**with_(Mode="verify", TrustStoreArn=store), "port": 446}
    text = (
        "You have reached the maximum number of listeners with mutual authentication with verify mode that you can "
        f"associate with load balancer '{site.balancer}': [2]"
    )
    refused(create, "InvalidConfigurationRequest", text, **third)
    again = site.elb.modify_listener(
        ListenerArn=made[0]["ListenerArn"],
        MutualAuthentication={"Mode": "verify", "TrustStoreArn": store, "IgnoreClientCertificateExpiry": True},
    )["Listeners"][0]
    assert again["MutualAuthentication"]["IgnoreClientCertificateExpiry"] is True
    told = site.told(444).mutual_tls
    assert told is not None and told.ignore_expiry


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"AuthorizationEndpoint": "idp.example.com/authorize"}, "The 'idp.example.com/authorize' URL is not valid"),
        ({"SessionTimeout": 700_000}, "'Session timeout' value '700000' must be between 1 and 604800 inclusive"),
        (
            {"AuthenticationRequestExtraParams": {f"k{n}": "v" for n in range(11)}},
            "You can specify up to 10 extra authentication request parameters",
        ),
    ],
)
def test_oidc_actions_that_are_refused(site: Site, config: dict[str, Any], text: str) -> None:
    plain = {
        "Issuer": "https://i",
        "AuthorizationEndpoint": "https://i/a",
        "TokenEndpoint": "https://i/t",
        "UserInfoEndpoint": "https://i/u",
        "ClientId": "c",
        "ClientSecret": "s",
    }
    action = {"Type": "authenticate-oidc", "Order": 1, "AuthenticateOidcConfig": {**plain, **config}}
    given: dict[str, Any] = {
        "certificate": site.certificate("a.example.com"),
        "DefaultActions": [action, {**FIXED[0], "Order": 2}],
    }
    refused(site.listener, "ValidationError", text, **given)


def test_no_redirect_from_https_to_http(site: Site) -> None:
    action = {"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", "Protocol": "HTTP", "Port": "80"}}
    given: dict[str, Any] = {"certificate": site.certificate("a.example.com"), "DefaultActions": [action]}
    refused(site.listener, "InvalidLoadBalancerAction", "You cannot redirect HTTPS to HTTP.", **given)


# ── IAM ──────────────────────────────────────────────────────────────────────────────────────────────


def test_server_certificates(site: Site) -> None:
    iam = site.iam
    root, pair = pki.make("Root", ca=True, kind="p384"), pki.make("x.example.com")
    leaf = pki.make("a.example.com", issuer=root)
    request: dict[str, Any] = {
        "ServerCertificateName": "web",
        "Path": "/cloudfront/",
        "CertificateBody": leaf.pem.decode(),
        "PrivateKey": leaf.key_pem.decode(),
        "CertificateChain": root.pem.decode(),
    }
    made = iam.upload_server_certificate(**request, Tags=[{"Key": "a", "Value": "b"}])
    assert made["ServerCertificateMetadata"]["Arn"] == ("arn:aws:iam::000000000000:server-certificate/cloudfront/web")
    assert made["ServerCertificateMetadata"]["Expiration"] == leaf.certificate.not_valid_after_utc
    shown = iam.get_server_certificate(ServerCertificateName="web")["ServerCertificate"]
    assert shown["CertificateBody"].encode() == leaf.pem.rstrip()
    assert shown["CertificateChain"].encode() == root.pem.rstrip()
    assert "PRIVATE" not in str(shown)
    iam.tag_server_certificate(ServerCertificateName="web", Tags=[{"Key": "c", "Value": "d"}])
    iam.untag_server_certificate(ServerCertificateName="web", TagKeys=["a"])
    assert iam.list_server_certificate_tags(ServerCertificateName="web")["Tags"] == [{"Key": "c", "Value": "d"}]
    names = [c["ServerCertificateName"] for c in iam.list_server_certificates()["ServerCertificateMetadataList"]]
    assert names == ["web"]
    assert iam.list_server_certificates(PathPrefix="/other/")["ServerCertificateMetadataList"] == []
    upload = iam.upload_server_certificate
    refused(upload, "EntityAlreadyExists", status=409, **request)
    fresh = {**request, "ServerCertificateName": "new"}
    refused(upload, "KeyPairMismatch", **{**fresh, "PrivateKey": root.key_pem.decode()})
    refused(upload, "MalformedCertificate", "Unable to parse certificate", **{**fresh, "CertificateBody": "nonsense"})
    refused(upload, "MalformedCertificate", "only one", **{**fresh, "CertificateBody": (leaf.pem * 2).decode()})
    refused(upload, "MalformedCertificate", "Private Key", **{**fresh, "PrivateKey": "nonsense"})
    refused(upload, "MalformedCertificate", "chain", **{**fresh, "CertificateChain": "nonsense"})
    refused(upload, "MalformedCertificate", "index", **{**fresh, "CertificateChain": pair.pem.decode()})
    for number in range(19):
        upload(**{**fresh, "ServerCertificateName": f"n{number}"})
    refused(upload, "LimitExceeded", status=409, **{**fresh, "ServerCertificateName": "last"})
    for call in (iam.get_server_certificate, iam.delete_server_certificate):
        refused(call, "NoSuchEntity", status=404, ServerCertificateName="none")
