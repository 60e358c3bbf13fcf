"""DescribeInsightRules, ListManagedInsightRules, GetInsightRuleReport."""

from __future__ import annotations

from elba.call import Answer, Call, Request
from elba.cloudwatch.commands.insight_rules import require_rule, rule_keys
from elba.cloudwatch.expressions.values import Window
from elba.cloudwatch.limits import invalid, missing
from elba.cloudwatch.paging import page
from elba.cloudwatch.resources import InsightRule
from elba.store.interface import View

RULES_PER_PAGE = 500
MANAGED_PER_PAGE = 100
CONTRIBUTORS_MOST = 100
SCHEMA = "CloudWatchLogRule/1"
MANAGED_SCHEMA = "ServiceLogRule/1"
NOTHING_COUNTED = {
    "UniqueContributors": "unique_contributors",
    "MaxContributorValue": "max_contributor_value",
    "SampleCount": "sample_count",
    "Sum": "sum",
}
"""Of a period without events these are 0; the other statistics are not there."""
REPORT_METRICS = (
    "UniqueContributors",
    "MaxContributorValue",
    "SampleCount",
    "Sum",
    "Minimum",
    "Maximum",
    "Average",
)


def _all(view: View, call: Call) -> list[InsightRule]:
    return sorted(view.all(InsightRule, call.account, call.region), key=lambda rule: rule.id)


def _state(rule: InsightRule) -> str:
    return "ENABLED" if rule.enabled else "DISABLED"


def describe_insight_rules(view: View, call: Call, request: Request) -> Answer:
    """In order of their names."""
    most = request.get("max_results") or RULES_PER_PAGE
    taken, token = page(_all(view, call), lambda rule: rule.id, request.get("next_token"), most)
    return {
        "insight_rules": [
            {
                "name": rule.id,
                "state": _state(rule),
                "schema": MANAGED_SCHEMA if rule.template_name else SCHEMA,
                "definition": rule.definition,
                "managed_rule": bool(rule.template_name),
                "apply_on_transformed_logs": rule.apply_on_transformed_logs,
            }
            for rule in taken
        ],
        "next_token": token,
    }


def list_managed_insight_rules(view: View, call: Call, request: Request) -> Answer:
    """The managed rules that were put for the resource; which others there could be is not known here."""
    resource = request["resource_arn"]
    found = [rule for rule in _all(view, call) if rule.template_name and rule.resource_arn == resource]
    most = request.get("max_results") or MANAGED_PER_PAGE
    taken, token = page(found, lambda rule: rule.id, request.get("next_token"), most)
    return {
        "managed_rules": [
            {
                "template_name": rule.template_name,
                "resource_arn": rule.resource_arn,
                "rule_state": {"rule_name": rule.id, "state": _state(rule)},
            }
            for rule in taken
        ],
        "next_token": token,
    }


def get_insight_rule_report(view: View, call: Call, request: Request) -> Answer:
    """A report without contributors, as of log groups where nothing happened: there are no logs. Raises: ApiError."""
    rule = require_rule(view, call, request["rule_name"])
    start, end, period = request.get("start_time"), request.get("end_time"), request.get("period")
    if start is None or end is None or period is None:
        raise missing("The parameters StartTime, EndTime and Period are required.")
    if start >= end:
        raise invalid("The parameter StartTime must be less than the parameter EndTime.")
    if period % 60:
        raise invalid("The parameter Period must be a multiple of 60.")
    if not 1 <= (request.get("max_contributor_count") or 10) <= CONTRIBUTORS_MOST:
        raise invalid(f"The parameter MaxContributorCount must be between 1 and {CONTRIBUTORS_MOST}.")
    if unknown := [m for m in request.get("metrics") or () if m not in REPORT_METRICS]:
        raise invalid(f"The value {unknown[0]} for parameter Metrics is invalid.")
    if request.get("order_by") not in (None, "Sum", "Maximum"):
        raise invalid("The parameter OrderBy must be Sum or Maximum.")
    keys, statistic = rule_keys(rule.definition)
    counted = [NOTHING_COUNTED[m] for m in request.get("metrics") or () if m in NOTHING_COUNTED]
    periods = Window(start, end).grid(period)
    return {
        "key_labels": keys,
        "aggregation_statistic": statistic,
        "aggregate_value": 0.0,
        "approximate_unique_count": 0,
        "contributors": [],
        "metric_datapoints": [
            {"timestamp": float(time), **dict.fromkeys(counted, 0.0)} for time in (periods if counted else ())
        ],
    }
