"""Terraform's buckets and objects, what reads them (trust stores, functions), and the edges of a VPC."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

from tests.acceptance import test_terraform
from tests.acceptance.conftest import Elba

pytestmark = test_terraform.pytestmark

STACK = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}
provider "aws" {
  skip_metadata_api_check = true
  s3_use_path_style       = true
  default_tags { tags = { Owner = "test" } }
}
resource "aws_s3_bucket" "b" {
  bucket        = "tf-storage"
  force_destroy = true
}
resource "aws_s3_bucket_versioning" "b" {
  bucket = aws_s3_bucket.b.id
  versioning_configuration { status = "Enabled" }
}
resource "aws_s3_bucket_lifecycle_configuration" "b" {
  bucket = aws_s3_bucket.b.id
  rule {
    id     = "old"
    status = "Enabled"
    filter { prefix = "AWSLogs/" }
    expiration { days = 90 }
  }
}
resource "aws_s3_bucket_ownership_controls" "b" {
  bucket = aws_s3_bucket.b.id
  rule { object_ownership = "BucketOwnerPreferred" }
}
resource "aws_s3_bucket_acl" "b" {
  depends_on = [aws_s3_bucket_ownership_controls.b]
  bucket     = aws_s3_bucket.b.id
  acl        = "log-delivery-write"
}
resource "aws_s3_object" "ca" {
  bucket = aws_s3_bucket.b.id
  key    = "tls/ca.pem"
  source = "ca.pem"
  etag   = filemd5("ca.pem")
}
resource "aws_s3_object" "code" {
  bucket = aws_s3_bucket.b.id
  key    = "code.zip"
  source = "code.zip"
}
resource "aws_lb_trust_store" "t" {
  name                             = "tf-storage"
  ca_certificates_bundle_s3_bucket = aws_s3_bucket.b.id
  ca_certificates_bundle_s3_key    = aws_s3_object.ca.key
}
resource "aws_iam_role" "f" {
  name = "tf-storage"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "lambda.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}
resource "aws_lambda_function" "f" {
  function_name = "tf-storage"
  role          = aws_iam_role.f.arn
  runtime       = "python3.12"
  handler       = "index.handler"
  s3_bucket     = aws_s3_bucket.b.id
  s3_key        = aws_s3_object.code.key
}
resource "aws_vpc" "v" {
  cidr_block                       = "10.40.0.0/16"
  assign_generated_ipv6_cidr_block = true
}
resource "aws_vpc_ipv4_cidr_block_association" "v" {
  vpc_id     = aws_vpc.v.id
  cidr_block = "10.41.0.0/16"
}
resource "aws_subnet" "s" {
  vpc_id          = aws_vpc.v.id
  cidr_block      = cidrsubnet(aws_vpc_ipv4_cidr_block_association.v.cidr_block, 8, 1)
  ipv6_cidr_block = cidrsubnet(aws_vpc.v.ipv6_cidr_block, 8, 1)
}
resource "aws_vpc_dhcp_options" "o" {
  domain_name_servers = ["10.0.0.2"]
}
resource "aws_vpc_dhcp_options_association" "o" {
  vpc_id          = aws_vpc.v.id
  dhcp_options_id = aws_vpc_dhcp_options.o.id
}
resource "aws_egress_only_internet_gateway" "e" { vpc_id = aws_vpc.v.id }
resource "aws_vpn_gateway" "v" { vpc_id = aws_vpc.v.id }
resource "aws_route_table" "r" {
  vpc_id           = aws_vpc.v.id
  propagating_vgws = [aws_vpn_gateway.v.id]
  route {
    ipv6_cidr_block        = "::/0"
    egress_only_gateway_id = aws_egress_only_internet_gateway.e.id
  }
}
resource "aws_vpc_endpoint" "s3" {
  vpc_id          = aws_vpc.v.id
  service_name    = "com.amazonaws.us-east-1.s3"
  route_table_ids = [aws_route_table.r.id]
}
resource "aws_ec2_managed_prefix_list" "p" {
  name           = "office"
  address_family = "IPv4"
  max_entries    = 3
  entry { cidr = "10.0.0.0/8" }
}
resource "aws_security_group" "g" {
  vpc_id = aws_vpc.v.id
  ingress {
    from_port       = 443
    to_port         = 443
    protocol        = "tcp"
    prefix_list_ids = [aws_ec2_managed_prefix_list.p.id]
  }
}
resource "aws_flow_log" "f" {
  vpc_id               = aws_vpc.v.id
  traffic_type         = "ALL"
  log_destination_type = "s3"
  log_destination      = aws_s3_bucket.b.arn
}
"""


def test_buckets_and_vpc_edges_apply_without_drift_and_are_destroyed(elba: Elba, tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(STACK)
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as archive:
        archive.writestr("index.py", "def handler(event, context):\n    return event\n")
    subject = ["-subj", "/CN=ca", "-addext", "basicConstraints=critical,CA:TRUE"]
    key = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", *subject]
    subprocess.run(key, cwd=tmp_path, check=True, capture_output=True)
    terraform = test_terraform.Terraform(elba, tmp_path)
    terraform.run("init", "-no-color")
    terraform.run("apply", "-no-color", "-auto-approve")
    plan = terraform.run("plan", "-no-color", "-detailed-exitcode", codes=(0, 2))
    assert "No changes." in plan, f"drift: {plan[-3000:]}"
    assert (elba.home.buckets_directory / "tf-storage/tls/ca.pem").read_bytes() == (tmp_path / "ca.pem").read_bytes()
    answer = elba.client("lambda").invoke(FunctionName="tf-storage", Payload=b'{"a": 1}')
    assert answer["Payload"].read() == b'{"a": 1}'
    terraform.run("destroy", "-no-color", "-auto-approve")
    assert elba.client("s3").list_buckets()["Buckets"] == []
