"""CloudWatch's names, units and bounds, and the checks that several commands share."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from elba.datapoints import Dimensions
from elba.errors import ApiError

UNITS = (
    "Megabits",
    "Terabits",
    "Gigabits",
    "Count",
    "Bytes",
    "Gigabytes",
    "Gigabytes/Second",
    "Kilobytes",
    "Kilobits/Second",
    "Terabytes",
    "Terabits/Second",
    "Bytes/Second",
    "Percent",
    "Megabytes",
    "Megabits/Second",
    "Milliseconds",
    "Microseconds",
    "Kilobytes/Second",
    "Gigabits/Second",
    "Megabytes/Second",
    "Bits",
    "Bits/Second",
    "Count/Second",
    "Seconds",
    "Kilobits",
    "Terabytes/Second",
    "None",
)
"""In the service's own order, which decides where a metric has data in several units."""
VALUE_MOST = 2.0**360
DIMENSIONS_MOST = 30
TAGS_MOST = 50


def invalid(message: str) -> ApiError:
    return ApiError("InvalidParameterValue", message)


def validation_error(message: str) -> ApiError:
    return ApiError("ValidationError", message)


def combination(message: str) -> ApiError:
    return ApiError("InvalidParameterCombination", message)


def missing(message: str) -> ApiError:
    return ApiError("MissingParameter", message)


def require_dimensions(pairs: Iterable[Mapping[str, Any]] | None, where: str) -> Dimensions:
    """The dimensions in the form that identifies a metric. Raises: ApiError."""
    found: dict[str, str] = {}
    given = list(pairs or ())
    if len(given) > DIMENSIONS_MOST:
        raise invalid(f"The collection {where} must not have a size greater than {DIMENSIONS_MOST}.")
    for i, pair in enumerate(given, 1):
        name, value = pair.get("name"), pair.get("value")
        at = f"{where}.member.{i}"
        if not name or not value:
            raise missing(f"The parameter {at}.{'Value' if name else 'Name'} is required.")
        require_shorter(name, 255, f"{at}.Name")
        require_shorter(value, 1024, f"{at}.Value")
        if not name.strip() or name.startswith(":"):
            raise invalid(f"The value {name} for parameter {at}.Name is invalid.")
        if not value.strip():
            raise invalid(f"The value {value} for parameter {at}.Value is invalid.")
        if not _printable_ascii(name) or not _printable_ascii(value):
            raise invalid(f"The parameter {at} must hold ASCII characters without control characters only.")
        if name in found:
            raise invalid(f"The parameter {where} has the dimension {name} more than once.")
        found[name] = value
    return tuple(sorted(found.items()))


def require_shorter(text: str, most: int, where: str) -> None:
    """Raises: ApiError in the service's words if the text has more than `most` characters."""
    if len(text) > most:
        raise invalid(f"The parameter {where} must be shorter than {most + 1} characters.")


def _printable_ascii(text: str) -> bool:
    return text.isascii() and text.isprintable()


def require_namespace(namespace: str | None, where: str = "Namespace") -> str:
    if not namespace:
        raise missing(f"The parameter {where} is required.")
    require_shorter(namespace, 255, where)
    if namespace.startswith(":") or not namespace.isprintable():
        raise invalid(f"The value {namespace} for parameter {where} is invalid.")
    return namespace


def require_metric_name(name: str | None, where: str = "MetricName") -> str:
    if not name:
        raise missing(f"The parameter {where} is required.")
    require_shorter(name, 255, where)
    if not name.isprintable():
        raise invalid(f"The value {name} for parameter {where} is invalid.")
    return name


def require_unit(unit: str | None, where: str = "Unit") -> str | None:
    if unit is not None and unit not in UNITS:
        raise invalid(f"The parameter {where} must be a value in the set [ {', '.join(UNITS)} ].")
    return unit


def require_number(value: float, where: str) -> float:
    if not math.isfinite(value) or abs(value) > VALUE_MOST:
        shown = "NaN" if math.isnan(value) else str(value).replace("inf", "Infinity")
        raise invalid(f"The value {shown} for parameter {where} is invalid.")
    return float(value)


def require_state(state: str | None) -> str | None:
    """Raises: ApiError ValidationError."""
    if state not in (None, "INSUFFICIENT_DATA", "ALARM", "OK"):
        raise validation_error(
            f"1 validation error detected: Value '{state}' at 'stateValue' failed to satisfy constraint: "
            "Member must satisfy enum value set: [INSUFFICIENT_DATA, ALARM, OK]"
        )
    return state


def require_tags(tags: Sequence[Mapping[str, Any]] | None, present: Mapping[str, str] | None = None) -> dict[str, str]:
    """`present` with `tags` put over it. Raises: ApiError."""
    result = dict(present or {})
    for tag in tags or ():
        key, value = tag.get("key", ""), tag.get("value", "")
        if key.lower().startswith("aws:"):
            raise invalid("Tag keys beginning with aws: are reserved for system use.")
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise invalid(f"The tag {key} is not valid: keys have 1 to 128 characters, values up to 256.")
        result[key] = value
    if len(result) > TAGS_MOST:
        raise invalid(f"A resource can have at most {TAGS_MOST} tags.")
    return result


_METRIC_ID = re.compile(r"[a-z][A-Za-z0-9_]{0,254}")


def is_metric_id(text: str) -> bool:
    """True for a name that metric math can refer to."""
    return _METRIC_ID.fullmatch(text) is not None
