"""Target groups and their health checks. Source: elb-api.md B4, alb.md §6, §9."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from elba.call import Answer, Call, Request
from elba.ec2.resources import Vpc
from elba.elbv2 import arns
from elba.elbv2.answers import target_group_answer
from elba.elbv2.commands.lookup import invalid_configuration, require_arn, require_target_group, validation_error
from elba.elbv2.commands.tags import parse_tags
from elba.elbv2.limits import LIMITS
from elba.elbv2.resources import Target, TargetGroup, TargetHealth
from elba.errors import ApiError
from elba.store.interface import Transaction, View

_HTTP = ("HTTP", "HTTPS")
_NAME = "(?!^-)(?!.*-$)^[A-Za-z0-9-]+$"
_VERSIONS = ("HTTP2", "HTTP1", "GRPC")
_GRPC_PATH = "/AWS.ALB/healthcheck"
_CODE_RANGES = {"http_code": (200, 499), "grpc_code": (0, 99)}
_CODE_NAMES = {"http_code": "HttpCode", "grpc_code": "GrpcCode"}
_MATCHER = {"http_code": "Health check matcher HTTP code", "grpc_code": "Health check matcher GRPC code"}
_CODE_EXAMPLES = {"http_code": "200 | 200-399 | 200,201 ...", "grpc_code": "0 | 0-99 | 0,1 ..."}
_MODIFIABLE = (
    "health_check_protocol",
    "health_check_port",
    "health_check_path",
    "health_check_enabled",
    "health_check_interval_seconds",
    "health_check_timeout_seconds",
    "healthy_threshold_count",
    "unhealthy_threshold_count",
    "matcher",
)


def require_target_group_name(name: str) -> None:
    """Raises: ValidationError unless `name` keeps to the grammar of elb-api.md A2."""
    subject = f"Target group name '{name}'"
    if not name:
        raise validation_error("A target group name must be specified")
    if len(name) > 32:
        raise validation_error(f"{subject} cannot be longer than '32' characters")
    if not re.fullmatch(_NAME, name):
        raise validation_error(
            f"1 validation error detected: Value '{name}' at 'targetGroupName' failed to satisfy constraint: Member "
            f"must satisfy regular expression pattern: {_NAME}"
        )


def _require_built(target_type: str, protocol: str | None) -> None:
    if target_type == "alb" or (protocol and protocol not in _HTTP):
        what = f"target type '{target_type}'" if target_type == "alb" else f"protocol '{protocol}'"
        raise invalid_configuration(
            f"Target groups with {what} are for load balancers of type 'network' or 'gateway', which are not built yet "
            "in Elba."
        )


def parse_codes(kind: str, text: str) -> set[int]:
    """The codes a matcher takes, as `200`, `200,202` or `200-299`. `kind` is http_code or grpc_code.

    Raises: ValidationError.
    """
    least, most = _CODE_RANGES[kind]
    codes: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise validation_error(f"{_CODE_NAMES[kind]} must be like {_CODE_EXAMPLES[kind]}")
        for code in (first, last):
            if not least <= code <= most:
                raise validation_error(f"{_MATCHER[kind]} '{code}' must be within '{least}-{most}' inclusive")
        codes.update(range(first, last + 1))
    return codes


def _parse_matcher(given: Mapping[str, str] | None, version: str | None, default: dict[str, str]) -> dict[str, str]:
    if not given:
        return default
    own, other = ("grpc_code", "http_code") if version == "GRPC" else ("http_code", "grpc_code")
    text = given.get(own)
    if not text:
        raise validation_error(f"{_MATCHER[own]} cannot be empty")
    if given.get(other):
        raise validation_error(
            f"{_CODE_NAMES[other]} cannot be specified for target groups with protocol version '{version or 'HTTP1'}'"
        )
    parse_codes(own, text)
    return {own: text}


def _require_health_check(group: TargetGroup) -> None:
    """What a group's health check must keep to, whoever set it. Raises: ValidationError."""
    if group.target_type != "lambda":
        if not group.health_check_enabled:
            raise validation_error(
                f"Health check enabled must be true for target groups with target type '{group.target_type}'"
            )
        if group.health_check_protocol not in _HTTP:
            raise validation_error(
                f"Health check protocol '{group.health_check_protocol}' must be one of '{', '.join(_HTTP)}'"
            )
        port = group.health_check_port or ""
        if port != "traffic-port" and not (re.fullmatch(r"\d{1,5}", port) and 1 <= int(port) <= 65535):
            raise validation_error(f"Health check port '{port}' must be within '1-65535' or 'traffic-port'")
    path = group.health_check_path or ""
    if not path.startswith("/") or len(path) > 1024 or not re.fullmatch(r"[\x21-\x7e]+", path):
        raise validation_error(f"Health check path '{path}' must begin with '/' and have at most 1024 characters")
    interval, timeout = group.health_check_interval_seconds, group.health_check_timeout_seconds
    for name, value, least, most in (
        ("Health check interval", interval, 5, 300),
        ("Health check timeout", timeout, 2, 120),
        ("Healthy threshold count", group.healthy_threshold_count, 2, 10),
        ("Unhealthy threshold count", group.unhealthy_threshold_count, 2, 10),
    ):
        if not least <= value <= most:
            raise validation_error(f"{name} '{value}' must be between {least} and {most}")
    if timeout >= interval:
        raise validation_error(f"Health check timeout '{timeout}' must be smaller than the interval '{interval}'")


