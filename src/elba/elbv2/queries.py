"""ELBv2's Describe operations: pure functions of (view, call, request). Source: elb-api.md Part B."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from elba.call import Answer, Call, Request
from elba.elbv2 import arns
from elba.elbv2 import attributes as tables
from elba.elbv2.answers import (
    attributes_answer,
    capacity_answer,
    listener_answer,
    load_balancer_answer,
    revocation_answer,
    rule_answer,
    target_group_answer,
    trust_store_answer,
)
from elba.elbv2.commands.load_balancers import CAPACITY_DECREASES_PER_DAY
from elba.elbv2.commands.lookup import (
    default_rule_of,
    require_arn,
    require_listener,
    require_load_balancer,
    require_target_group,
    require_trust_store,
    rules_of,
    validation_error,
)
from elba.elbv2.commands.tags import require_tagged
from elba.elbv2.commands.trust_stores import listeners_of_trust_store, require_revocation
from elba.elbv2.limits import LIMITS
from elba.elbv2.resources import Listener, LoadBalancer, Rule, TargetGroup, TrustStore, TrustStoreRevocation
from elba.elbv2.ssl_policies import LOAD_BALANCER_TYPES, SSL_POLICIES
from elba.errors import ApiError
from elba.store.interface import View

T = TypeVar("T")

PAGE_SIZE_MOST = 400
NAMED_MOST = 20


def _page(items: Sequence[T], request: Request, id_of: Callable[[T], str]) -> tuple[list[T], str | None]:
    """The page a request asks for, and the marker of the next one (None = this is the last).

    A marker names the last item before it and the position after it; if that item is gone by then, what follows it
    has moved up by one.
    Raises: ValidationError (marker).
    """
    start = 0
    marker = request.get("marker")
    if marker:
        try:
            position, _, last = base64.urlsafe_b64decode(marker.encode()).decode().partition(" ")
            start = int(position)
        except (binascii.Error, UnicodeError, ValueError):
            raise validation_error(f"The marker '{marker}' is not valid") from None
        start = next((i + 1 for i, item in enumerate(items) if id_of(item) == last), max(0, start - 1))
    size = request.get("page_size") or PAGE_SIZE_MOST
    page = list(items[start : start + size])
    if start + size >= len(items) or not page:
        return page, None
    text = f"{start + size} {id_of(page[-1])}"
    return page, base64.urlsafe_b64encode(text.encode()).decode()


def _require_few(ids: Sequence[str], what: str) -> None:
    if len(ids) > NAMED_MOST:
        raise validation_error(f"Up to {NAMED_MOST} {what} can be described in one request")


def describe_load_balancers(view: View, call: Call, request: Request) -> Answer:
    """Raises: ValidationError, LoadBalancerNotFound."""
    arns_, names = request.get("load_balancer_arns"), request.get("names")
    if arns_ and names:
        raise validation_error("Load balancer names and load balancer ARNs cannot be specified at the same time")
    balancers = view.all(LoadBalancer, call.account, call.region)
    for ids, what in ((arns_, "load balancer ARNs"), (names, "load balancer names")):
        _require_few(ids or (), what)
    if arns_:
        for arn in arns_:
            require_arn(arns.LOAD_BALANCER, arn, "load balancer")
        balancers = _wanted(balancers, arns_, lambda b: b.id, _missing_balancers)
    if names:
        balancers = _wanted(balancers, names, lambda b: b.load_balancer_name, _missing_balancers)
    page, marker = _page(balancers, request, lambda b: b.id)
    return {"load_balancers": [load_balancer_answer(b) for b in page], "next_marker": marker}


def _missing_balancers(ids: list[str]) -> ApiError:
    return ApiError("LoadBalancerNotFound", f"Load balancers '[{', '.join(ids)}]' not found")


def _wanted(
    items: Sequence[T], ids: Sequence[str], id_of: Callable[[T], str], missing: Callable[[list[str]], ApiError]
) -> list[T]:
    """Those of `items` that `ids` name, in `items`' order. Raises: what `missing` makes of unknown ids."""
    known = {id_of(item) for item in items}
    if unknown := [id_ for id_ in ids if id_ not in known]:
        raise missing(unknown)
    asked = set(ids)
    return [item for item in items if id_of(item) in asked]


def describe_load_balancer_attributes(view: View, call: Call, request: Request) -> Answer:
    balancer = require_load_balancer(view, call, request["load_balancer_arn"])
    return {"attributes": attributes_answer(tables.attributes_of_load_balancer(balancer))}


