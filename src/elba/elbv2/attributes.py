"""The attribute tables: which keys there are, for whom, their defaults and the values they take.

Pure. A resource stores only what differs from its defaults. Source: alb.md §17 = API reference of
LoadBalancerAttribute, TargetGroupAttribute and ListenerAttribute.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from elba.elbv2.resources import Listener, LoadBalancer, TargetGroup

Check = Callable[[str], str]
"""What AWS says to a value, with {key} and {value} for the two, or "" if it takes it. AWS words nearly each in a way of
its own: those that were measured are kept."""

_OTHERWISE = "'{key}' value '{value}' is not valid: it "


def _one_of(*values: str, said: str = "") -> Check:
    listed = ", ".join(f"'{v}'" for v in values)
    return lambda value: "" if value in values else said or f"{_OTHERWISE}must be one of {listed}"


def _from_list(*values: str) -> Check:
    listed = f"The value of '{{key}}' must be from the following: [{', '.join(values)}], but was '{{value}}'"
    return lambda value: "" if value in ("", *values) else listed


def _is_between(value: str, least: int, most: int) -> bool:
    return bool(re.fullmatch(r"\d{1,9}", value)) and least <= int(value) <= most


def _between(least: int, most: int, said: str = "") -> Check:
    text = said or f"'{{key}}' value '{{value}}' must be between '{least}-{most}' inclusive"
    return lambda value: "" if _is_between(value, least, most) else text


def _idle_timeout(value: str) -> str:
    if not re.fullmatch(r"-?\d{1,9}", value):
        return f"{_OTHERWISE}must be between '1-4000' inclusive"
    if int(value) < 1:
        return "The value of '{key}' cannot be less than 1 characters"
    return "The value of '{key}' cannot be greater than 4000 characters" if int(value) > 4000 else ""


def _count(*others: str) -> Check:
    text = "The value of '{key}' must be 'off' or a positive integer"
    return lambda value: "" if value in others or _is_between(value, 1, 1000) else text


def _percentage(value: str) -> str:
    if value == "off" or _is_between(value, 1, 100):
        return ""
    if _is_between(value, 101, 999_999_999):
        return "'{key}' must be 'off' or an integer from 1 to 100 inclusive"
    return "The value of '{key}' must be 'off' or a positive integer"


def _slow_start(value: str) -> str:
    return "" if value == "0" else _between(30, 900)(value)


def _matching(pattern: str, what: str, said: str = "") -> Check:
    compiled = re.compile(pattern)
    return lambda value: "" if compiled.fullmatch(value) else said or f"{_OTHERWISE}must be {what}"


def _prefix(value: str) -> str:
    if "AWSLogs" in value:
        return f"{_OTHERWISE}must not contain 'AWSLogs'"
    return f"{_OTHERWISE}must not start or end with '/'" if value.startswith("/") or value.endswith("/") else ""


_bool = _one_of("true", "false", said="The value of '{key}' must be 'true' or 'false', but was '{value}'")
_bucket = _matching(r"([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?", "a valid bucket name")
_header_name = _matching(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{0,128}", "", "The value of '{key}' contains invalid characters")
_header_value = _matching(r"[\x20-\x7e]{0,1024}", "at most 1024 printable characters")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One key. `kinds` are the load balancer types (or target types) that have it."""

    key: str
    default: str
    check: Check
    kinds: frozenset[str]


def _table(*rows: tuple[str, str, Check, str]) -> dict[str, Attribute]:
    return {key: Attribute(key, default, check, frozenset(kinds.split())) for key, default, check, kinds in rows}


def _logs(name: str, kinds: str) -> list[tuple[str, str, Check, str]]:
    return [
        (f"{name}.s3.enabled", "false", _bool, kinds),
        (f"{name}.s3.bucket", "", _bucket, kinds),
        (f"{name}.s3.prefix", "", _prefix, kinds),
    ]


LOG_KINDS = ("access_logs", "connection_logs", "health_check_logs")