def _given(request: Request, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: request[name] for name in names if request.get(name) is not None}


def _new_group(view: View, call: Call, request: Request) -> TargetGroup:
    """The group a request asks for, with defaults and a fresh id. Raises: ValidationError."""
    name, target_type = request["name"], request.get("target_type") or "instance"
    require_target_group_name(name)
    protocol = request.get("protocol")
    _require_built(target_type, protocol)
    resource_id = f"targetgroup/{name}/{call.ids.hex(16)}"
    group = TargetGroup(
        account=call.account,
        region=call.region,
        id=arns.target_group_arn(call, resource_id),
        target_group_name=name,
        resource_id=resource_id,
        target_type=target_type,
        created_time=call.now,
    )
    group = _with_lambda(group, request) if target_type == "lambda" else _with_network(view, call, group, request)
    given = _given(request, _MODIFIABLE)
    default = {"grpc_code": "12"} if group.protocol_version == "GRPC" else {"http_code": "200"}
    given["matcher"] = _parse_matcher(request.get("matcher"), group.protocol_version, default)
    if group.protocol_version == "GRPC":
        given.setdefault("health_check_path", _GRPC_PATH)
    group = msgspec.structs.replace(group, **given)
    _require_health_check(group)
    return group


def _with_lambda(group: TargetGroup, request: Request) -> TargetGroup:
    for member, what in (
        ("protocol", "Protocol"),
        ("protocol_version", "Protocol version"),
        ("port", "Port"),
        ("vpc_id", "VPC ID"),
        ("health_check_protocol", "Health check protocol"),
        ("health_check_port", "Health check port"),
    ):
        if request.get(member) is not None:
            raise validation_error(f"{what} cannot be specified for target groups with target type 'lambda'")
    if request.get("ip_address_type") == "ipv6":
        raise validation_error("Target type 'lambda' is not supported with an IPv6 target group")
    if request.get("target_control_port") is not None:
        raise validation_error("Target control port is not supported")
    return msgspec.structs.replace(
        group,
        health_check_enabled=False,
        health_check_protocol=None,
        health_check_port=None,
        health_check_interval_seconds=35,
        health_check_timeout_seconds=30,
        ip_address_type=None,
    )


