"""Terraform's topics, queues, subscriptions and group notifications: apply, no drift, destroy."""

from __future__ import annotations

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
  skip_requesting_account_id = false
  skip_metadata_api_check = true
}
resource "aws_sns_topic" "t" {
  name = "t"
  display_name = "T"
  tags = { a = "1" }
}
resource "aws_sqs_queue" "dead" { name = "dead" }
resource "aws_sqs_queue" "q" {
  name = "q"
  visibility_timeout_seconds = 40
  redrive_policy = jsonencode({ deadLetterTargetArn = aws_sqs_queue.dead.arn, maxReceiveCount = 4 })
  tags = { b = "2" }
}
resource "aws_sns_topic_subscription" "s" {
  topic_arn = aws_sns_topic.t.arn
  protocol = "sqs"
  endpoint = aws_sqs_queue.q.arn
  raw_message_delivery = true
  filter_policy = jsonencode({ kind = ["x"] })
}
"""


def test_topics_and_queues_apply_without_drift_and_are_destroyed(elba: Elba, tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(STACK)
    terraform = test_terraform.Terraform(elba, tmp_path)
    terraform.run("init", "-no-color")
    terraform.run("apply", "-no-color", "-auto-approve")
    plan = terraform.run("plan", "-no-color", "-detailed-exitcode", codes=(0, 2))
    assert "No changes." in plan, f"drift: {plan[-3000:]}"
    terraform.run("destroy", "-no-color", "-auto-approve")
    assert elba.client("sns").list_topics()["Topics"] == []
    assert elba.client("sqs").list_queues().get("QueueUrls", []) == []
