"""Filter policies: which messages a subscription wants. Source: SNS developer guide, "Message filtering"."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

CONDITIONS = ("anything-but", "prefix", "suffix", "equals-ignore-case", "numeric", "exists")


def policy_error(text: str, scope: str) -> str:
    """What is wrong with a filter policy, or ""."""
    try:
        policy = json.loads(text)
    except ValueError:
        return "failed to parse JSON"
    if not isinstance(policy, dict):
        return "Filter policy must be a JSON object"
    return _error(policy, scope)


def _error(policy: Mapping[str, Any], scope: str) -> str:
    for name, rules in policy.items():
        if isinstance(rules, dict):
            if scope != "MessageBody":
                return f'"{name}" must be an object or an array'
            if problem := _error(rules, scope):
                return problem
        elif not isinstance(rules, list) or not rules:
            return f'"{name}" must be an object or an array'
        else:
            for rule in rules:
                if isinstance(rule, dict) and (len(rule) != 1 or next(iter(rule)) not in CONDITIONS):
                    return f"Unrecognized match type {next(iter(rule), '')}"
    return ""


def wanted(policy: Mapping[str, Any], scope: str, message: str, attributes: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a message passes: every name of the policy is satisfied by one of its rules."""
    if scope == "MessageBody":
        try:
            body = json.loads(message)
        except ValueError:
            return False
        return isinstance(body, dict) and _passes(policy, body)
    return _passes(policy, {name: _attribute(value) for name, value in attributes.items()})


def _attribute(value: Mapping[str, Any]) -> Any:
    text, kind = value.get("string_value", ""), value["data_type"]
    try:
        if kind.startswith("Number"):
            return float(text)
        if kind == "String.Array":
            return json.loads(text)
    except ValueError:
        return text
    return text


def _passes(policy: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    for name, rules in policy.items():
        value = values.get(name)
        if isinstance(rules, dict):
            if not isinstance(value, dict) or not _passes(rules, value):
                return False
            continue
        present = name in values
        candidates = value if isinstance(value, list) else [value]
        if not any(_matches(rule, candidates, present) for rule in rules):
            return False
    return True


def _matches(rule: Any, values: list[Any], present: bool) -> bool:
    if isinstance(rule, dict):
        kind, argument = next(iter(rule.items()))
        if kind == "exists":
            return present == bool(argument)
        if not present:
            return False
        if kind == "anything-but":
            refused = argument if isinstance(argument, list) else [argument]
            return not any(_matches(each, values, True) for each in refused)
        return any(_holds(kind, argument, value) for value in values)
    return present and any(_same(rule, value) for value in values)


def _same(rule: Any, value: Any) -> bool:
    if isinstance(rule, bool) or isinstance(value, bool) or rule is None:
        return rule is value
    return bool(rule == value)


def _holds(kind: str, argument: Any, value: Any) -> bool:
    if kind == "numeric":
        if isinstance(value, bool) or not isinstance(value, int | float) or not isinstance(argument, list):
            return False
        pairs = zip(argument[::2], argument[1::2], strict=False)
        return all(_compares(sign, value, float(limit)) for sign, limit in pairs)
    if not isinstance(value, str):
        return False
    if kind == "prefix":
        return value.startswith(str(argument))
    if kind == "suffix":
        return value.endswith(str(argument))
    return value.lower() == str(argument).lower()


def _compares(sign: str, value: float, limit: float) -> bool:
    return {
        "=": value == limit,
        "<": value < limit,
        "<=": value <= limit,
        ">": value > limit,
        ">=": value >= limit,
    }.get(sign, False)
