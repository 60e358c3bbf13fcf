"""Actions of a listener or rule: checked, and put into the one form that is stored. Source: alb.md §5.

Stored: sorted by `order`; forward always has `forward_config` with weights, and `target_group_arn` too if it names
one group; redirect has every component.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from elba.call import Call
from elba.elbv2.attributes import target_group_attribute
from elba.elbv2.commands.lookup import invalid_configuration, require_target_group, validation_error
from elba.elbv2.limits import LIMITS
from elba.elbv2.resources import LoadBalancer, TargetGroup
from elba.errors import ApiError
from elba.store.interface import View

ROUTING = ("forward", "redirect", "fixed-response")
AUTHENTICATING = ("authenticate-oidc", "authenticate-cognito", "jwt-validation")
_CONFIG_OF_TYPE = {
    "forward": "forward_config",
    "redirect": "redirect_config",
    "fixed-response": "fixed_response_config",
    "authenticate-oidc": "authenticate_oidc_config",
    "authenticate-cognito": "authenticate_cognito_config",
    "jwt-validation": "jwt_validation_config",
}
CONTENT_TYPES = ("text/html", "application/json", "application/javascript", "text/css", "text/plain")
_REDIRECT_DEFAULTS = {
    "protocol": "#{protocol}",
    "port": "#{port}",
    "host": "#{host}",
    "path": "/#{path}",
    "query": "#{query}",
}
_WEIGHT_MOST = 999
_DURATION_MOST = 604_800
_EXTRA_PARAMETERS_MOST = 10
_RESERVED_CLAIMS = ("exp", "iss", "nbf", "iat")


def invalid_action(message: str) -> ApiError:
    """ELBv2's answer to an action that cannot be."""
    return ApiError("InvalidLoadBalancerAction", message)


def _config_name(config: str) -> str:
    return "".join(part.capitalize() for part in config.split("_"))


