"""The model's constraints on requests, and AWS's wording of those that fail."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

from botocore import xform_name

from elba.errors import ApiError
from elba.wire.query import ec2_name
from elba.wire.style import EC2, Malformed, Style


class Failure(NamedTuple):
    """One broken constraint. `path` holds the members' names and list indices, outermost first."""

    path: tuple[str | int, ...]
    value: Any
    constraint: str


MISSING = "Member must not be null"

Failures = list[Failure]
Check = Callable[[Any], Failures | None]
"""The constraints that a value breaks; None if it keeps them all. Nothing is built while all is well."""


def compile_check(shape: Any, style: Style, protocol: str) -> Check | None:
    """What checks a decoded value of `shape`, or None if the model says nothing about it."""
    return _Compiler(style, protocol).compile(shape)


class _Compiler:
    def __init__(self, style: Style, protocol: str) -> None:
        self.style = style
        # EC2's own validation knows only lengths, ranges and enums; its model's patterns are documentation.
        self.patterns = protocol != EC2
        # And it names parameters as they are sent; others name members as in the model.
        self.name: Callable[[Any, str], str] = ec2_name if protocol == EC2 else lambda _member, name: name
        self.structures: dict[str, Check | None] = {}

    def compile(self, shape: Any) -> Check | None:
        kind: str = shape.type_name
        if kind == "structure":
            return None if shape.is_document_type else self.structure(shape)
        if kind == "list":
            return self.list(shape)
        if kind == "map":
            return self.map(shape)
        return self.scalar(shape)

    def structure(self, shape: Any) -> Check | None:
        if shape.name in self.structures:
            return self.structures[shape.name]
        required = [(self.name(shape.members[name], name), xform_name(name)) for name in shape.required_members]
        checks: list[tuple[str, str, Check]] = []

        def check(value: Any) -> Failures | None:
            failures: Failures | None = None
            for name, python_name in required:
                if python_name not in value:
                    failures = failures or []
                    failures.append(Failure((name,), None, MISSING))
            for name, python_name, check_member in checks:
                if python_name in value and (broken := check_member(value[python_name])):
                    failures = failures or []
                    failures.extend(Failure((name, *f.path), f.value, f.constraint) for f in broken)
            return failures

        self.structures[shape.name] = check  # a recursive shape finds itself here
        for name, member in shape.members.items():
            member_check = self.compile(member)
            if member_check is not None:
                if name in self.style.keep_empty and member.type_name == "string":
                    member_check = _unless_empty(member_check)
                checks.append((self.name(member, name), xform_name(name), member_check))
        if not required and not checks:
            self.structures[shape.name] = None
            return None
        return check

    def list(self, shape: Any) -> Check | None:
        least, most = _bounds(shape)
        check_member = self.compile(shape.member)
        if least is None and most is None and check_member is None:
            return None

        def check(value: Any) -> Failures | None:
            broken = _length(value, len(value), least, most)
            if check_member is not None:
                for index, item in enumerate(value, 1):
                    if inner := check_member(item):
                        broken = broken or []
                        broken.extend(Failure((index, *f.path), f.value, f.constraint) for f in inner)
            return broken

        return check

    def map(self, shape: Any) -> Check | None:
        least, most = _bounds(shape)
        check_key = self.compile(shape.key)
        check_value = self.compile(shape.value)
        if least is None and most is None and check_key is None and check_value is None:
            return None

        def check(value: Any) -> Failures | None:
            broken = _length(value, len(value), least, most)
            for key, item in value.items():
                if check_key is not None and (inner := check_key(key)):
                    broken = [*(broken or []), *inner]
                if check_value is not None and (inner := check_value(item)):
                    broken = broken or []
                    broken.extend(Failure((key, *f.path), f.value, f.constraint) for f in inner)
            return broken

        return check

    def scalar(self, shape: Any) -> Check | None:
        kind: str = shape.type_name
        least, most = _bounds(shape)
        secret = bool(shape.metadata.get("sensitive"))
        if kind in ("integer", "long", "float", "double"):
            if least is None and most is None:
                return None

            def check_range(value: Any) -> Failures | None:
                if least is not None and value < least:
                    return [Failure((), value, f"Member must have value greater than or equal to {_plain(least)}")]
                if most is not None and value > most:
                    return [Failure((), value, f"Member must have value less than or equal to {_plain(most)}")]
                return None

            return check_range
        if kind not in ("string", "character", "blob"):
            return None
        values = frozenset(getattr(shape, "enum", ()) or ())
        if shape.name in self.style.unchecked_enums:
            values = frozenset()
        listed = ", ".join(getattr(shape, "enum", ()) or ())
        source = shape.metadata.get("pattern") if self.patterns and kind != "blob" else None
        pattern = None if source is None or values else translate_pattern(source)
        if not values and pattern is None and least is None and most is None:
            return None

        def check(value: Any) -> Failures | None:
            if values and value not in values:
                return [Failure((), value, f"Member must satisfy enum value set: [{listed}]")]
            shown = _SECRET if secret else value
            broken = _length(shown, len(value), least, most)
            if pattern is not None and not pattern.fullmatch(value):
                broken = broken or []
                broken.append(Failure((), shown, f"Member must satisfy regular expression pattern: {source}"))
            return broken

        return check


