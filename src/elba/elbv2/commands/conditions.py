"""Conditions and transforms of a rule: checked, and put into the one form that is stored. Pure.

Stored: `field` with its own `*_config`; host-header and path-pattern also carry the older `values` beside it, as
answers do. Source: alb.md §3, §4; elb-api.md B3.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from elba.elbv2.commands.lookup import validation_error
from elba.elbv2.limits import LIMITS
from elba.errors import ApiError

_CONFIG_OF_FIELD = {
    "path-pattern": "path_pattern_config",
    "host-header": "host_header_config",
    "http-header": "http_header_config",
    "http-request-method": "http_request_method_config",
    "query-string": "query_string_config",
    "source-ip": "source_ip_config",
}
_FIELDS_LISTED = "http-header,http-request-method,host-header,query-string,path-pattern,source-ip"
_WITH_VALUES = ("path-pattern", "host-header")
_WITH_REGEX = ("path-pattern", "host-header", "http-header")
_WITH_WILDCARDS = ("path-pattern", "host-header", "http-header", "query-string")
_MANY_PER_RULE = ("http-header", "query-string")

VALUE_LENGTH_MOST = 128
NAME_LENGTH_MOST = 40
SOURCES_MOST = 5
REWRITE_LENGTH_MOST = 1024

_HOST = re.compile(r"[A-Za-z0-9.*?-]+\.[A-Za-z*?]+")
_PATH = re.compile(r"""[A-Za-z0-9_\-.$/~"'@:+&*?]+""")
_METHOD = re.compile(r"[A-Z_-]+")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VISIBLE = re.compile(r"[\x20-\x7e]+")
_NOT_IN_DIALECT = re.compile(r"\(\?(?:[=!>|&R0-9+-]|<[=!]|P[=>])|\\[1-9]|\\[kgG]|[*+?}]\+|\\[pP]\{?")
_FLAGS = re.compile(r"\(\?[A-Za-z]+\)")


def _config_name(config: str) -> str:
    return "".join(part.capitalize() for part in config.split("_"))


def _require_regex(regex: str, most: int) -> None:
    """Raises: ValidationError unless `regex` is of the dialect: no look-around, back-references, possessives."""
    if len(regex) > most:
        raise validation_error(f"The regular expression is too long; the limit is '{most}'")
    if _NOT_IN_DIALECT.search(re.sub(r"\\\\", "", regex)):
        raise validation_error(f"The regular expression '{regex}' is not valid")
    try:
        re.compile(_FLAGS.sub("", regex))
    except re.error:
        raise validation_error(f"The regular expression '{regex}' is not valid") from None


def _require_length(field: str, value: str, most: int) -> None:
    if len(value) > most:
        raise validation_error(f"Condition value for '{field}' cannot contain more than {most} characters")
    if not value:
        raise validation_error("A condition value must be specified")


def _bad_character(value: str) -> ApiError:
    return validation_error(f"Condition value '{value}' contains a character that is not valid")


def _check_matching(field: str, pattern: re.Pattern[str], most: int = VALUE_LENGTH_MOST) -> Callable[[str], None]:
    def check(value: str) -> None:
        _require_length(field, value, most)
        if not pattern.fullmatch(value):
            raise _bad_character(value)

    return check


def _check_host(value: str) -> None:
    _require_length("host-header", value, VALUE_LENGTH_MOST)
    if not _HOST.fullmatch(value):
        raise _bad_character(value)


def _check_source(value: str) -> None:
    if not value:
        raise validation_error("A 'source-ip' value must be specified")
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        network = None
    if network is None or "/" not in value:
        raise validation_error(f"The specified value '{value}' is not a valid CIDR block")
    if str(network) == "255.255.255.255/32":
        raise validation_error("The 'source-ip' value '255.255.255.255/32' is not supported")


def _check_method(value: str) -> None:
    _require_length("http-request-method", value, NAME_LENGTH_MOST)
    if not _METHOD.fullmatch(value):
        raise _bad_character(value)


_VALUE_CHECKS: dict[str, Callable[[str], None]] = {
    "host-header": _check_host,
    "path-pattern": _check_matching("path-pattern", _PATH),
    "http-request-method": _check_method,
    "http-header": _check_matching("http-header", _VISIBLE),
    "source-ip": _check_source,
}