def parse_actions(
    view: View,
    call: Call,
    balancer: LoadBalancer,
    protocol: str,
    given: Iterable[Mapping[str, Any]],
    *,
    old: Iterable[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Actions in stored form for a listener of `protocol`; `old` are those they replace (for a kept client secret).

    Raises: ValidationError, InvalidLoadBalancerAction, InvalidConfigurationRequest, IncompatibleProtocols,
    TargetGroupNotFound, TooManyTargetGroups.
    """
    actions = _in_order(list(given))
    routing = [action for action in actions if action["type"] in ROUTING]
    types = list(dict.fromkeys(action["type"] for action in routing))
    if len(types) > 1:
        raise validation_error(f"Action types '{','.join(types)}' cannot be specified together")
    if len(routing) != 1:
        raise validation_error("Actions must have exactly one of forward, redirect, fixed-response")
    if actions[-1]["type"] not in ROUTING:
        raise validation_error(f"An action of type '{types[0]}' must have a higher order than all other actions")
    if len(actions) > 2:
        raise ApiError("TooManyActions", "A rule can have at most one authentication action before its routing action")
    return [_parse_action(view, call, balancer, protocol, action, list(old)) for action in actions]


def _in_order(actions: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Sorted by Order. Raises: ValidationError (none, Order missing or given twice)."""
    if not actions:
        raise validation_error("An action must be specified")
    for action in actions:
        if action.get("type") not in _CONFIG_OF_TYPE:
            raise validation_error(
                f"Action type '{action.get('type') or ''}' must be one of '{', '.join(_CONFIG_OF_TYPE)}'"
            )
    if len(actions) == 1:
        return actions
    orders = [action.get("order") for action in actions]
    if any(order is None for order in orders):
        raise validation_error("When you specify multiple actions, you must specify an order for each action")
    if len(set(orders)) < len(orders):
        raise validation_error("The order of each action must be unique")
    return sorted(actions, key=lambda action: int(action["order"]))


def _parse_action(
    view: View,
    call: Call,
    balancer: LoadBalancer,
    protocol: str,
    given: Mapping[str, Any],
    old: list[Mapping[str, Any]],
) -> dict[str, Any]:
    type_ = given["type"]
    own = _CONFIG_OF_TYPE[type_]
    if type_ != "forward" and given.get(own) is None:
        raise validation_error(
            f"For actions of type '{type_}', you must specify the following fields: '{_config_name(own)}'"
        )
    for other, foreign in _CONFIG_OF_TYPE.items():
        if other != type_ and given.get(foreign) is not None:
            raise validation_error(f"The '{_config_name(foreign)}' field is not compatible with action type '{type_}'")
    if type_ != "forward" and given.get("target_group_arn"):
        raise validation_error(f"A target group cannot be specified for action type '{type_}'")
    if type_ in AUTHENTICATING and protocol != "HTTPS":
        raise invalid_action(f"Actions of type '{type_}' are supported only on HTTPS listeners")
    action: dict[str, Any] = {"type": type_}
    if given.get("order") is not None:
        action["order"] = given["order"]
    if type_ == "forward":
        return action | _parse_forward(view, call, balancer, protocol, given)
    config = given[own]
    if type_ == "redirect":
        return action | {own: _parse_redirect(protocol, config)}
    if type_ == "fixed-response":
        return action | {own: _parse_fixed_response(config)}
    if type_ == "authenticate-oidc":
        earlier: Mapping[str, Any] = next((a[own] for a in old if own in a), {})
        return action | {own: _parse_oidc(config, earlier)}
    if type_ == "authenticate-cognito":
        return action | {own: _parse_session(config)}
    return action | {own: _parse_jwt(config)}


# ── forward ──────────────────────────────────────────────────────────────────────────────────────────


def _parse_forward(
    view: View, call: Call, balancer: LoadBalancer, protocol: str, given: Mapping[str, Any]
) -> dict[str, Any]:
    single, config = given.get("target_group_arn"), given.get("forward_config") or {}
    entries = list(config.get("target_groups") or ())
    if not single and not entries:
        raise validation_error("A target group ARN must be specified for action type 'forward'")
    if single and entries and [entry.get("target_group_arn") for entry in entries] != [single]:
        raise validation_error(
            "You can specify both a target group list and a top-level target group ARN only if the ARNs match"
        )
    if not entries:
        entries = [{"target_group_arn": single}]
    most = LIMITS["target-groups-per-action-on-application-load-balancer"]
    if len(entries) > most:
        raise ApiError("TooManyTargetGroups", f"You cannot specify more than {most} target groups per action")
    groups: dict[str, TargetGroup] = {}
    shares = []
    for entry in entries:
        arn = entry.get("target_group_arn") or ""
        if arn in groups:
            raise validation_error(f"Target group '{arn}' was specified more than once")
        groups[arn] = require_target_group(view, call, arn)
        weight = entry.get("weight")
        if len(entries) > 1:  # one among several needs a weight
            if weight is None or not 0 <= weight <= _WEIGHT_MOST:
                raise validation_error("The weight for each target group must be between 0 and 999, inclusive")
        else:
            weight = 1 if weight is None else weight
            if not 1 <= weight <= _WEIGHT_MOST:
                raise validation_error("The weight for the target group must be between 1 and 999, inclusive")
        shares.append({"target_group_arn": arn, "weight": weight})
    stickiness = _parse_stickiness(config.get("target_group_stickiness_config") or {})
    if len({group.ip_address_type for group in groups.values() if group.target_type != "lambda"}) > 1:
        raise invalid_configuration("The IP address types of the target groups for a single action must be the same")
    for group in groups.values():
        _require_compatible(balancer, protocol, group)
    if len(groups) > 1 and not stickiness["enabled"]:
        for group in groups.values():
            if group.target_type != "lambda" and target_group_attribute(group, "stickiness.enabled") == "true":
                raise invalid_configuration(
                    "You must enable group stickiness on a rule if you enabled target stickiness on one of its "
                    "target groups"
                )
    parsed: dict[str, Any] = {}
    if len(shares) == 1:
        parsed["target_group_arn"] = shares[0]["target_group_arn"]
    parsed["forward_config"] = {"target_groups": shares, "target_group_stickiness_config": stickiness}
    return parsed


def _parse_stickiness(config: Mapping[str, Any]) -> dict[str, Any]:
    enabled, seconds = bool(config.get("enabled")), config.get("duration_seconds")
    if enabled and seconds is None:
        raise validation_error("You must provide a duration when enabling target group stickiness")
    if seconds is not None and not 1 <= seconds <= _DURATION_MOST:
        raise validation_error(f"Target group stickiness duration must be between 1 and {_DURATION_MOST} seconds")
    return {"enabled": enabled} if seconds is None else {"enabled": enabled, "duration_seconds": seconds}


def _require_compatible(balancer: LoadBalancer, protocol: str, group: TargetGroup) -> None:
    """Raises: IncompatibleProtocols, InvalidConfigurationRequest. Source: alb.md §6."""
    if group.target_type == "lambda":
        return
    if group.protocol not in ("HTTP", "HTTPS"):
        raise ApiError(
            "IncompatibleProtocols",
            f"The listener and the following target groups have incompatible protocols: {group.id}",
        )
    if group.protocol_version in ("HTTP2", "GRPC") and protocol != "HTTPS":
        raise invalid_configuration(
            f"Listener protocol '{protocol}' is not supported with a target group with the protocol-version "
            f"'{group.protocol_version}'"
        )
    if group.vpc_id != balancer.vpc_id:
        raise invalid_configuration(
            f"The following target groups are in a different VPC than load balancer '{balancer.id}': {group.id}"
        )
    if group.ip_address_type == "ipv6" and balancer.ip_address_type == "ipv4":
        raise invalid_configuration(
            "You cannot associate an IPv6 target group with a load balancer that has an 'ipv4' IP address type"
        )


# ── redirect, fixed-response ─────────────────────────────────────────────────────────────────────────


def _parse_redirect(protocol: str, config: Mapping[str, Any]) -> dict[str, Any]:
    full = {key: default if config.get(key) is None else config[key] for key, default in _REDIRECT_DEFAULTS.items()}
    if full["protocol"] not in ("HTTP", "HTTPS", "#{protocol}"):
        raise validation_error("The redirect protocol must be one of 'HTTP', 'HTTPS', '#{protocol}'")
    port = full["port"]
    if port != "#{port}" and not (re.fullmatch(r"\d{1,5}", port) and 1 <= int(port) <= 65535):
        raise validation_error("The Port parameter must be either an integer between 1 and 65535 or '#{port}'.")
    if not full["path"].startswith("/") or any(full["path"].count(p) > 1 for p in ("#{path}", "#{host}", "#{port}")):
        raise validation_error(
            "The Path parameter must be a valid path, should start with a '/', and may contain up to one of each of "
            "these placeholders: '#{path}', '#{host}', '#{port}'."
        )
    if full["query"].startswith("?"):
        raise validation_error("The redirect query must not start with '?'")
    if "%" in full["host"]:
        raise validation_error("The redirect host must not be percent-encoded")
    for key, allowed in (("host", ("host",)), ("path", ("host", "path", "port"))):
        for name in re.findall(r"#\{([^}]*)\}", full[key]):
            if name not in allowed:
                raise validation_error(f"The placeholder '#{{{name}}}' cannot be used in the redirect {key}")
    for name in re.findall(r"#\{([^}]*)\}", full["query"]):
        if name not in _REDIRECT_DEFAULTS:
            raise validation_error(f"The placeholder '#{{{name}}}' cannot be used in the redirect query")
    if protocol == "HTTPS" and full["protocol"] == "HTTP":
        raise invalid_action("You cannot redirect HTTPS to HTTP.")
    if all(full[key] == _REDIRECT_DEFAULTS[key] for key in ("protocol", "port", "host", "path")):
        raise invalid_action("The redirect configuration is not valid because it creates a loop.")
    return {**full, "status_code": config["status_code"]}


def _parse_fixed_response(config: Mapping[str, Any]) -> dict[str, Any]:
    if not re.fullmatch(r"[245]\d\d", config["status_code"]):
        raise validation_error("The fixed response status code must be 2XX, 4XX or 5XX")
    content_type = config.get("content_type")
    if content_type and content_type not in CONTENT_TYPES:
        listed = ", ".join(f"'{type_}'" for type_ in CONTENT_TYPES)
        raise invalid_action(f"The ContentType must be one of:{listed}.")
    parsed = {"status_code": config["status_code"]}
    if config.get("message_body") is not None:
        if len(config["message_body"].encode()) > 1024:
            raise validation_error("The fixed response message body must be at most 1024 bytes")
        parsed["message_body"] = config["message_body"]
    if content_type:
        parsed["content_type"] = content_type
    return parsed


# ── authenticate, jwt-validation (HTTPS listeners) ───────────────────────────────────────────────────


def _require_https(url: str, most: int = 1024) -> None:
    if not re.fullmatch(r"https://[^/\s]+(/\S*)?", url) or len(url) > most:
        raise validation_error(f"The '{url}' URL is not valid")


def _parse_session(config: Mapping[str, Any]) -> dict[str, Any]:
    """What authenticate-oidc and authenticate-cognito have in common, with the defaults that answers show."""
    seconds = config.get("session_timeout")
    if seconds is not None and not 1 <= seconds <= _DURATION_MOST:
        raise validation_error(f"'Session timeout' value '{seconds}' must be between 1 and {_DURATION_MOST} inclusive")
    if len(config.get("authentication_request_extra_params") or {}) > _EXTRA_PARAMETERS_MOST:
        raise validation_error(
            f"You can specify up to {_EXTRA_PARAMETERS_MOST} extra authentication request parameters"
        )
    defaults = {
        "session_cookie_name": "AWSELBAuthSessionCookie",
        "scope": "openid",
        "session_timeout": _DURATION_MOST,
        "on_unauthenticated_request": "authenticate",
    }
    return defaults | {key: value for key, value in config.items() if value is not None}


def _parse_oidc(config: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    _require_https(config["issuer"])
    for name in ("authorization_endpoint", "token_endpoint", "user_info_endpoint"):
        _require_https(config[name])
    parsed = _parse_session(config)
    if parsed.pop("use_existing_client_secret", False):
        if not earlier.get("client_secret"):
            raise validation_error("There is no existing client secret to use")
        parsed["client_secret"] = earlier["client_secret"]
    if not parsed.get("client_secret"):
        raise validation_error("A client secret must be specified")
    return parsed


def _parse_jwt(config: Mapping[str, Any]) -> dict[str, Any]:
    _require_https(config["jwks_endpoint"], 256)
    if not 1 <= len(config["issuer"]) <= 256:
        raise validation_error("The 'Issuer' must have 1 to 256 characters")
    claims = list(config.get("additional_claims") or ())
    if len(claims) > 10:
        raise validation_error("At most 10 additional claims can be specified")
    for claim in claims:
        if claim["name"] in _RESERVED_CLAIMS:
            raise validation_error(f"The claim '{claim['name']}' cannot be specified as an additional claim")
        if not 1 <= len(claim["values"]) <= 10 or any(len(value) > 256 for value in claim["values"]):
            raise validation_error("An additional claim must have 1 to 10 values of at most 256 characters")
        if claim["format"] == "space-separated-values" and any(" " in value for value in claim["values"]):
            raise validation_error("The values of a claim with space-separated values cannot contain spaces")
    return {key: value for key, value in config.items() if value is not None}