def describe_capacity_reservation(view: View, call: Call, request: Request) -> Answer:
    balancer = require_load_balancer(view, call, request["load_balancer_arn"])
    return capacity_answer(balancer, call.now, CAPACITY_DECREASES_PER_DAY)


def describe_account_limits(view: View, call: Call, request: Request) -> Answer:
    page, marker = _page(list(LIMITS.items()), request, lambda item: item[0])
    return {"limits": [{"name": name, "max": str(most)} for name, most in page], "next_marker": marker}


def describe_listeners(view: View, call: Call, request: Request) -> Answer:
    """Raises: ValidationError, ListenerNotFound, LoadBalancerNotFound."""
    balancer_arn, listener_arns = request.get("load_balancer_arn"), request.get("listener_arns")
    if balancer_arn and listener_arns:
        raise validation_error("Listener ARNs and a load balancer ARN cannot be specified at the same time")
    if listener_arns:
        listeners = [require_listener(view, call, arn) for arn in dict.fromkeys(listener_arns)]
    elif balancer_arn:
        balancer = require_load_balancer(view, call, balancer_arn)
        listeners = view.children(Listener, balancer.account, balancer.region, balancer.id)
    else:
        raise validation_error("You must specify either listener ARNs or a load balancer ARN")
    page, marker = _page(listeners, request, lambda listener: listener.id)
    return {
        "listeners": [listener_answer(listener, default_rule_of(view, listener)) for listener in page],
        "next_marker": marker,
    }


def describe_listener_attributes(view: View, call: Call, request: Request) -> Answer:
    listener = require_listener(view, call, request["listener_arn"])
    return {"attributes": attributes_answer(tables.attributes_of_listener(listener))}


def describe_listener_certificates(view: View, call: Call, request: Request) -> Answer:
    """The default certificate first; it comes a second time if it is in the list too."""
    listener = require_listener(view, call, request["listener_arn"])
    certificates = [
        {"certificate_arn": arn, "is_default": position == 0} for position, arn in enumerate(listener.certificates)
    ]
    page, marker = _page(certificates, request, lambda c: f"{c['certificate_arn']} {c['is_default']}")
    return {"certificates": page, "next_marker": marker}


def describe_rules(view: View, call: Call, request: Request) -> Answer:
    """In the order they are tried. Raises: ValidationError, ListenerNotFound, RuleNotFound."""
    listener_arn, rule_arns = request.get("listener_arn"), request.get("rule_arns")
    if listener_arn and rule_arns:
        raise validation_error("Listener rule ARNs and a listener ARN cannot be specified at the same time")
    if rule_arns:
        rules = [_require_rule(view, call, arn) for arn in dict.fromkeys(rule_arns)]
    elif listener_arn:
        rules = rules_of(view, require_listener(view, call, listener_arn))
    else:
        raise validation_error("You must specify either listener rule ARNs or a listener ARN")
    page, marker = _page(rules, request, lambda rule: rule.id)
    return {"rules": [rule_answer(rule) for rule in page], "next_marker": marker}


def _require_rule(view: View, call: Call, arn: str) -> Rule:
    require_arn(arns.RULE, arn, "listener rule")
    found = view.get(Rule, call.account, call.region, arn)
    if found is None:
        raise ApiError("RuleNotFound", "One or more rules not found")
    return found


def describe_target_groups(view: View, call: Call, request: Request) -> Answer:
    """Raises: ValidationError, LoadBalancerNotFound, TargetGroupNotFound."""
    balancer_arn, arns_, names = (
        request.get("load_balancer_arn"),
        request.get("target_group_arns"),
        request.get("names"),
    )
    if sum(bool(given) for given in (balancer_arn, arns_, names)) > 1:
        raise validation_error(
            "Target group names, target group ARNs, and a load balancer ARN cannot be specified at the same time"
        )
    groups = view.all(TargetGroup, call.account, call.region)
    if balancer_arn:
        balancer = require_load_balancer(view, call, balancer_arn)
        groups = [group for group in groups if balancer.id in group.load_balancer_arns]
    if arns_:
        for arn in arns_:
            require_arn(arns.TARGET_GROUP, arn, "target group")
        groups = _wanted(groups, arns_, lambda group: group.id, _missing_groups)
    if names:
        groups = _wanted(groups, names, lambda group: group.target_group_name, _missing_groups)
    page, marker = _page(groups, request, lambda group: group.id)
    return {"target_groups": [target_group_answer(group) for group in page], "next_marker": marker}


