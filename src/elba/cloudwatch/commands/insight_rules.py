"""Contributor Insights rules: kept, switched on and off, deleted. They count nothing: there are no logs here.

Source: CloudWatch API reference, PutInsightRule, PutManagedInsightRules; user guide, "Contributor Insights rule
syntax".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from elba.call import Answer, Call, Request
from elba.cloudwatch.limits import invalid, missing, require_tags
from elba.cloudwatch.resources import InsightRule
from elba.errors import ApiError
from elba.store.interface import Transaction, View

RULES_MOST = 100
KEYS_MOST = 4
FILTERS_MOST = 4
DEFINITION_MOST = 8192
STATES = ("ENABLED", "DISABLED")
_FORMATS = ("JSON", "CLF")
_AGGREGATES = ("Count", "Sum")


def require_rule_name(name: str | None) -> str:
    if not name:
        raise missing("The parameter RuleName is required.")
    if len(name) > 128 or not (name.isascii() and name.isprintable()):
        raise invalid(f"The value {name} for parameter RuleName is invalid.")
    return name


def rule_keys(definition: str) -> tuple[list[str], str]:
    """(keys of a contributor, SampleCount or Sum) of a rule that was accepted."""
    document: Mapping[str, Any] = msgspec.json.decode(definition)
    statistic = "Sum" if document.get("AggregateOn") == "Sum" else "SampleCount"
    return list((document.get("Contribution") or {}).get("Keys", ())), statistic


def _require_definition(text: str | None) -> str:
    if not text:
        raise missing("The parameter RuleDefinition is required.")
    if len(text) > DEFINITION_MOST or not text.isascii():
        raise invalid(f"The parameter RuleDefinition must have at most {DEFINITION_MOST} ASCII characters.")
    try:
        document: Any = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise invalid(f"The parameter RuleDefinition is not valid JSON: {error}.") from None
    problem = _problem(document)
    if problem:
        raise invalid(f"The parameter RuleDefinition is invalid: {problem}.")
    return text


def _problem(document: Any) -> str:
    """What is wrong with a rule's definition; "" if nothing is."""
    schema = document.get("Schema") if isinstance(document, dict) else None
    if not isinstance(schema, dict) or schema.get("Name") != "CloudWatchLogRule" or schema.get("Version") != 1:
        return 'its Schema must be {"Name": "CloudWatchLogRule", "Version": 1}'
    groups = document.get("LogGroupNames") or document.get("LogGroupARNs")
    if not isinstance(groups, list) or not groups or not all(isinstance(g, str) and g for g in groups):
        return "LogGroupNames must name at least one log group"
    if document.get("LogFormat") not in _FORMATS:
        return "LogFormat must be JSON or CLF"
    if document.get("LogFormat") == "CLF" and not isinstance(document.get("Fields"), dict):
        return "LogFormat CLF needs Fields"
    if document.get("AggregateOn") not in _AGGREGATES:
        return "AggregateOn must be Count or Sum"
    contribution = document.get("Contribution")
    if not isinstance(contribution, dict):
        return "it needs a Contribution"
    keys = contribution.get("Keys")
    if not isinstance(keys, list) or not 1 <= len(keys) <= KEYS_MOST or not all(isinstance(k, str) for k in keys):
        return f"Contribution.Keys must hold 1 to {KEYS_MOST} keys"
    filters = contribution.get("Filters", [])
    if not isinstance(filters, list) or len(filters) > FILTERS_MOST:
        return f"Contribution.Filters can hold at most {FILTERS_MOST} filters"
    if document["AggregateOn"] == "Sum" and not isinstance(contribution.get("ValueOf"), str):
        return "AggregateOn Sum needs Contribution.ValueOf"
    return ""