def parse_conditions(given: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Conditions in stored form. Raises: ValidationError."""
    conditions = [_parse_condition(condition) for condition in given]
    if not conditions:
        raise validation_error("A condition must be specified")
    fields = Counter(condition["field"] for condition in conditions)
    for field, count in fields.items():
        if count > 1 and field not in _MANY_PER_RULE:
            raise validation_error(f"A rule can only have one '{field}' condition")
    values = [text for condition in conditions for text in _texts(condition)]
    most = LIMITS["condition-values-per-alb-rule"]
    if len(values) > most:
        raise validation_error(f"A rule can only have '{most}' condition values and regex values")
    wildcards = sum(
        _wildcards(text)
        for condition in conditions
        if condition["field"] in _WITH_WILDCARDS
        for text in _texts(condition, regexes=False)
    )
    most = LIMITS["condition-wildcards-per-alb-rule"]
    if wildcards > most:
        raise validation_error(f"A rule can only have '{most}' condition wildcards")
    return conditions


def _texts(condition: Mapping[str, Any], *, regexes: bool = True) -> list[str]:
    """The values of a condition in stored form; of a query string key and value are one."""
    config = condition[_CONFIG_OF_FIELD[condition["field"]]]
    if condition["field"] == "query-string":
        return [f"{entry.get('key', '')}={entry['value']}" for entry in config["values"]]
    return [*config.get("values", ()), *(config.get("regex_values", ()) if regexes else ())]


def _wildcards(text: str) -> int:
    return len(re.findall(r"[*?]", re.sub(r"\\[*?]", "", text)))


def _parse_condition(given: Mapping[str, Any]) -> dict[str, Any]:
    field = given.get("field") or ""
    if field not in _CONFIG_OF_FIELD:
        raise validation_error(f"Condition field '{field}' must be one of '{_FIELDS_LISTED}'")
    own = _CONFIG_OF_FIELD[field]
    _require_own(given, field, own)
    for other, foreign in _CONFIG_OF_FIELD.items():
        if other != field and given.get(foreign):
            raise validation_error(f"The '{_config_name(foreign)}' field is not compatible with '{field}'")
    values, regexes = list(given.get("values") or ()), list(given.get("regex_values") or ())
    config: dict[str, Any] = dict(given.get(own) or {})
    for name, listed, allowed in (("Values", values, _WITH_VALUES), ("RegexValues", regexes, _WITH_REGEX)):
        if listed and field not in allowed and name == "RegexValues":
            raise validation_error(f"'RegexValues' is not supported for a condition of type '{field}'")
        if listed and field not in allowed:
            raise validation_error(f"The '{name}' field is not compatible with '{field}'")
        if listed and config:
            raise validation_error(
                f"You cannot provide both {name} and '{_config_name(own)}' for a condition of type '{field}'"
            )
    if len(values) > 1:
        raise validation_error(f"The '{field}' field contains too many values; the limit is '1'")
    if values or regexes:
        config = {"values": values, "regex_values": regexes}
    if not config and field not in _WITH_VALUES:
        raise validation_error(f"A '{_config_name(own)}' must be specified with '{field}'")
    if field == "query-string":
        return {"field": field, own: {"values": _parse_query(config)}}
    return _parse_valued(field, own, config)


def _require_own(given: Mapping[str, Any], field: str, own: str) -> None:
    """Raises: ValidationError if the condition says nothing in a form that its field has."""
    forms = ["Values"] * (field in _WITH_VALUES) + ["RegexValues"] * (field in _WITH_VALUES)
    members = {"Values": "values", "RegexValues": "regex_values"}
    said = given.get(own) is not None or any(given.get(m) for m in members.values())
    if not said:
        fields = " or ".join([*forms, _config_name(own)])
        raise validation_error(f"For conditions of type '{field}', you must specify the following fields: '{fields}'")


def _parse_valued(field: str, own: str, config: Mapping[str, Any]) -> dict[str, Any]:
    values, regexes = list(config.get("values") or ()), list(config.get("regex_values") or ())
    parsed: dict[str, Any] = {}
    if field == "http-header":
        name = config.get("http_header_name") or ""
        if not name:
            raise validation_error("A header name must be specified for a condition of type 'http-header'")
        if len(name) > NAME_LENGTH_MOST:
            raise validation_error(
                f"Condition value for 'http-header' cannot contain more than {NAME_LENGTH_MOST} characters"
            )
        if not _TOKEN.fullmatch(name):
            raise validation_error(f"The 'HttpHeaderName' value '{name}' contains one or more invalid characters")
        if name.lower() == "host":
            raise validation_error("You cannot specify 'host' as an HTTP header name")
        parsed["http_header_name"] = name
    if field in _WITH_REGEX and bool(values) == bool(regexes):
        raise validation_error(
            f"You must provide exactly one of the following: ['Values' 'RegexValues'] for config of type "
            f"'{_config_name(own)}'"
        )
    if not values and not regexes:
        what = "'source-ip'" if field == "source-ip" else "condition"
        raise validation_error(f"A {what} value must be specified")
    for value in values:
        _VALUE_CHECKS[field](value)
    for regex in regexes:
        _require_length(field, regex, VALUE_LENGTH_MOST)
        _require_regex(regex, VALUE_LENGTH_MOST)
    if field == "source-ip" and len(values) > SOURCES_MOST:
        raise validation_error(f"The 'source-ip' field contains too many values; the limit is '{SOURCES_MOST}'")
    condition: dict[str, Any] = {"field": field}
    if values:
        parsed["values"] = values
        if field in _WITH_VALUES:
            condition["values"] = values
    if regexes:
        parsed["regex_values"] = regexes
        if field in _WITH_VALUES:
            condition["regex_values"] = regexes
    condition[own] = parsed
    return condition


_check_query_value = _check_matching("query-string", _VISIBLE)
_check_query_key = _check_matching("query-string", _VISIBLE)


def _parse_query(config: Mapping[str, Any]) -> list[dict[str, str]]:
    entries = list(config.get("values") or ())
    if not entries:
        raise validation_error("A condition value must be specified")
    parsed = []
    for entry in entries:
        value, key = entry.get("value") or "", entry.get("key") or ""
        if not value:
            raise validation_error("A 'Value' must be specified in 'QueryStringKeyValuePair'")
        _check_query_value(value)
        if key:
            _check_query_key(key)
        parsed.append({"key": key, "value": value} if key else {"value": value})
    return parsed


_REWRITES = {"host-header-rewrite": "host_header_rewrite_config", "url-rewrite": "url_rewrite_config"}


def parse_transforms(given: Iterable[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """Transforms in stored form: at most one of each type, one rewrite each. Raises: ValidationError."""
    transforms: list[dict[str, Any]] = []
    for transform in given or ():
        type_ = transform["type"]
        if type_ not in _REWRITES:
            raise validation_error(f"Transform type '{type_}' must be one of '[{','.join(_REWRITES)}]'")
        if any(earlier["type"] == type_ for earlier in transforms):
            raise validation_error(f"A rule can only have one transform of type '{type_}'")
        for other, foreign in _REWRITES.items():
            if other != type_ and transform.get(foreign):
                raise validation_error(f"The '{_config_name(foreign)}' field is not compatible with '{type_}'")
        own = _REWRITES[type_]
        rewrites = list((transform.get(own) or {}).get("rewrites") or ())
        if len(rewrites) != 1:
            raise validation_error(f"A transform of type '{type_}' must have exactly one rewrite")
        rewrite = rewrites[0]
        _require_regex(rewrite.get("regex") or "", REWRITE_LENGTH_MOST)
        if not rewrite.get("regex"):
            raise validation_error("A regular expression must be specified for each rewrite")
        if len(rewrite.get("replace") or "") > REWRITE_LENGTH_MOST:
            raise validation_error(f"The replacement is too long; the limit is '{REWRITE_LENGTH_MOST}'")
        kept = {"regex": rewrite["regex"], "replace": rewrite.get("replace") or ""}
        transforms.append({"type": type_, own: {"rewrites": [kept]}})
    return transforms
