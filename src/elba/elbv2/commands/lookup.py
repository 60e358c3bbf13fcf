"""Finds the resource a request names, or says in AWS's words that it is not there."""

from __future__ import annotations

from re import Pattern

from elba.call import Call
from elba.elbv2 import arns
from elba.elbv2.resources import Listener, LoadBalancer, Rule, TargetGroup, TrustStore
from elba.errors import ApiError
from elba.store.interface import View


def validation_error(message: str) -> ApiError:
    """ELBv2's answer to a request that is wrong in itself."""
    return ApiError("ValidationError", message)


def invalid_configuration(message: str) -> ApiError:
    """ELBv2's answer to a request that does not fit what is there."""
    return ApiError("InvalidConfigurationRequest", message)


def require_arn(pattern: Pattern[str], arn: str, what: str) -> None:
    """Raises: ValidationError if `arn` is not of this form."""
    if not pattern.fullmatch(arn):
        raise validation_error(f"'{arn}' is not a valid {what} ARN")


def require_load_balancer(view: View, call: Call, arn: str) -> LoadBalancer:
    """Raises: ValidationError (malformed), LoadBalancerNotFound."""
    require_arn(arns.LOAD_BALANCER, arn, "load balancer")
    found = view.get(LoadBalancer, call.account, call.region, arn)
    if found is None:
        raise ApiError("LoadBalancerNotFound", f"Load balancer '{arn}' not found")
    return found


def require_listener(view: View, call: Call, arn: str) -> Listener:
    """Raises: ValidationError (malformed), ListenerNotFound."""
    require_arn(arns.LISTENER, arn, "listener")
    found = view.get(Listener, call.account, call.region, arn)
    if found is None:
        raise ApiError("ListenerNotFound", "One or more listeners not found")
    return found


def require_rule(view: View, call: Call, arn: str) -> Rule:
    """Raises: ValidationError (malformed), RuleNotFound."""
    require_arn(arns.RULE, arn, "listener rule")
    found = view.get(Rule, call.account, call.region, arn)
    if found is None:
        raise ApiError("RuleNotFound", "One or more rules not found")
    return found


def require_target_group(view: View, call: Call, arn: str) -> TargetGroup:
    """Raises: ValidationError (malformed), TargetGroupNotFound."""
    require_arn(arns.TARGET_GROUP, arn, "target group")
    found = view.get(TargetGroup, call.account, call.region, arn)
    if found is None:
        raise ApiError("TargetGroupNotFound", f"Target group '{arn}' not found")
    return found


def require_trust_store(view: View, call: Call, arn: str) -> TrustStore:
    """Raises: ValidationError (malformed), TrustStoreNotFound."""
    require_arn(arns.TRUST_STORE, arn, "trust store")
    found = view.get(TrustStore, call.account, call.region, arn)
    if found is None:
        raise ApiError("TrustStoreNotFound", f"Trust store '{arn}' not found")
    return found


def load_balancer_of(view: View, call: Call, listener: Listener) -> LoadBalancer:
    """The load balancer a listener belongs to; it is always there, for both go in one write."""
    found = view.get(LoadBalancer, call.account, call.region, listener.load_balancer_arn)
    assert found is not None
    return found


def rules_of(view: View, listener: Listener) -> list[Rule]:
    """A listener's rules in the order they are tried: ascending priority, the default rule last."""
    rules = view.children(Rule, listener.account, listener.region, listener.id)
    return sorted(rules, key=lambda rule: (rule.is_default, 0 if rule.is_default else int(rule.priority)))


def default_rule_of(view: View, listener: Listener) -> Rule:
    """The rule that holds the listener's default actions."""
    rules = view.children(Rule, listener.account, listener.region, listener.id)
    return next(rule for rule in rules if rule.is_default)