LOAD_BALANCER = _table(
    *_logs("access_logs", "application network"),
    ("idle_timeout.timeout_seconds", "60", _idle_timeout, "application"),
    ("deletion_protection.enabled", "false", _bool, "application network gateway"),
    ("routing.http2.enabled", "true", _bool, "application"),
    ("routing.http.drop_invalid_header_fields.enabled", "false", _bool, "application"),
    ("routing.http.xff_client_port.enabled", "false", _bool, "application"),
    ("routing.http.preserve_host_header.enabled", "false", _bool, "application"),
    (
        "routing.http.xff_header_processing.mode",
        "append",
        _one_of("append", "preserve", "remove", said="'{key}' must be set as 'preserve', 'append', or 'remove'"),
        "application",
    ),
    ("load_balancing.cross_zone.enabled", "true", _bool, "application network gateway"),
    (
        "routing.http.desync_mitigation_mode",
        "defensive",
        _one_of("monitor", "defensive", "strictest", said="'{value}' must be one of [defensive, monitor, strictest]"),
        "application",
    ),
    (
        "client_keep_alive.seconds",
        "3600",
        _between(60, 604800, "The value of '{key}' must be an integer between 60 and 604800"),
        "application",
    ),
    ("waf.fail_open.enabled", "false", _bool, "application"),
    ("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "false", _bool, "application"),
    *_logs("connection_logs", "application"),
    *_logs("health_check_logs", "application"),
    ("zonal_shift.config.enabled", "false", _bool, "application network"),
    ("ipv6.deny_all_igw_traffic", "false", _bool, "application network"),
    (
        "dns_record.client_routing_policy",
        "any_availability_zone",
        _one_of("availability_zone_affinity", "partial_availability_zone_affinity", "any_availability_zone"),
        "network",
    ),
    ("secondary_ips.auto_assigned.per_subnet", "0", _between(0, 7), "network"),
)

_ROUTING = "target_group_health.unhealthy_state_routing.minimum_healthy_targets"
_DNS = "target_group_health.dns_failover.minimum_healthy_targets"

TARGET_GROUP = _table(
    (f"{_ROUTING}.count", "1", _count(), "instance ip"),
    (f"{_ROUTING}.percentage", "off", _percentage, "instance ip"),
    ("deregistration_delay.timeout_seconds", "300", _between(0, 3600), "instance ip"),
    ("stickiness.enabled", "false", _bool, "instance ip lambda"),
    ("stickiness.type", "lb_cookie", _one_of("lb_cookie", "app_cookie"), "instance ip lambda"),
    ("stickiness.lb_cookie.duration_seconds", "86400", _between(1, 604800), "instance ip"),
    ("stickiness.app_cookie.cookie_name", "", _header_name, "instance ip"),
    ("stickiness.app_cookie.duration_seconds", "86400", _between(1, 604800), "instance ip"),
    ("slow_start.duration_seconds", "0", _slow_start, "instance ip"),
    (
        "load_balancing.cross_zone.enabled",
        "use_load_balancer_configuration",
        _one_of(
            "true",
            "false",
            "use_load_balancer_configuration",
            said="'{key}' must be one of use_load_balancer_configuration,true,false",
        ),
        "instance ip",
    ),
    (
        "load_balancing.algorithm.type",
        "round_robin",
        _one_of(
            "round_robin",
            "weighted_random",
            "least_outstanding_requests",
            said="'Load balancer algorithm' must be one of [round_robin, weighted_random, least_outstanding_requests]",
        ),
        "instance ip",
    ),
    (
        "load_balancing.algorithm.anomaly_mitigation",
        "off",
        _one_of("on", "off", said="'{key}' must be one of [off, on]"),
        "instance ip",
    ),
    (f"{_DNS}.count", "1", _count("off"), "instance ip"),
    (f"{_DNS}.percentage", "off", _percentage, "instance ip"),
    ("lambda.multi_value_headers.enabled", "false", _bool, "lambda"),
)

ELSEWHERE_LISTENER = frozenset({"tcp.idle_timeout.seconds"})
"""Known to AWS, for listeners of other load balancers."""
ELSEWHERE_TARGET_GROUP = frozenset(
    {
        "deregistration_delay.connection_termination.enabled",
        "preserve_client_ip.enabled",
        "proxy_protocol_v2.enabled",
        "target_failover.on_deregistration",
        "target_failover.on_unhealthy",
        "target_health_state.unhealthy.connection_termination.enabled",
        "target_health_state.unhealthy.draining_interval_seconds",
    }
)
"""Known to AWS, for target groups of other load balancers."""
NAMES_WITHIN = {"lambda.multi_value_headers.enabled": "lambda.headers.multiple_values.enabled"}
"""What AWS calls an attribute in its refusals, where that is not its key (measured)."""

_REQUEST_HEADERS = {
    "x_amzn_mtls_clientcert_serial_number": "X-Amzn-Mtls-Clientcert-Serial-Number",
    "x_amzn_mtls_clientcert_issuer": "X-Amzn-Mtls-Clientcert-Issuer",
    "x_amzn_mtls_clientcert_subject": "X-Amzn-Mtls-Clientcert-Subject",
    "x_amzn_mtls_clientcert_validity": "X-Amzn-Mtls-Clientcert-Validity",
    "x_amzn_mtls_clientcert_leaf": "X-Amzn-Mtls-Clientcert-Leaf",
    "x_amzn_mtls_clientcert": "X-Amzn-Mtls-Clientcert",
    "x_amzn_tls_version": "X-Amzn-Tls-Version",
    "x_amzn_tls_cipher_suite": "X-Amzn-Tls-Cipher-Suite",
}
_RESPONSE_HEADERS: dict[str, Check] = {
    "strict_transport_security": _matching(
        r"(max-age=\d+(; ?includeSubDomains)?(; ?preload)?)?", "of the form max-age=<seconds>[; includeSubDomains]"
    ),
    "access_control_allow_origin": _header_value,
    "access_control_allow_methods": _header_value,
    "access_control_allow_headers": _header_value,
    "access_control_allow_credentials": _one_of("true", ""),
    "access_control_expose_headers": _header_value,
    "access_control_max_age": lambda value: "" if value == "" else _between(0, 86400)(value),
    "content_security_policy": _header_value,
    "x_content_type_options": _from_list("nosniff"),
    "x_frame_options": _from_list("DENY", "SAMEORIGIN"),
}

LISTENER = _table(
    ("routing.http.response.server.enabled", "true", _bool, "HTTP HTTPS"),
    *(
        (f"routing.http.response.{name}.header_value", "", check, "HTTP HTTPS")
        for name, check in _RESPONSE_HEADERS.items()
    ),
    *(
        (f"routing.http.request.{name}.header_name", default, _header_name, "HTTPS")
        for name, default in _REQUEST_HEADERS.items()
    ),
)


def attributes_of_load_balancer(balancer: LoadBalancer) -> dict[str, str]:
    """Every attribute of its type, defaults filled in."""
    own = {row.key: row.default for row in LOAD_BALANCER.values() if balancer.type in row.kinds}
    own["ipv6.deny_all_igw_traffic"] = "true" if balancer.scheme == "internal" else "false"
    return own | balancer.attributes


def attributes_of_target_group(group: TargetGroup) -> dict[str, str]:
    """Every attribute of its target type, defaults filled in."""
    own = {row.key: row.default for row in TARGET_GROUP.values() if group.target_type in row.kinds}
    return own | group.attributes


def attributes_of_listener(listener: Listener) -> dict[str, str]:
    """Every attribute of its protocol, defaults filled in."""
    own = {row.key: row.default for row in LISTENER.values() if listener.protocol in row.kinds}
    return own | listener.attributes


def target_group_attribute(group: TargetGroup, key: str) -> str:
    """One attribute, without building all of them."""
    value = group.attributes.get(key)
    return TARGET_GROUP[key].default if value is None else value


def deregistration_delay_seconds(group: TargetGroup) -> float:
    """How long a deregistered target of the group drains; 0 for lambda, which has no such attribute."""
    if group.target_type == "lambda":
        return 0.0
    return float(target_group_attribute(group, "deregistration_delay.timeout_seconds"))


def without_defaults(changed: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    """What a resource stores of its attributes."""
    return {key: value for key, value in changed.items() if defaults.get(key) != value}
