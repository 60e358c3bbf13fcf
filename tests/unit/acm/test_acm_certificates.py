"""Certificate Manager through boto3: what it takes, shows, lists, issues and refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from elba.acm.resources import Authority
from elba.testing.world import World
from tests.unit.acm import pki

ARN = "arn:aws:acm:us-east-1:000000000000:certificate/00000000-0000-4000-8000-000000000000"


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture
def acm(world: World) -> Any:
    return world.boto3("acm")


def refused(call: Any, code: str, text: str = "", **parameters: Any) -> None:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    assert (error["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]) == (code, 400), error
    assert text in error["Message"], error


def put(acm: Any, pair: pki.Pair, **more: Any) -> str:
    arn: str = acm.import_certificate(Certificate=pair.pem, PrivateKey=pair.key_pem, **more)["CertificateArn"]
    return arn


def test_an_imported_certificate_through_its_life(acm: Any) -> None:
    root = pki.make("Root", ca=True, organization="Example CA", kind="p384")
    middle = pki.make("Middle", ca=True, issuer=root, organization="Example Middle", kind="p256-2")
    leaf = pki.make("WWW.example.com", "*.Example.com", issuer=middle, kind="rsa2048")
    arn = put(acm, leaf, CertificateChain=middle.pem + root.pem, Tags=[{"Key": "a", "Value": "b"}])
    shown = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    assert (shown["DomainName"], shown["Type"], shown["Status"]) == ("www.example.com", "IMPORTED", "ISSUED")
    assert shown["SubjectAlternativeNames"] == ["www.example.com", "*.example.com"]
    assert (shown["KeyAlgorithm"], shown["SignatureAlgorithm"]) == ("RSA_2048", "SHA256WITHECDSA")
    assert (shown["Issuer"], shown["Subject"]) == ("Example Middle", "CN=WWW.example.com")
    assert shown["Serial"].replace(":", "").lstrip("0") == f"{leaf.certificate.serial_number:x}"
    assert shown["ExtendedKeyUsages"] == [{"Name": "TLS_WEB_SERVER_AUTHENTICATION", "OID": "1.3.6.1.5.5.7.3.1"}]
    assert (shown["InUseBy"], shown["RenewalEligibility"]) == ([], "INELIGIBLE")
    assert shown["NotAfter"] == leaf.certificate.not_valid_after_utc
    assert "PRIVATE" not in str(shown)
    text = acm.get_certificate(CertificateArn=arn)
    assert text["Certificate"].encode() == leaf.pem and text["CertificateChain"].encode() == middle.pem + root.pem

    repeated = leaf.pem + middle.pem + root.pem  # as some clients build a chain
    assert put(acm, leaf, CertificateArn=arn, CertificateChain=repeated) == arn
    assert acm.get_certificate(CertificateArn=arn)["CertificateChain"].encode() == repeated

    other = pki.make("other.example.com")
    assert put(acm, other, CertificateArn=arn) == arn
    again = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    assert (again["DomainName"], again["KeyAlgorithm"]) == ("other.example.com", "EC_prime256v1")
    own = acm.get_certificate(CertificateArn=arn)  # its own chain, as ACM shows one that came without
    assert own["CertificateChain"] == own["Certificate"]
    assert acm.list_tags_for_certificate(CertificateArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
    refused(
        acm.import_certificate,
        "ValidationException",
        "re-import",
        CertificateArn=arn,
        Certificate=other.pem,
        PrivateKey=other.key_pem,
        Tags=[{"Key": "k", "Value": "v"}],
    )
    acm.delete_certificate(CertificateArn=arn)
    refused(acm.describe_certificate, "ResourceNotFoundException", arn, CertificateArn=arn)


@pytest.mark.parametrize("kind", ["rsa1024", "rsa3072", "p384", "p521"])
def test_kinds_of_keys(acm: Any, kind: str) -> None:
    arn = put(acm, pki.make("a.example.com", kind=kind))
    names = {"p384": "EC_secp384r1", "p521": "EC_secp521r1"}
    expected = names.get(kind, kind.upper().replace("RSA", "RSA_"))
    assert acm.describe_certificate(CertificateArn=arn)["Certificate"]["KeyAlgorithm"] == expected


def test_what_cannot_be_imported(acm: Any) -> None:
    good, other = pki.make("a.example.com"), pki.make("b.example.com", kind="p256-3")
    root, stranger = pki.make("Root", ca=True, kind="p384"), pki.make("Stranger", ca=True, kind="p384-2")
    signed = pki.make("c.example.com", issuer=root)
    traditional = good.private.private_bytes(  # a key under a passphrase
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    brainpool, edwards = pki.make("d.example.com", kind="k1"), pki.make("e.example.com", kind="ed25519")
    old = pki.make("f.example.com", start=pki.NOW - 9 * pki.DAY, end=pki.NOW - pki.DAY)
    young = pki.make("g.example.com", start=pki.NOW + pki.DAY)
    broken = good.pem.replace(b"MII", b"MIX", 1)
    for certificate, private, chain, text in (
        (b"nonsense", good.key_pem, None, "Could not parse the certificate"),
        (broken, good.key_pem, None, "Could not parse the certificate"),
        (good.key_pem, good.key_pem, None, "Could not parse the certificate"),
        (good.pem + other.pem, good.key_pem, None, "more than one certificate"),
        (good.pem, b"nonsense", None, "private key is not supported"),
        (good.pem, good.pem, None, "private key is not supported"),
        (good.pem, traditional, None, "encrypted"),
        (good.pem, other.key_pem, None, "does not match"),
        (edwards.pem, edwards.key_pem, None, "private key is not supported"),
        (brainpool.pem, brainpool.key_pem, None, "key algorithm"),
        (old.pem, old.key_pem, None, "expired"),
        (young.pem, young.key_pem, None, "not valid yet"),
        (signed.pem, signed.key_pem, stranger.pem, "certificate chain"),
        (signed.pem, signed.key_pem, root.pem + stranger.pem, "certificate chain"),
        (signed.pem, signed.key_pem, b"nonsense", "certificate chain"),
    ):
        more: dict[str, Any] = {"CertificateChain": chain} if chain else {}
        refused(
            acm.import_certificate, "ValidationException", text, Certificate=certificate, PrivateKey=private, **more
        )
    pair: dict[str, Any] = {"Certificate": good.pem, "PrivateKey": good.key_pem}
    refused(acm.import_certificate, "ResourceNotFoundException", CertificateArn=ARN, **pair)
    refused(acm.import_certificate, "InvalidTagException", Tags=[{"Key": "aws:x", "Value": ""}], **pair)
    issued = acm.request_certificate(DomainName="h.example.com")["CertificateArn"]
    refused(acm.import_certificate, "ValidationException", "imported", CertificateArn=issued, **pair)
    assert acm.list_certificates(Includes={"keyTypes": ["EC_prime256v1"]})["CertificateSummaryList"] == []


def test_sec1_and_pkcs1_keys_are_taken(acm: Any) -> None:
    for kind in ("p256", "rsa2048"):
        pair = pki.make("a.example.com", kind=kind)
        private = pair.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
        acm.import_certificate(Certificate=b"a comment\n" + pair.pem, PrivateKey=parameters + private)


def test_a_certificate_expires_by_the_worlds_time(world: World, acm: Any) -> None:
    arn = put(acm, pki.make("a.example.com", kind="rsa2048", end=pki.NOW + pki.DAY))
    assert acm.list_certificates(CertificateStatuses=["EXPIRED"])["CertificateSummaryList"] == []
    world.advance(86400 + 60)
    assert acm.describe_certificate(CertificateArn=arn)["Certificate"]["Status"] == "EXPIRED"
    assert acm.list_certificates(CertificateStatuses=["EXPIRED"])["CertificateSummaryList"][0]["CertificateArn"] == arn


def test_lists_filters_and_pages(world: World, acm: Any) -> None:
    made = []
    for number in range(5):
        made.append(put(acm, pki.make(f"{number}.example.com", kind="rsa2048")))
        world.advance(1)
    curve = put(acm, pki.make("curve.example.com"))
    arns = [c["CertificateArn"] for c in acm.list_certificates()["CertificateSummaryList"]]
    assert arns == made  # only RSA to 2048 bits unless key types are named
    both = acm.list_certificates(Includes={"keyTypes": ["EC_prime256v1", "RSA_2048"]})["CertificateSummaryList"]
    assert [c["CertificateArn"] for c in both] == [*made, curve]
    pages = acm.get_paginator("list_certificates").paginate(PaginationConfig={"PageSize": 2})
    assert [[c["DomainName"][0] for c in p["CertificateSummaryList"]] for p in pages] == [
        ["0", "1"], ["2", "3"], ["4"],
    ]  # fmt: skip
    newest = acm.list_certificates(SortBy="CREATED_AT", SortOrder="DESCENDING")["CertificateSummaryList"]
    assert [c["CertificateArn"] for c in newest] == made[::-1]
    refused(acm.list_certificates, "InvalidArgsException", SortBy="CREATED_AT")
    refused(acm.list_certificates, "ValidationException", "token", NextToken="nonsense")
    usage = {"extendedKeyUsage": ["TLS_WEB_CLIENT_AUTHENTICATION"]}
    assert acm.list_certificates(Includes=usage)["CertificateSummaryList"] == []
    assert len(acm.list_certificates(Includes={"extendedKeyUsage": ["ANY"]})["CertificateSummaryList"]) == 5
    assert len(acm.list_certificates(Includes={"keyUsage": ["ANY"]})["CertificateSummaryList"]) == 5
    origin = acm.list_certificates(CertificateKeyPairOrigins=["AWS_MANAGED"])
    assert origin["CertificateSummaryList"] == []


def test_tags(acm: Any) -> None:
    arn = put(acm, pki.make("a.example.com"))
    acm.add_tags_to_certificate(CertificateArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b"}])
    acm.remove_tags_from_certificate(CertificateArn=arn, Tags=[{"Key": "a", "Value": "2"}, {"Key": "b"}])
    assert acm.list_tags_for_certificate(CertificateArn=arn)["Tags"] == [{"Key": "a", "Value": "1"}]
    many = [{"Key": str(n), "Value": "v"} for n in range(50)]
    refused(acm.add_tags_to_certificate, "TooManyTagsException", CertificateArn=arn, Tags=many)
    twice = [{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}]
    refused(acm.add_tags_to_certificate, "InvalidParameterException", CertificateArn=arn, Tags=twice)
    refused(acm.add_tags_to_certificate, "InvalidArnException", CertificateArn=f"{ARN}/x/y", Tags=twice)


def test_a_requested_certificate_is_issued_by_elbas_own_root(world: World, acm: Any) -> None:
    request = {
        "DomainName": "Example.com",
        "SubjectAlternativeNames": ["*.example.com"],
        "ValidationMethod": "DNS",
        "IdempotencyToken": "t1",
    }
    arn = acm.request_certificate(**request)["CertificateArn"]
    assert acm.request_certificate(**request)["CertificateArn"] == arn
    acm.get_waiter("certificate_validated").wait(CertificateArn=arn)
    shown = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    assert (shown["Type"], shown["Status"], shown["KeyAlgorithm"]) == ("AMAZON_ISSUED", "ISSUED", "RSA_2048")
    one, two = shown["DomainValidationOptions"]
    assert one["ValidationStatus"] == two["ValidationStatus"] == "SUCCESS"
    assert one["ResourceRecord"] == two["ResourceRecord"]  # so that one record validates both, as ACM's
    text = acm.get_certificate(CertificateArn=arn)
    leaf = x509.load_pem_x509_certificate(text["Certificate"].encode())
    root = x509.load_pem_x509_certificate(text["CertificateChain"].encode())
    leaf.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["example.com", "*.example.com"]
    assert leaf.not_valid_before_utc < pki.NOW < leaf.not_valid_after_utc
    second = acm.request_certificate(DomainName="b.example.com", KeyAlgorithm="EC_secp384r1")["CertificateArn"]
    assert acm.get_certificate(CertificateArn=second)["CertificateChain"] == text["CertificateChain"]
    assert len(world.store.view.all(Authority)) == 1


def test_email_validation_and_long_names(acm: Any) -> None:
    long = f"{'a' * 60}.{'b' * 60}.example.com"
    arn = acm.request_certificate(
        DomainName=long,
        ValidationMethod="EMAIL",
        DomainValidationOptions=[{"DomainName": long, "ValidationDomain": "example.com"}],
    )["CertificateArn"]
    shown = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    assert shown["DomainName"] == long
    assert "admin@example.com" in shown["DomainValidationOptions"][0]["ValidationEmails"]


def test_what_cannot_be_requested(acm: Any) -> None:
    request = acm.request_certificate
    refused(request, "InvalidParameterException", DomainName="a.example.com", KeyAlgorithm="RSA_4096")
    refused(request, "InvalidArnException", DomainName="a.example.com", CertificateAuthorityArn=(
        "arn:aws:acm-pca:us-east-1:000000000000:certificate-authority/1"))  # fmt: skip
    refused(
        request,
        "InvalidDomainValidationOptionsException",
        DomainName="a.example.com",
        DomainValidationOptions=[{"DomainName": "a.example.com", "ValidationDomain": "example.org"}],
    )
    refused(request, "InvalidTagException", DomainName="a.example.com", Tags=[{"Key": "aws:a", "Value": "b"}])
    names = [f"{n}.example.com" for n in range(100)]
    refused(request, "LimitExceededException", DomainName="a.example.com", SubjectAlternativeNames=names)


def test_export_needs_to_be_allowed_and_encrypts(acm: Any) -> None:
    arn = acm.request_certificate(DomainName="a.example.com", Options={"Export": "ENABLED"})["CertificateArn"]
    answer = acm.export_certificate(CertificateArn=arn, Passphrase=b"open sesame")
    key = serialization.load_pem_private_key(answer["PrivateKey"].encode(), b"open sesame")
    leaf = x509.load_pem_x509_certificate(answer["Certificate"].encode())
    assert key.public_key() == leaf.public_key()
    assert acm.list_certificates()["CertificateSummaryList"][0]["Exported"]
    imported = put(acm, pki.make("b.example.com"))
    refused(acm.export_certificate, "ValidationException", CertificateArn=imported, Passphrase=b"open sesame")


def test_options_and_account_configuration(acm: Any) -> None:
    arn = acm.request_certificate(DomainName="a.example.com")["CertificateArn"]
    options = {"CertificateTransparencyLoggingPreference": "DISABLED"}
    acm.update_certificate_options(CertificateArn=arn, Options=options)
    shown = acm.describe_certificate(CertificateArn=arn)["Certificate"]["Options"]
    assert shown["CertificateTransparencyLoggingPreference"] == "DISABLED"
    imported = put(acm, pki.make("b.example.com"))
    refused(acm.update_certificate_options, "ValidationException", CertificateArn=imported, Options=options)
    assert acm.get_account_configuration()["ExpiryEvents"]["DaysBeforeExpiry"] == 45
    refused(acm.put_account_configuration, "ValidationException", IdempotencyToken="a")
    refused(acm.put_account_configuration, "ValidationException", IdempotencyToken="a", ExpiryEvents={})
    acm.put_account_configuration(ExpiryEvents={"DaysBeforeExpiry": 7}, IdempotencyToken="a")
    assert acm.get_account_configuration()["ExpiryEvents"]["DaysBeforeExpiry"] == 7


def test_certificates_are_of_one_account_and_region(world: World, acm: Any) -> None:
    arn = put(acm, pki.make("a.example.com"))
    other = world.boto3("acm", access_key="111111111111")
    refused(other.describe_certificate, "ResourceNotFoundException", CertificateArn=arn)
    assert other.list_certificates()["CertificateSummaryList"] == []