def _unless_empty(check: Check) -> Check:
    """An empty string that clears what was set is as long as it should be, whatever the model says of lengths."""
    return lambda value: None if value == "" else check(value)


_SECRET = object()


def _bounds(shape: Any) -> tuple[float | None, float | None]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if shape.type_name not in ("integer", "long", "float", "double") and least == 0:
        least = None
    return least, most


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else str(number)


def _length(value: Any, length: int, least: float | None, most: float | None) -> Failures | None:
    if least is not None and length < least:
        return [Failure((), value, f"Member must have length greater than or equal to {_plain(least)}")]
    if most is not None and length > most:
        return [Failure((), value, f"Member must have length less than or equal to {_plain(most)}")]
    return None


# -- patterns ---------------------------------------------------------------------------------

_CATEGORY = re.compile(r"\\p\{(?:Is)?([A-Za-z]+)\}")
_OPEN_RANGE = re.compile(r"\\([wdsWDS])-(?!\])")  # in Java a range cannot start at \w, so the hyphen is itself
_POSIX = {
    "Alnum": "0-9A-Za-z",
    "Alpha": "A-Za-z",
    "Digit": "0-9",
    "Upper": "A-Z",
    "Lower": "a-z",
    "Punct": r"!-/:-@\[-`{-~",
    "Graph": "!-~",
    "Print": " -~",
    "Space": r"\s",
    "ASCII": r"\x00-\x7f",
}


@cache
def translate_pattern(source: str) -> re.Pattern[str] | None:
    """A model's (Java) regular expression in Python's language; None if it cannot be said there."""
    text = source.replace(r"\uD800\uDC00-\uDBFF\uDFFF", "\U00010000-\U0010ffff")
    text = text.replace(r"\x{10000}-\x{10FFFF}", "\U00010000-\U0010ffff")
    text = _OPEN_RANGE.sub(r"\\\1\\-", text)
    unknown: list[str] = []

    def category(match: re.Match[str]) -> str:
        name = match.group(1)
        ranges = _POSIX.get(name) or _category_ranges(name)
        if not ranges:
            unknown.append(name)
            return ""
        before = text[: match.start()]
        in_class = before.count("[") - before.count(r"\[") > before.count("]") - before.count(r"\]")
        return ranges if in_class else f"[{ranges}]"

    translated = _CATEGORY.sub(category, text)
    if unknown:
        return None
    try:
        return re.compile(translated)
    except (re.error, OverflowError):
        return None


