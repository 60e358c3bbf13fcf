"""Lines of an Application Load Balancer's access log, taken apart: fields by AWS's names, values as they mean.

The zone nodes write them (crates/elba-core/src/access_log.rs); tests/golden/access_log holds both sides together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

Value = str | int | float | None

FIELDS = (
    "type",
    "time",
    "elb",
    "client:port",
    "target:port",
    "request_processing_time",
    "target_processing_time",
    "response_processing_time",
    "elb_status_code",
    "target_status_code",
    "received_bytes",
    "sent_bytes",
    "request",
    "user_agent",
    "ssl_cipher",
    "ssl_protocol",
    "target_group_arn",
    "trace_id",
    "domain_name",
    "chosen_cert_arn",
    "matched_rule_priority",
    "request_creation_time",
    "actions_executed",
    "redirect_url",
    "error_reason",
    "target:port_list",
    "target_status_code_list",
    "classification",
    "classification_reason",
    "conn_trace_id",
    "transformed_host",
    "transformed_uri",
    "request_transform_status",
)
CONNECTION_FIELDS = (
    "timestamp",
    "client_ip",
    "client_port",
    "listener_port",
    "tls_protocol",
    "tls_cipher",
    "tls_handshake_latency",
    "leaf_client_cert_subject",
    "leaf_client_cert_validity",
    "leaf_client_cert_serial_number",
    "tls_verify_status",
    "conn_trace_id",
    "tls_keyexchange",
    "elb",
    "ip_address",
)
HEALTH_CHECK_FIELDS = (
    "type",
    "time",
    "latency",
    "target_addr",
    "target_group_id",
    "status",
    "status_code",
    "reason_code",
)
_SECONDS = {name for name in FIELDS if name.endswith("_processing_time")} | {"tls_handshake_latency", "latency"}
_NUMBERS = {"elb_status_code", "target_status_code", "received_bytes", "sent_bytes", "matched_rule_priority"} | {
    "client_port",
    "listener_port",
    "status_code",
}

_TOKEN = re.compile(r'"([^"]*)"(?: |$)|([^ "]+)(?: |$)')
_ESCAPED = re.compile(r"(?:\\x[0-9A-Fa-f]{2})+")


class BadLine(ValueError):
    """It is no line of an access log."""


def _unescaped(text: str) -> str:
    """The text with `\\x22` and the like as what they stand for; bytes that are no UTF-8 become U+FFFD."""
    return _ESCAPED.sub(lambda found: bytes.fromhex(found[0].replace("\\x", "")).decode(errors="replace"), text)


def _value(name: str, text: str) -> Value:
    if text == "-":
        return None
    if name in _SECONDS:
        return None if text == "-1" else float(text)
    return int(text) if name in _NUMBERS else _unescaped(text)


def parse(line: str) -> Mapping[str, Value]:
    """The fields of a line: times as seconds, statuses, sizes and priorities as numbers, None for `-` and times of -1.

    Fields beyond those known are ignored, as AWS tells readers to. Raises: BadLine.
    """
    return _parse(line, FIELDS)


def parse_connection(line: str) -> Mapping[str, Value]:
    """The fields of a line of a connection log, as `parse` gives them. Raises: BadLine."""
    return _parse(line, CONNECTION_FIELDS)


def parse_health_check(line: str) -> Mapping[str, Value]:
    """The fields of a line of a health check log, as `parse` gives them. Raises: BadLine."""
    return _parse(line, HEALTH_CHECK_FIELDS)


def _parse(line: str, fields: tuple[str, ...]) -> Mapping[str, Value]:
    line = line.rstrip("\n")
    tokens: list[str] = []
    at = 0
    while at < len(line):
        found = _TOKEN.match(line, at)
        if found is None:
            raise BadLine(f"no field at column {at + 1}: {line[at : at + 40]!r}")
        tokens.append(found[1] if found[1] is not None else found[2])
        at = found.end()
    if len(tokens) < len(fields):
        raise BadLine(f"{len(tokens)} fields instead of {len(fields)}")
    try:
        return {name: _value(name, token) for name, token in zip(fields, tokens, strict=False)}
    except ValueError as error:
        raise BadLine(str(error)) from error


def summary(fields: Mapping[str, Value]) -> str:
    """One readable line: time, status, duration, client, request, target; why, if it was no target's answer."""
    seconds = [fields[name] for name in FIELDS if name in _SECONDS]
    took = sum(each for each in seconds if isinstance(each, float))
    duration = f"{took * 1000:.0f}ms" if any(each is not None for each in seconds) else "-"
    target = fields["target:port"] or fields["actions_executed"] or "-"
    status, of_target = fields["elb_status_code"], fields["target_status_code"]
    note = "" if status == of_target or not fields["target:port"] else f" (target: {of_target or 'no answer'})"
    classified = f" [{fields['classification']}: {fields['classification_reason']}]" if fields["classification"] else ""
    return (
        f"{fields['time']} {status or '-'} {duration:>6} {fields['client:port']} → {target}{note}"
        f" {fields['request']}{classified}"
    )