def _with_network(view: View, call: Call, group: TargetGroup, request: Request) -> TargetGroup:
    protocol, port, vpc_id = request.get("protocol"), request.get("port"), request.get("vpc_id")
    if not protocol:
        raise validation_error("A protocol must be specified")
    if not port:
        raise validation_error("A port must be specified")
    if not vpc_id:
        raise validation_error("A VPC ID must be specified")
    version = request.get("protocol_version") or "HTTP1"
    if version not in _VERSIONS:
        raise validation_error(f"Target group protocol version '{version}' must be one of '[{', '.join(_VERSIONS)}]'")
    ip_address_type = request.get("ip_address_type") or "ipv4"
    if ip_address_type == "ipv6" and group.target_type != "ip":
        raise validation_error(
            f"IP address type 'ipv6' is not supported for target groups with target type '{group.target_type}'"
        )
    if view.get(Vpc, call.account, call.region, vpc_id) is None:
        raise validation_error(f"The VPC ID '{vpc_id}' is not found")
    return msgspec.structs.replace(
        group,
        protocol=protocol,
        port=port,
        vpc_id=vpc_id,
        protocol_version=version,
        ip_address_type=ip_address_type,
        target_control_port=request.get("target_control_port"),
    )


def _same_settings(one: TargetGroup, other: TargetGroup) -> bool:
    """Whether CreateTargetGroup would have made both."""
    return one == msgspec.structs.replace(
        other,
        id=one.id,
        resource_id=one.resource_id,
        created_time=one.created_time,
        load_balancer_arns=one.load_balancer_arns,
        attributes=one.attributes,
    )


def create_target_group(tx: Transaction, call: Call, request: Request) -> Answer:
    """A target group. The same call again answers with the old one.

    Raises: ValidationError, DuplicateTargetGroupName, TooManyTargetGroups, TooManyTags.
    """
    group = _new_group(tx, call, request)
    group = msgspec.structs.replace(group, tags=parse_tags(request.get("tags")))
    groups = tx.all(TargetGroup, call.account, call.region)
    old = next((other for other in groups if other.target_group_name == group.target_group_name), None)
    if old is not None:
        if _same_settings(old, group):
            return {"target_groups": [target_group_answer(old)]}
        raise ApiError(
            "DuplicateTargetGroupName",
            f"A target group with the same name '{group.target_group_name}' exists, but with different settings",
        )
    if len(groups) >= LIMITS["target-groups"]:
        raise ApiError("TooManyTargetGroups", "The maximum number of target groups has been reached for your account")
    tx.put(group)
    return {"target_groups": [target_group_answer(group)]}


def modify_target_group(tx: Transaction, call: Call, request: Request) -> Answer:
    """Changes the group's health check. Raises: TargetGroupNotFound, ValidationError."""
    group = require_target_group(tx, call, request["target_group_arn"])
    given = _given(request, _MODIFIABLE)
    if group.target_type == "lambda":
        for member, what in (("health_check_protocol", "protocol"), ("health_check_port", "port")):
            if member in given:
                raise validation_error(
                    f"A health check {what} cannot be specified for target groups with target type 'lambda'"
                )
    given["matcher"] = _parse_matcher(request.get("matcher"), group.protocol_version, group.matcher)
    changed = msgspec.structs.replace(group, **given)
    _require_health_check(changed)
    tx.put(changed)
    return {"target_groups": [target_group_answer(changed)]}


def delete_target_group(tx: Transaction, call: Call, request: Request) -> Answer:
    """Deletes a group with its targets; one that is gone counts as deleted.

    Raises: ValidationError (malformed ARN), ResourceInUse (a listener or rule names it).
    """
    arn = request["target_group_arn"]
    require_arn(arns.TARGET_GROUP, arn, "target group")
    group = tx.get(TargetGroup, call.account, call.region, arn)
    if group is None:
        return {}
    if group.load_balancer_arns:
        raise ApiError("ResourceInUse", f"Target group '{arn}' is currently in use by a listener or a rule")
    for health in tx.children(TargetHealth, group.account, group.region, group.id):
        tx.delete(health)
    for target in tx.children(Target, group.account, group.region, group.id):
        tx.delete(target)
    tx.delete(group)
    return {}