@cache
def _category_ranges(name: str) -> str:
    """The inside of a character class for a Unicode general category (`L`, `Nd`, …).

    Planes beyond the basic one count as letters and symbols as a whole: telling them apart would cost
    more at start than it is worth.
    """
    ranges: list[str] = []
    start: int | None = None
    for code in range(0x10001):
        inside = code < 0x10000 and unicodedata.category(chr(code)).startswith(name)
        if inside and start is None:
            start = code
        elif not inside and start is not None:
            ranges.append(f"\\u{start:04x}" if start == code - 1 else f"\\u{start:04x}-\\u{code - 1:04x}")
            start = None
    if ranges and name[0] in "LS":
        ranges.append(f"\\U00010000-\\U{sys.maxunicode:08x}")
    return "".join(ranges)


# -- wording ----------------------------------------------------------------------------------


def constraint_error(failures: Failures, style: Style, protocol: str) -> ApiError:
    """The error that AWS answers for broken constraints; EC2 names only the first."""
    if protocol == EC2:
        return _ec2_error(failures)
    missing = [f for f in failures if f.constraint == MISSING]
    if missing and style.missing_code:
        return ApiError(style.missing_code, f"The parameter {_wire_path(missing[0].path)} is required.")
    described = "; ".join(
        f"Value{_shown(f.value)} at '{_coral_path(f.path)}' failed to satisfy constraint: {f.constraint}"
        for f in failures
    )
    count = len(failures)
    return ApiError(style.validation_code, f"{count} validation error{'s' * (count > 1)} detected: {described}")


def malformed_error(error: Malformed, style: Style, protocol: str) -> ApiError:
    """The error for a value that is not of its member's type."""
    if protocol == EC2:
        name = _ec2_path(error.path)
        return ApiError(
            "InvalidParameterValue",
            f"Value ({_bare(error.value)}) for parameter {name} is invalid. It {error.message}.",
        )
    if protocol == "query":
        return ApiError(
            style.validation_code,
            f"1 validation error detected: Value{_shown(error.value)} at '{_coral_path(error.path)}' "
            f"failed to satisfy constraint: Member {error.message}",
        )
    return ApiError("SerializationException", error.message)


def _ec2_error(failures: Failures) -> ApiError:
    for failure in failures:
        if failure.constraint == MISSING:
            return ApiError("MissingParameter", f"The request must contain the parameter {_wire_path(failure.path)}")
    failure = failures[0]
    name = _ec2_path(failure.path)
    value = _bare(failure.value)
    constraint = failure.constraint
    if "enum" in constraint:
        return ApiError("InvalidParameterValue", f"Value ({value}) for parameter {name} is invalid.")
    bound = constraint.rsplit(" ", 1)[-1]
    side = "greater" if "greater" in constraint else "less"
    if "length" in constraint:
        return ApiError(
            "InvalidParameterValue",
            f"Value ({value}) for parameter {name} is invalid. Its length must be {side} than or equal to {bound}.",
        )
    return ApiError(
        "InvalidParameterValue",
        f"Value ( {value} ) for parameter {name} is invalid. Expecting a value {side} than or equal to {bound}.",
    )


def _coral_path(path: tuple[str | int, ...]) -> str:
    """`tags.1.member.key`: how AWS's own framework names a member."""
    parts: list[str] = []
    for part in path:
        if isinstance(part, int):
            parts.append(f"{part}.member")
        elif part != "member":
            parts.append(part[:1].lower() + part[1:])
    return ".".join(parts)


def _wire_path(path: tuple[str | int, ...]) -> str:
    return ".".join(f"member.{part}" if isinstance(part, int) else part for part in path)


def _ec2_path(path: tuple[str | int, ...]) -> str:
    text = ".".join(str(part) for part in path)
    return text[:1].lower() + text[1:]


def _shown(value: Any) -> str:
    if value is _SECRET:
        return ""
    if value is None:
        return " null"
    return f" '{_bare(value)}'"


def _bare(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}={_bare(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_bare(item) for item in value) + "]"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return "***" if value is _SECRET else str(value)
