"""Query and EC2 query answers: a snake_case dict to XML, by the model."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable
from typing import Any

from botocore import xform_name

from elba.wire.objects import items_of, moment, number
from elba.wire.style import EC2, AnswerError, Style
from elba.wire.timestamps import format_epoch, format_iso8601, format_rfc822

Append = Callable[[str], None]
Writer = Callable[[Append, Any], None]

_SPECIAL = re.compile(r"[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ILLEGAL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def escape(text: str) -> str:
    """`text` as XML character data; what XML cannot hold at all becomes U+FFFD."""
    if not _SPECIAL.search(text):
        return text
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")
    return _ILLEGAL.sub("\ufffd", text)


def compile_xml(shape: Any, protocol: str, style: Style) -> Writer:
    """A function that writes the members of an answer. Raises (when called): AnswerError."""
    return _Compiler(protocol, style).members(shape)


class _Compiler:
    def __init__(self, protocol: str, style: Style) -> None:
        self.ec2 = protocol == EC2
        self.style = style
        self.structures: dict[str, Writer] = {}

    def element(self, shape: Any, tag: str, milliseconds: bool = True) -> Writer:
        """Writes `<tag>value</tag>`."""
        kind: str = shape.type_name
        if kind == "structure":
            attributes = {
                xform_name(name): member.serialization.get("name", name)
                for name, member in shape.members.items()
                if member.serialization.get("xmlAttribute")
            }
            if attributes:
                return _with_attributes(self.members(shape), tag, shape.serialization.get("xmlNamespace"), attributes)
            return _wrapped(self.members(shape), tag)
        if kind == "list":
            return self.list(shape, tag)
        if kind == "map":
            return self.map(shape, tag)
        text = self.text(shape, milliseconds)
        start, end, empty = f"<{tag}>", f"</{tag}>", f"<{tag}/>"

        def write(append: Append, value: Any) -> None:
            content = text(value)
            append(f"{start}{content}{end}" if content else empty)

        return write

    def members(self, shape: Any) -> Writer:
        known = self.structures.get(shape.name)
        if known is not None:
            return known
        members: dict[str, Writer] = {}
        shape_name = shape.name

        def write(append: Append, value: Any) -> None:
            for key, item in items_of(value, shape_name):
                if item is None:
                    continue
                member = members.get(key)
                if member is None:
                    raise AnswerError(f"{shape_name} has no member {key}")
                try:
                    member(append, item)
                except AnswerError as error:
                    raise AnswerError(f"{key}: {error}") from None

        self.structures[shape.name] = write
        for name, member in shape.members.items():
            tag = member.serialization.get("name", name)
            members[xform_name(name)] = self.element(member, tag, shape_name not in self.style.whole_seconds)
        return write

    def list(self, shape: Any, tag: str) -> Writer:
        flat = bool(shape.serialization.get("flattened"))
        item_tag = shape.member.serialization.get("name")
        item = self.element(shape.member, (item_tag or tag) if flat else (item_tag or "member"))
        name, start, end, empty = shape.name, f"<{tag}>", f"</{tag}>", f"<{tag}/>"

        def write(append: Append, value: Any) -> None:
            if not isinstance(value, (list, tuple)):
                raise AnswerError(f"{name} takes a list, not {value!r}")
            if flat:
                for each in value:
                    item(append, each)
            elif value:
                append(start)
                for each in value:
                    item(append, each)
                append(end)
            else:
                append(empty)

        return write

    def map(self, shape: Any, tag: str) -> Writer:
        flat = bool(shape.serialization.get("flattened"))
        key = self.element(shape.key, shape.key.serialization.get("name", "key"))
        value_ = self.element(shape.value, shape.value.serialization.get("name", "value"))
        start, end = (f"<{tag}>", f"</{tag}>") if flat else ("<entry>", "</entry>")
        outer_start, outer_end = ("", "") if flat else (f"<{tag}>", f"</{tag}>")

        def write(append: Append, value: Any) -> None:
            append(outer_start)
            for name, item in value.items():
                append(start)
                key(append, name)
                value_(append, item)
                append(end)
            append(outer_end)

        return write

    def text(self, shape: Any, milliseconds: bool = True) -> Callable[[Any], str]:
        kind: str = shape.type_name
        name = shape.name
        if kind == "timestamp":
            form = shape.serialization.get("timestampFormat", "iso8601").lower()
            if form == "unixtimestamp":
                return lambda value: repr(format_epoch(moment(value)))
            if form == "rfc822":
                return lambda value: format_rfc822(moment(value))
            exact = milliseconds and self.style.milliseconds
            return lambda value: format_iso8601(moment(value), exact)
        if kind in ("string", "character"):

            def string(value: Any) -> str:
                if not isinstance(value, str):
                    raise AnswerError(f"{name} takes a string, not {value!r}")
                return escape(str.__str__(value))

            return string
        if kind in ("integer", "long"):

            def integer(value: Any) -> str:
                if isinstance(value, bool) or not isinstance(value, int):
                    raise AnswerError(f"{name} takes an integer, not {value!r}")
                return int.__repr__(value)

            return integer
        if kind == "boolean":

            def boolean(value: Any) -> str:
                if not isinstance(value, bool):
                    raise AnswerError(f"{name} takes a boolean, not {value!r}")
                return "true" if value else "false"

            return boolean
        if kind == "blob":

            def blob(value: Any) -> str:
                if not isinstance(value, bytes):
                    raise AnswerError(f"{name} takes bytes, not {value!r}")
                return base64.b64encode(value).decode("ascii")

            return blob
        return _real


def _wrapped(members: Writer, tag: str) -> Writer:
    start, end = f"<{tag}>", f"</{tag}>"

    def write(append: Append, value: Any) -> None:
        append(start)
        members(append, value)
        append(end)

    return write


def _with_attributes(members: Writer, tag: str, namespace: Any, attributes: dict[str, str]) -> Writer:
    """Writes `<tag xmlns:prefix="…" prefix:name="…">members</tag>`."""
    declared = f' xmlns:{namespace["prefix"]}="{namespace["uri"]}"' if namespace else ""

    def write(append: Append, value: Any) -> None:
        append(f"<{tag}{declared}")
        for key, name in attributes.items():
            if value.get(key) is not None:
                text = escape(value[key]).replace('"', "&quot;")
                append(f' {name}="{text}"')
        append(">")
        members(append, {k: v for k, v in value.items() if k not in attributes})
        append(f"</{tag}>")

    return write


def _real(value: Any) -> str:
    real = number(value)
    if math.isfinite(real):
        return repr(real)
    return "NaN" if math.isnan(real) else "Infinity" if real > 0 else "-Infinity"
