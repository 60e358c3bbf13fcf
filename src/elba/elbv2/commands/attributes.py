"""ModifyLoadBalancerAttributes, ModifyTargetGroupAttributes, ModifyListenerAttributes. Source: alb.md §17."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from elba.call import Answer, Call, Request
from elba.elbv2 import attributes as tables
from elba.elbv2.answers import attributes_answer
from elba.elbv2.commands.lookup import (
    invalid_configuration,
    require_listener,
    require_load_balancer,
    require_target_group,
    validation_error,
)
from elba.elbv2.resources import Listener, Target, TargetGroup
from elba.errors import ApiError
from elba.store.interface import Transaction


def _changes(
    given: Sequence[Mapping[str, str]],
    table: Mapping[str, tables.Attribute],
    kind: str,
    noun: str,
    elsewhere: Callable[[str], ApiError | None],
    twice: str,
) -> dict[str, str]:
    """The keys and values of a request, each checked against its row.

    `elsewhere`: what to say to a key that others have; None = that it is not known. `twice`: to keys given twice.
    Raises: ValidationError (unknown key, bad value, key given twice), what `elsewhere` says.
    """
    changes: dict[str, str] = {}
    keys = [entry.get("key") or "" for entry in given]
    if repeated := [key for key in dict.fromkeys(keys) if keys.count(key) > 1]:
        raise validation_error(twice.replace("{keys}", ", ".join(repeated)))
    for entry in given:
        key, value = entry.get("key") or "", entry.get("value") or ""
        row = table.get(key)
        if row is None or kind not in row.kinds:
            unknown = validation_error(f"{noun} attribute key '{key}' is not recognized")
            raise elsewhere(key) or unknown
        if wrong := row.check(value):
            raise validation_error(wrong.replace("{key}", key).replace("{value}", value))
        changes[key] = value
    return changes


def modify_load_balancer_attributes(tx: Transaction, call: Call, request: Request) -> Answer:
    """Changes attributes, all or none; answers with all of them.

    Raises: ValidationError, InvalidConfigurationRequest (logs without a bucket, cross-zone off too).
    """
    balancer = require_load_balancer(tx, call, request["load_balancer_arn"])
    changes = _changes(
        request["attributes"],
        tables.LOAD_BALANCER,
        balancer.type,
        "Load balancer",
        lambda key: None,
        "Attribute key '{keys}' has been specified more than once",
    )
    if changes.get("load_balancing.cross_zone.enabled") == "false":
        raise invalid_configuration(
            "The value for 'load_balancing.cross_zone.enabled' must always be 'true' for an Application Load Balancer"
        )
    before = tables.attributes_of_load_balancer(balancer)
    after = {**before, **changes}
    for kind in tables.LOG_KINDS:
        if after.get(f"{kind}.s3.enabled") == "true" and not after[f"{kind}.s3.bucket"]:
            raise invalid_configuration(
                f"The key '{kind}.s3.bucket' must set in order to enable {kind.replace('_', ' ')}"
            )
    defaults = tables.attributes_of_load_balancer(msgspec.structs.replace(balancer, attributes={}))
    changed = msgspec.structs.replace(balancer, attributes=tables.without_defaults(after, defaults))
    tx.put(changed)
    return {"attributes": attributes_answer(tables.attributes_of_load_balancer(changed))}


def modify_listener_attributes(tx: Transaction, call: Call, request: Request) -> Answer:
    """Changes attributes of a listener, all or none; answers with all of them."""
    listener = require_listener(tx, call, request["listener_arn"])

    def elsewhere(key: str) -> ApiError | None:
        known = key in tables.LISTENER or key in tables.ELSEWHERE_LISTENER
        return invalid_configuration("The provided listener attribute is not supported") if known else None

    changes = _changes(
        request["attributes"],
        tables.LISTENER,
        listener.protocol,
        "Listener",
        elsewhere,
        "Attribute key '{keys}' has been specified more than once",
    )
    defaults = tables.attributes_of_listener(msgspec.structs.replace(listener, attributes={}))
    # An empty header name means the standard one.
    changes = {key: value or defaults[key] for key, value in changes.items()}
    after = {**tables.attributes_of_listener(listener), **changes}
    changed: Listener = msgspec.structs.replace(listener, attributes=tables.without_defaults(after, defaults))
    tx.put(changed)
    return {"attributes": attributes_answer(tables.attributes_of_listener(changed))}


def modify_target_group_attributes(tx: Transaction, call: Call, request: Request) -> Answer:
    """Changes attributes of a target group, all or none; answers with all of them."""
    group = require_target_group(tx, call, request["target_group_arn"])
    _require_stickiness_type(group, request["attributes"])

    def elsewhere(key: str) -> ApiError | None:
        if key not in tables.TARGET_GROUP and key not in tables.ELSEWHERE_TARGET_GROUP:
            return None
        owner = "target type 'lambda'" if group.target_type == "lambda" else f"{group.protocol} protocol"
        name = tables.NAMES_WITHIN.get(key, key)
        return invalid_configuration(f"A target group with {owner} does not support the attribute {name}")

    changes = _changes(
        request["attributes"],
        tables.TARGET_GROUP,
        group.target_type,
        "Target group",
        elsewhere,
        "Target group attribute keys must be unique: '[{keys}]'",
    )
    after = {**tables.attributes_of_target_group(group), **changes}
    _require_consistent(tx, group, after)
    defaults = tables.attributes_of_target_group(msgspec.structs.replace(group, attributes={}))
    changed = msgspec.structs.replace(group, attributes=tables.without_defaults(after, defaults))
    tx.put(changed)
    return {"attributes": attributes_answer(tables.attributes_of_target_group(changed))}


def _require_stickiness_type(group: TargetGroup, attributes: Iterable[Mapping[str, str]]) -> None:
    """Raises: ValidationError for no type at all, InvalidConfigurationRequest for that of another protocol."""
    for each in attributes:
        if each.get("key") != "stickiness.type" or group.protocol not in ("HTTP", "HTTPS"):
            continue
        if each.get("value") not in ("app_cookie", "lb_cookie", "source_ip"):
            raise validation_error("'Stickiness type' must be one of [app_cookie, lb_cookie, source_ip]")
        if each["value"] == "source_ip":
            raise invalid_configuration(
                f"Stickiness type 'source_ip' is not supported for target groups with the {group.protocol} protocol"
            )


def _require_consistent(tx: Transaction, group: TargetGroup, after: Mapping[str, str]) -> None:
    """What the attributes demand of each other. Raises: InvalidConfigurationRequest. Source: alb.md §6-§10."""
    if group.target_type == "lambda":
        if after["stickiness.enabled"] == "true":
            raise invalid_configuration("Stickiness is not supported for target groups of type 'lambda'")
        return
    algorithm = after["load_balancing.algorithm.type"]
    sticky = after["stickiness.enabled"] == "true"
    if after["slow_start.duration_seconds"] != "0" and algorithm != "round_robin":
        raise invalid_configuration(f"Slow start cannot be used with the load balancing algorithm '{algorithm}'")
    if after["load_balancing.algorithm.anomaly_mitigation"] == "on" and algorithm != "weighted_random":
        name = algorithm.replace("_", " ")
        raise invalid_configuration(f"You cannot enable both anomaly mitigation and {name} algorithm on a target group")
    if sticky and algorithm == "weighted_random":
        raise invalid_configuration("Stickiness cannot be used with the load balancing algorithm 'weighted_random'")
    name = after["stickiness.app_cookie.cookie_name"]
    if after["stickiness.type"] == "app_cookie" and sticky and not name:
        raise invalid_configuration("You must set an application cookie name to enable stickiness of type 'app_cookie'")
    if name.upper().startswith("AWSALB"):
        raise invalid_configuration(
            f"The application cookie name '{name}' is not valid: names starting with 'AWSALB' are reserved"
        )
    if after["load_balancing.cross_zone.enabled"] == "false":
        if sticky:
            raise invalid_configuration("Stickiness cannot be used when cross-zone load balancing is off")
        targets = tx.children(Target, group.account, group.region, group.id)
        if any(target.availability_zone == "all" for target in targets):
            raise invalid_configuration(
                "Cross-zone load balancing cannot be turned off while a target has the Availability Zone 'all'"
            )
    _require_thresholds(after)
    if group.target_control_port and (algorithm != "round_robin" or sticky):
        raise invalid_configuration(
            "Target groups with a target control port support round_robin without stickiness only"
        )


def _require_thresholds(after: Mapping[str, str]) -> None:
    """DNS failover must not come later than routing failover. Source: alb.md §10."""
    for unit in ("count", "percentage"):
        dns = after[f"target_group_health.dns_failover.minimum_healthy_targets.{unit}"]
        routing = after[f"target_group_health.unhealthy_state_routing.minimum_healthy_targets.{unit}"]
        if dns != "off" and routing != "off" and int(dns) < int(routing):
            raise invalid_configuration(
                "DNS failover threshold must be greater than or equal to unhealthy state routing threshold"
            )
