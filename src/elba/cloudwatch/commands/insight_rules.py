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
_KNOWN = ("Schema", "LogGroupNames", "LogGroupARNs", "LogFormat", "Contribution", "AggregateOn", "Fields")


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
    except msgspec.DecodeError:
        document = None
    if not isinstance(document, dict):
        raise invalid("INVALID_RULE_BODY: The RuleBody could not be parsed.")
    if problem := _problem(document):
        raise invalid(problem)
    return text


def _problem(document: Mapping[str, Any]) -> str:
    """What is wrong with a rule's definition, in the service's words; "" if nothing is."""

    def invalid_body(kind: str, key: str) -> str:
        return f"INVALID_RULE_BODY: {kind} encountered at {key} in the RuleBody."

    for key in document:
        if key not in _KNOWN:
            return invalid_body("UnknownKey", key)
    for key in ("Schema", "LogFormat", "AggregateOn", "Contribution"):
        if key not in document:
            return invalid_body("MissingKey", key)
    schema = document["Schema"]
    if not isinstance(schema, dict) or schema.get("Name") != "CloudWatchLogRule" or schema.get("Version") != 1:
        return invalid_body("InvalidSchema", "Schema")
    where = "LogGroupARNs" if "LogGroupARNs" in document else "LogGroupNames"
    groups = document.get(where)
    if groups is None:
        return invalid_body("MissingKey", where)
    if not isinstance(groups, list) or not all(isinstance(group, str) and group for group in groups):
        return invalid_body("InvalidValueType", where)
    if not groups:
        return invalid_body("Empty", where)
    for key, values in (("LogFormat", _FORMATS), ("AggregateOn", _AGGREGATES)):
        if document[key] not in values:
            return invalid_body("InvalidValueType", key)
    if document["LogFormat"] == "CLF" and not isinstance(document.get("Fields"), dict):
        return invalid_body("MissingKey", "Fields")
    contribution = document["Contribution"]
    if not isinstance(contribution, dict):
        return invalid_body("InvalidValueType", "Contribution")
    for key in ("Keys", "Filters"):
        if key not in contribution:
            return invalid_body("MissingKey", key)
    keys, filters = contribution["Keys"], contribution["Filters"]
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        return invalid_body("InvalidValueType", "Keys")
    if not keys:
        return invalid_body("Empty", "Keys")
    if len(keys) > KEYS_MOST:
        return f"RULE_BODY_COMPLEXITY: A RuleBody must have no more than {KEYS_MOST} Keys in the Contribution."
    if not isinstance(filters, list):
        return invalid_body("InvalidValueType", "Filters")
    if len(filters) > FILTERS_MOST:
        return f"RULE_BODY_COMPLEXITY: A RuleBody must have no more than {FILTERS_MOST} Filters in the Contribution."
    if document["AggregateOn"] == "Sum" and not isinstance(contribution.get("ValueOf"), str):
        return invalid_body("MissingKey", "ValueOf")
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