def _missing_groups(_ids: list[str]) -> ApiError:
    return ApiError("TargetGroupNotFound", "One or more target groups not found")


def describe_target_group_attributes(view: View, call: Call, request: Request) -> Answer:
    group = require_target_group(view, call, request["target_group_arn"])
    return {"attributes": attributes_answer(tables.attributes_of_target_group(group))}


def describe_tags(view: View, call: Call, request: Request) -> Answer:
    """One description per ARN. Raises: ValidationError, the NotFound of each kind."""
    arns_ = list(request["resource_arns"])
    _require_few(arns_, "resources")
    described: list[dict[str, Any]] = []
    for arn in arns_:
        resource = require_tagged(view, call, arn)
        tags = [{"key": key, "value": value} for key, value in resource.tags.items()]
        described.append({"resource_arn": arn, "tags": tags})
    return {"tag_descriptions": described}


def describe_ssl_policies(view: View, call: Call, request: Request) -> Answer:
    """Raises: SSLPolicyNotFound."""
    names = request.get("names")
    policies = list(SSL_POLICIES.values())
    if names:
        if unknown := [name for name in names if name not in SSL_POLICIES]:
            raise ApiError("SSLPolicyNotFound", f"SSL policies '[{', '.join(unknown)}]' not found")
        policies = [policy for policy in policies if policy.name in names]
    if request.get("load_balancer_type") == "gateway":
        policies = []
    page, marker = _page(policies, request, lambda policy: policy.name)
    return {
        "ssl_policies": [
            {
                "name": policy.name,
                "ssl_protocols": policy.protocols,
                "ciphers": [
                    {"name": cipher, "priority": priority} for priority, cipher in enumerate(policy.ciphers, start=1)
                ],
                "supported_load_balancer_types": LOAD_BALANCER_TYPES,
            }
            for policy in page
        ],
        "next_marker": marker,
    }


# ── trust stores ─────────────────────────────────────────────────────────────────────────────────────


def describe_trust_stores(view: View, call: Call, request: Request) -> Answer:
    """Raises: ValidationError, TrustStoreNotFound."""
    arns_, names = request.get("trust_store_arns"), request.get("names")
    if arns_ and names:
        raise validation_error("Trust store names and trust store ARNs cannot be specified at the same time")
    stores = view.all(TrustStore, call.account, call.region)
    if arns_:
        for arn in arns_:
            require_arn(arns.TRUST_STORE, arn, "trust store")
        stores = _wanted(stores, arns_, lambda store: store.id, _missing_stores)
    if names:
        stores = _wanted(stores, names, lambda store: store.name, _missing_stores)
    page, marker = _page(stores, request, lambda store: store.id)
    return {"trust_stores": [trust_store_answer(view, store) for store in page], "next_marker": marker}


def _missing_stores(_ids: list[str]) -> ApiError:
    return ApiError("TrustStoreNotFound", "One or more trust stores not found")


def describe_trust_store_revocations(view: View, call: Call, request: Request) -> Answer:
    """Raises: TrustStoreNotFound, RevocationIdNotFound."""
    store = require_trust_store(view, call, request["trust_store_arn"])
    if ids := request.get("revocation_ids"):
        revocations = [require_revocation(view, store, id_) for id_ in dict.fromkeys(ids)]
    else:
        revocations = view.children(TrustStoreRevocation, store.account, store.region, store.id)
    page, marker = _page(revocations, request, lambda revocation: revocation.id)
    return {"trust_store_revocations": [revocation_answer(r) for r in page], "next_marker": marker}


def describe_trust_store_associations(view: View, call: Call, request: Request) -> Answer:
    """The load balancers whose listeners use it. Raises: TrustStoreNotFound."""
    store = require_trust_store(view, call, request["trust_store_arn"])
    users = list(dict.fromkeys(listener.load_balancer_arn for listener in listeners_of_trust_store(view, store)))
    page, marker = _page(users, request, str)
    return {"trust_store_associations": [{"resource_arn": arn} for arn in page], "next_marker": marker}


def get_resource_policy(view: View, call: Call, request: Request) -> Answer:
    """Nothing is shared between accounts here, so that no trust store has a policy.

    Raises: ValidationError (malformed), ResourceNotFound.
    """
    arn = request["resource_arn"]
    require_arn(arns.TRUST_STORE, arn, "trust store")
    raise ApiError("ResourceNotFound", f"No resource policy found for '{arn}'")
