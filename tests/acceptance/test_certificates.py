"""Certificates with real clients: the root is printed, Terraform makes, replaces and removes them without drift."""

from __future__ import annotations

import datetime
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests.acceptance.conftest import Elba
from tests.acceptance.test_terraform import PLUGINS, TERRAFORM, Terraform
from tests.unit.acm import pki

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

STACK = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_credentials_validation = true
}

variable "name" {}

resource "aws_acm_certificate" "imported" {
  certificate_body  = file("${var.name}.pem")
  private_key       = file("${var.name}.key")
  certificate_chain = file("root.pem")
  tags              = { name = "imported" }
}

resource "aws_acm_certificate" "requested" {
  domain_name               = "example.com"
  subject_alternative_names = ["*.example.com"]
  validation_method         = "DNS"
}

resource "aws_acm_certificate_validation" "requested" {
  certificate_arn = aws_acm_certificate.requested.arn
}

resource "aws_iam_server_certificate" "uploaded" {
  name             = "uploaded"
  certificate_body = file("one.pem")
  private_key      = file("one.key")
}

resource "aws_lb_trust_store" "clients" {
  name                             = "clients"
  ca_certificates_bundle_s3_bucket = "trust"
  ca_certificates_bundle_s3_key    = "root.pem"
}

data "aws_acm_certificate" "found" {
  domain      = "example.com"
  statuses    = ["ISSUED"]
  most_recent = true
  depends_on  = [aws_acm_certificate_validation.requested]
}
"""


def test_the_root_is_printed_and_has_signed_what_is_issued(elba: Elba) -> None:
    root = x509.load_pem_x509_certificate(elba.run("ca").stdout.encode())
    acm = elba.client("acm")
    arn = acm.request_certificate(DomainName="www.example.com")["CertificateArn"]
    issued = acm.get_certificate(CertificateArn=arn)
    x509.load_pem_x509_certificate(issued["Certificate"].encode()).verify_directly_issued_by(root)
    assert issued["CertificateChain"].encode() == root.public_bytes(serialization.Encoding.PEM)
    shown = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    assert shown["NotBefore"] < datetime.datetime.now(datetime.UTC) < shown["NotAfter"]  # the world's time, not AWS's
    acm.delete_certificate(CertificateArn=arn)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_what_openssl_makes_is_taken(elba: Elba, tmp_path: Path) -> None:
    acm = elba.client("acm")
    for kind in (["rsa:2048"], ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]):
        names = [
            "-subj",
            "/O=Example/CN=a.example.com",
            "-addext",
            "subjectAltName=DNS:a.example.com,DNS:b.example.com",
        ]
        command = ["openssl", "req", "-x509", "-nodes", "-days", "30", "-newkey", *kind, *names]
        subprocess.run(
            [*command, "-keyout", "key", "-out", "certificate"], cwd=tmp_path, check=True, capture_output=True
        )
        arn = acm.import_certificate(
            Certificate=(tmp_path / "certificate").read_bytes(), PrivateKey=(tmp_path / "key").read_bytes()
        )["CertificateArn"]
        shown = acm.describe_certificate(CertificateArn=arn)["Certificate"]
        assert shown["SubjectAlternativeNames"] == ["a.example.com", "b.example.com"]
        assert shown["Subject"] == "O=Example,CN=a.example.com"
        acm.delete_certificate(CertificateArn=arn)


@pytest.mark.skipif(
    TERRAFORM is None or not PLUGINS.is_dir(), reason="terraform or a mirror of its AWS provider is not installed"
)
def test_terraform_makes_replaces_and_removes_certificates(elba: Elba, tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    dates: dict[str, Any] = {"start": now - pki.DAY, "end": now + 90 * pki.DAY}
    root = pki.make("Root", ca=True, kind="p384", **dates)
    for name, kind in (("one", "rsa2048"), ("two", "p256")):
        pair = pki.make(f"{name}.example.com", issuer=root, kind=kind, **dates)
        (tmp_path / f"{name}.pem").write_bytes(pair.pem)
        (tmp_path / f"{name}.key").write_bytes(pair.key_pem)
    (tmp_path / "root.pem").write_bytes(root.pem)
    bucket = elba.home.buckets_directory / "trust"
    bucket.mkdir(parents=True)
    (bucket / "root.pem").write_bytes(root.pem)
    (tmp_path / "main.tf").write_text(STACK)
    terraform = Terraform(elba, tmp_path)
    terraform.run("init", "-no-color")
    one, two = ("-var=name=one",), ("-var=name=two",)
    terraform.run("apply", "-no-color", "-auto-approve", *one)
    plan = terraform.run("plan", "-no-color", "-detailed-exitcode", *one, codes=(0, 2))
    assert "No changes." in plan, f"drift: {plan[-3000:]}"
    acm = elba.client("acm")
    types = {"keyTypes": ["RSA_2048", "EC_prime256v1"]}
    before = {c["CertificateArn"] for c in acm.list_certificates(Includes=types)["CertificateSummaryList"]}
    terraform.run("apply", "-no-color", "-auto-approve", *two)
    after = acm.list_certificates(Includes=types)["CertificateSummaryList"]
    assert {c["CertificateArn"] for c in after} == before  # imported again, under the same ARN
    assert "two.example.com" in [c["DomainName"] for c in after]
    plan = terraform.run("plan", "-no-color", "-detailed-exitcode", *two, codes=(0, 2))
    assert "No changes." in plan, f"drift: {plan[-3000:]}"
    terraform.run("destroy", "-no-color", "-auto-approve", *two)
    assert acm.list_certificates(Includes=types)["CertificateSummaryList"] == []
    assert elba.client("elbv2").describe_trust_stores()["TrustStores"] == []