def put_insight_rule(tx: Transaction, call: Call, request: Request) -> Answer:
    """Create or replace; a rule that is there keeps its tags. Raises: ApiError."""
    name = require_rule_name(request.get("rule_name"))
    state = request.get("rule_state") or "ENABLED"
    if state not in STATES:
        raise invalid(f"The value {state} for parameter RuleState is invalid: ENABLED and DISABLED are valid.")
    definition = _require_definition(request.get("rule_definition"))
    old = tx.get(InsightRule, call.account, call.region, name)
    if old is not None and old.template_name:
        raise invalid(f"The rule {name} is a managed rule and cannot be changed.")
    _put(
        tx,
        call,
        old,
        InsightRule(
            account=call.account,
            region=call.region,
            id=name,
            arn=_arn(call, name),
            definition=definition,
            enabled=state == "ENABLED",
            apply_on_transformed_logs=bool(request.get("apply_on_transformed_logs")),
            tags=require_tags(request.get("tags")) if old is None else old.tags,
        ),
    )
    return {}


def _arn(call: Call, name: str) -> str:
    return call.arn("cloudwatch", f"insight-rule/{name}")


def _put(tx: Transaction, call: Call, old: InsightRule | None, rule: InsightRule) -> None:
    if old is None and len(tx.all(InsightRule, call.account, call.region)) >= RULES_MOST:
        raise ApiError("LimitExceededException", f"An account can have at most {RULES_MOST} rules in a region.")
    tx.put(rule)


def put_managed_insight_rules(tx: Transaction, call: Call, request: Request) -> Answer:
    """Each of them created, or enabled again."""
    rules = request.get("managed_rules") or []
    if not rules:
        raise missing("The parameter ManagedRules is required.")
    for each in rules:
        template, resource = each["template_name"], each["resource_arn"]
        if not resource.startswith("arn:"):
            raise invalid(f"The value {resource} for parameter ResourceARN is not an ARN.")
        name = f"{template}-{resource.rpartition(':')[2].replace('/', '-')}"[:128]
        old = tx.get(InsightRule, call.account, call.region, name)
        _put(
            tx,
            call,
            old,
            InsightRule(
                account=call.account,
                region=call.region,
                id=name,
                arn=_arn(call, name),
                definition=msgspec.json.encode(
                    {"Schema": {"Name": "ServiceLogRule", "Version": 1}, "ResourceArn": resource}
                ).decode(),
                template_name=template,
                resource_arn=resource,
                tags=require_tags(each.get("tags")) if old is None else old.tags,
            ),
        )
    return {"failures": []}


def require_rule(view: View, call: Call, name: str) -> InsightRule:
    """Raises: ApiError ResourceNotFoundException."""
    found = view.get(InsightRule, call.account, call.region, require_rule_name(name))
    if found is None:
        raise ApiError("ResourceNotFoundException", f"The rule {name} does not exist.", 404)
    return found


def enable_insight_rules(tx: Transaction, call: Call, request: Request) -> Answer:
    return _each(tx, call, request, enabled=True)


def disable_insight_rules(tx: Transaction, call: Call, request: Request) -> Answer:
    return _each(tx, call, request, enabled=False)


def delete_insight_rules(tx: Transaction, call: Call, request: Request) -> Answer:
    return _each(tx, call, request, enabled=None)


def _each(tx: Transaction, call: Call, request: Request, *, enabled: bool | None) -> Answer:
    """Those that there are, switched (None: deleted); the others are named as failures."""
    names = list(dict.fromkeys(request.get("rule_names") or ()))
    if not names:
        raise missing("The parameter RuleNames is required.")
    failures: list[Answer] = []
    for name in names:
        rule = tx.get(InsightRule, call.account, call.region, name)
        if rule is None:
            failures.append(
                {
                    "failure_resource": name,
                    "exception_type": "ResourceNotFoundException",
                    "failure_code": "404",
                    "failure_description": f"The rule {name} does not exist.",
                }
            )
        elif enabled is None:
            tx.delete(rule)
        else:
            tx.put(msgspec.structs.replace(rule, enabled=enabled))
    return {"failures": failures}
