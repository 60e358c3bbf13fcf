"""Rules: created, changed, reordered, deleted. Source: elb-api.md B3."""

from __future__ import annotations

import msgspec

from elba.call import Answer, Call, Request
from elba.elbv2 import arns
from elba.elbv2.answers import rule_answer
from elba.elbv2.commands.actions import parse_actions
from elba.elbv2.commands.conditions import parse_conditions, parse_transforms
from elba.elbv2.commands.lookup import (
    load_balancer_of,
    require_listener,
    require_load_balancer,
    require_rule,
    validation_error,
)
from elba.elbv2.commands.tags import parse_tags
from elba.elbv2.commands.usage import attach_groups, detach_unused_groups, groups_in_actions
from elba.elbv2.limits import LIMITS
from elba.elbv2.resources import Listener, Rule
from elba.errors import ApiError
from elba.store.interface import Transaction

PRIORITY_MOST = 50_000


def _priority_in_use(priority: int | str) -> ApiError:
    return ApiError("PriorityInUse", f"Priority '{priority}' is currently in use")


def create_rule(tx: Transaction, call: Call, request: Request) -> Answer:
    """A rule of a listener.

    Raises: ListenerNotFound, ValidationError, PriorityInUse, TooManyRules, TooManyTags, what `parse_actions` and
    `attach_groups` raise.
    """
    listener = require_listener(tx, call, request["listener_arn"])
    balancer = load_balancer_of(tx, call, listener)
    priority = int(request["priority"])
    if not 1 <= priority <= PRIORITY_MOST:
        raise validation_error(f"Priority must be between 1 and {PRIORITY_MOST}")
    conditions = parse_conditions(request["conditions"])
    transforms = parse_transforms(request.get("transforms"))
    actions = parse_actions(tx, call, balancer, listener.protocol, request["actions"])
    tags = parse_tags(request.get("tags"))
    count = sum(
        not rule.is_default
        for other in tx.children(Listener, balancer.account, balancer.region, balancer.id)
        for rule in tx.children(Rule, balancer.account, balancer.region, other.id)
    )
    if count >= LIMITS["rules-per-application-load-balancer"]:
        raise ApiError("TooManyRules", f"The maximum number of rules has been reached on load balancer '{balancer.id}'")
    own = tx.children(Rule, listener.account, listener.region, listener.id)
    if any(rule.priority == str(priority) for rule in own):
        raise _priority_in_use(priority)
    attach_groups(tx, call, balancer, groups_in_actions(actions))
    rule = Rule(
        account=listener.account,
        region=listener.region,
        id=arns.rule_arn(listener.id, call.ids.hex(16)),
        listener_arn=listener.id,
        load_balancer_arn=balancer.id,
        priority=str(priority),
        conditions=conditions,
        actions=actions,
        transforms=transforms,
        tags=tags,
    )
    tx.put(rule)
    return {"rules": [rule_answer(rule)]}


def modify_rule(tx: Transaction, call: Call, request: Request) -> Answer:
    """Replaces the given lists of a rule; its priority stays.

    Raises: RuleNotFound, ValidationError, OperationNotPermitted (default rule), what `create_rule` raises.
    """
    rule = require_rule(tx, call, request["rule_arn"])
    if rule.is_default:
        raise ApiError("OperationNotPermitted", f"Default rule '{rule.id}' cannot be modified")
    conditions, actions = request.get("conditions"), request.get("actions")
    transforms, reset = request.get("transforms"), bool(request.get("reset_transforms"))
    if not (conditions or actions or transforms or reset):
        raise validation_error("Either conditions or actions must be specified")
    if transforms and reset:
        raise validation_error("You cannot specify both Transforms and ResetTransforms")
    listener = require_listener(tx, call, rule.listener_arn)
    balancer = require_load_balancer(tx, call, rule.load_balancer_arn)
    before = groups_in_actions(rule.actions)
    changed = rule
    if conditions:
        changed = msgspec.structs.replace(changed, conditions=parse_conditions(conditions))
    if transforms or reset:
        changed = msgspec.structs.replace(changed, transforms=parse_transforms(transforms))
    if actions:
        parsed = parse_actions(tx, call, balancer, listener.protocol, actions, old=rule.actions)
        attach_groups(tx, call, balancer, groups_in_actions(parsed))
        changed = msgspec.structs.replace(changed, actions=parsed)
    tx.put(changed)
    detach_unused_groups(tx, balancer, before)
    return {"rules": [rule_answer(changed)]}


def set_rule_priorities(tx: Transaction, call: Call, request: Request) -> Answer:
    """Gives rules of one listener new priorities, all at once, so that they may swap.

    Raises: ValidationError, RuleNotFound, OperationNotPermitted (default rule), PriorityInUse.
    """
    pairs = list(request["rule_priorities"])
    wanted: dict[str, int] = {}
    seen: set[int] = set()
    rules: list[Rule] = []
    for pair in pairs:
        arn, priority = pair.get("rule_arn") or "", pair.get("priority")
        if priority is None:
            raise validation_error("A priority must be specified for each rule")
        if not 1 <= priority <= PRIORITY_MOST:
            raise validation_error(f"Priority must be between 1 and {PRIORITY_MOST}")
        if priority in seen:
            raise validation_error(f"Priority '{priority}' was provided multiple times")
        if arn in wanted:
            raise validation_error(f"Rule '{arn}' was provided multiple times")
        seen.add(priority)
        wanted[arn] = priority
        rules.append(require_rule(tx, call, arn))
    if not rules:
        raise validation_error("At least one rule priority must be specified")
    for rule in rules:
        if rule.is_default:
            raise ApiError("OperationNotPermitted", f"The priority of default rule '{rule.id}' cannot be set")
    if len({rule.listener_arn for rule in rules}) > 1:
        raise validation_error("All rules must belong to the same listener")
    first = rules[0]
    for other in tx.children(Rule, first.account, first.region, first.listener_arn):
        if other.id not in wanted and not other.is_default and int(other.priority) in seen:
            raise _priority_in_use(other.priority)
    changed = [msgspec.structs.replace(rule, priority=str(wanted[rule.id])) for rule in rules]
    for rule in changed:
        tx.put(rule)
    return {"rules": [rule_answer(rule) for rule in changed]}


def delete_rule(tx: Transaction, call: Call, request: Request) -> Answer:
    """Deletes a rule. Raises: RuleNotFound, OperationNotPermitted (default rule)."""
    rule = require_rule(tx, call, request["rule_arn"])
    if rule.is_default:
        raise ApiError("OperationNotPermitted", f"Default rule '{rule.id}' cannot be deleted")
    tx.delete(rule)
    balancer = require_load_balancer(tx, call, rule.load_balancer_arn)
    detach_unused_groups(tx, balancer, groups_in_actions(rule.actions))
    return {}
