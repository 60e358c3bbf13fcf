"""Terraform's CloudWatch resources: applied without drift, destroyed."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.conftest import Elba
from tests.acceptance.test_terraform import Terraform, pytestmark

__all__ = ["pytestmark"]  # the same conditions

STACK = """
terraform {
  required_providers { aws = { source = "hashicorp/aws" } }
}
data "aws_caller_identity" "me" {}
resource "aws_cloudwatch_metric_stream" "all" {
  name          = "all"
  role_arn      = "arn:aws:iam::${data.aws_caller_identity.me.account_id}:role/x"
  firehose_arn  = "arn:aws:firehose:us-east-1:${data.aws_caller_identity.me.account_id}:deliverystream/x"
  output_format = "opentelemetry1.0"
  include_filter {
    namespace    = "AWS/EC2"
    metric_names = ["CPUUtilization", "NetworkIn"]
  }
  include_filter { namespace = "N" }
  statistics_configuration {
    additional_statistics = ["p1", "p99.9"]
    include_metric {
      metric_name = "CPUUtilization"
      namespace   = "AWS/EC2"
    }
  }
  tags = { a = "b" }
}
resource "aws_cloudwatch_contributor_insight_rule" "rule" {
  rule_name  = "rule"
  rule_state = "DISABLED"
  rule_definition = jsonencode({
    Schema        = { Name = "CloudWatchLogRule", Version = 1 }
    AggregateOn   = "Count"
    Contribution  = { Filters = [{ In = ["x"], Match = "$.message" }], Keys = ["$.country"] }
    LogFormat     = "JSON"
    LogGroupNames = ["g"]
  })
}
resource "aws_cloudwatch_metric_alarm" "math" {
  alarm_name          = "math"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  evaluation_periods  = 2
  threshold           = 10
  metric_query {
    id          = "e1"
    expression  = "m2/m1*100"
    label       = "Error Rate"
    return_data = true
  }
  dynamic "metric_query" {
    for_each = { m1 = "RequestCount", m2 = "HTTPCode_ELB_5XX_Count" }
    content {
      id = metric_query.key
      metric {
        metric_name = metric_query.value
        namespace   = "AWS/ApplicationELB"
        period      = 120
        stat        = "Sum"
        dimensions  = { LoadBalancer = "app/web/1" }
      }
    }
  }
}
resource "aws_cloudwatch_metric_alarm" "band" {
  alarm_name          = "band"
  comparison_operator = "GreaterThanUpperThreshold"
  evaluation_periods  = 2
  threshold_metric_id = "e1"
  metric_query {
    id          = "e1"
    return_data = true
    expression  = "ANOMALY_DETECTION_BAND(m1)"
  }
  metric_query {
    id          = "m1"
    return_data = true
    metric {
      metric_name = "CPUUtilization"
      namespace   = "AWS/EC2"
      period      = 120
      stat        = "Average"
      dimensions  = { InstanceId = "i-1" }
    }
  }
}
resource "aws_cloudwatch_metric_alarm" "percentile" {
  alarm_name                            = "percentile"
  comparison_operator                   = "GreaterThanOrEqualToThreshold"
  evaluation_periods                    = 3
  datapoints_to_alarm                   = 2
  metric_name                           = "TargetResponseTime"
  namespace                             = "AWS/ApplicationELB"
  period                                = 60
  extended_statistic                    = "p95.5"
  threshold                             = 1.5
  evaluate_low_sample_count_percentiles = "ignore"
  treat_missing_data                    = "notBreaching"
  dimensions                            = { LoadBalancer = "app/web/1" }
}
resource "aws_cloudwatch_composite_alarm" "any" {
  alarm_name = "any"
  alarm_rule = "ALARM(percentile) OR ALARM(math)"
  depends_on = [aws_cloudwatch_metric_alarm.percentile, aws_cloudwatch_metric_alarm.math]
  actions_suppressor {
    alarm            = aws_cloudwatch_metric_alarm.band.alarm_name
    extension_period = 10
    wait_period      = 20
  }
}
resource "aws_cloudwatch_dashboard" "board" {
  dashboard_name = "board"
  dashboard_body = jsonencode({
    widgets = [
      { type = "text", x = 0, y = 7, width = 3, height = 3, properties = { markdown = "Hello" } },
      { type = "metric", x = 3, y = 7, width = 12, height = 6, properties = {
        metrics = [
          ["AWS/EC2", "CPUUtilization", "InstanceId", "i-012345", { stat = "p90", yAxis = "right" }],
          ["...", "i-6789"],
          [{ expression = "SUM(METRICS())", id = "e1", label = "all" }],
        ]
        period = 300, region = "us-east-1", title = "CPU"
      } },
    ]
  })
}
"""


def test_cloudwatch_resources_apply_without_drift_and_are_destroyed(elba: Elba, tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(STACK)
    terraform = Terraform(elba, tmp_path)
    watch = elba.client("cloudwatch")
    terraform.run("init", "-no-color")
    terraform.run("apply", "-no-color", "-auto-approve")
    plan = terraform.run("plan", "-no-color", "-detailed-exitcode", codes=(0, 2))
    assert "No changes." in plan, f"drift: {plan[-3000:]}"
    assert watch.get_metric_stream(Name="all")["State"] == "running"
    assert watch.describe_insight_rules()["InsightRules"][0]["State"] == "DISABLED"
    terraform.run("destroy", "-no-color", "-auto-approve")
    left = watch.describe_alarms(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    assert (left["MetricAlarms"], left["CompositeAlarms"]) == ([], [])
    assert watch.list_metric_streams()["Entries"] == []
