"""Query and EC2 query requests: a tree of strings to a snake_case dict, by the model."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from botocore import xform_name

from elba.wire.style import EC2, Malformed, Style
from elba.wire.timestamps import parse_iso8601

Decoder = Callable[[Any], Any]

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_INDEX = re.compile(r"[0-9]{1,9}")
_LIMITS = {"integer": 2**31, "long": 2**63}


def compile_query(shape: Any, protocol: str, style: Style) -> Decoder:
    """A function from a request's tree to the dict of `shape`'s members. Raises (when called): Malformed."""
    return _Compiler(protocol, style).structure(shape)


class _Compiler:
    def __init__(self, protocol: str, style: Style) -> None:
        self.ec2 = protocol == EC2
        self.style = style
        self.structures: dict[str, Decoder] = {}

    def compile(self, shape: Any) -> Decoder:
        kind: str = shape.type_name
        if kind == "structure":
            return self.structure(shape)
        if kind == "list":
            return self.list(shape)
        if kind == "map":
            return self.map(shape)
        return _scalar(_SCALARS[kind])

    def structure(self, shape: Any) -> Decoder:
        known = self.structures.get(shape.name)
        if known is not None:
            return known
        members: dict[str, tuple[str, Decoder, bool]] = {}

        def decode(node: Any) -> dict[str, Any]:
            if type(node) is not dict:
                if node == "":
                    return {}
                raise Malformed("must be a structure", value=node)
            result = {}
            for key, item in node.items():
                member = members.get(key)
                if member is None:
                    continue
                name, decode_member, keep_empty = member
                if item == "" and not keep_empty:
                    continue
                try:
                    result[name] = decode_member(item)
                except Malformed as error:
                    raise error.under(key) from None
            return result

        self.structures[shape.name] = decode
        for name, member in shape.members.items():
            wire_name = self._name(member, name)
            members[wire_name] = (xform_name(name), self.compile(member), self._keeps_empty(name, member))
        return decode

    def list(self, shape: Any) -> Decoder:
        flat = self.ec2 or bool(shape.serialization.get("flattened"))
        decode_member = self.compile(shape.member)
        item_name = shape.member.serialization.get("name", "member")

        def decode(node: Any) -> list[Any]:
            if type(node) is not dict:
                if node == "":
                    return []
                raise Malformed("must be a list", value=node)
            if not flat:
                # Some old clients number the list itself; both forms name the same items.
                node = node.get(item_name, node)
                if type(node) is not dict:
                    if node == "":
                        return []
                    raise Malformed("must be a list", value=node)
            result = []
            for index, item in _in_order(node):
                try:
                    result.append(decode_member(item))
                except Malformed as error:
                    raise error.under(index) from None
            return result

        return decode

    def map(self, shape: Any) -> Decoder:
        flat = bool(shape.serialization.get("flattened"))
        key_name = shape.key.serialization.get("name", "key")
        value_name = shape.value.serialization.get("name", "value")
        decode_value = self.compile(shape.value)

        def decode(node: Any) -> dict[str, Any]:
            if type(node) is not dict:
                if node == "":
                    return {}
                raise Malformed("must be a map", value=node)
            if not flat:
                node = node.get("entry", node)
            if type(node) is not dict:
                raise Malformed("must be a map", value=node)
            result = {}
            for index, entry in _in_order(node):
                key = entry.get(key_name) if type(entry) is dict else None
                if type(key) is not str:
                    raise Malformed("must have a key", (index,), value=None)
                try:
                    result[key] = decode_value(entry.get(value_name, ""))
                except Malformed as error:
                    raise error.under(key) from None
            return result

        return decode

    def _name(self, member: Any, name: str) -> str:
        if self.ec2:
            return ec2_name(member, name)
        serialization = member.serialization
        if member.type_name == "list" and serialization.get("flattened"):
            item_name = member.member.serialization.get("name")
            if item_name:
                return str(item_name)
        return str(serialization.get("name", name))

    def _keeps_empty(self, name: str, member: Any) -> bool:
        kind = member.type_name
        if kind in ("string", "character", "blob"):
            return not self.style.empty_is_absent or name in self.style.keep_empty
        if kind in ("list", "map"):
            return not self.ec2  # botocore sends an empty list as an empty parameter, but not to EC2
        return kind == "structure" and not self.style.empty_is_absent


def ec2_name(member: Any, name: str) -> str:
    """What EC2 requests call a member."""
    serialization = member.serialization
    if "queryName" in serialization:
        return str(serialization["queryName"])
    if "name" in serialization:
        location = str(serialization["name"])
        return location[:1].upper() + location[1:]
    return name


def _in_order(node: dict[str, Any]) -> list[tuple[int, Any]]:
    """Numbered items in the order of their numbers; gaps do not matter."""
    items = []
    for key, item in node.items():
        if not _INDEX.fullmatch(key):
            if key == "":
                continue
            raise Malformed("must have numbered members", value=key)
        items.append((int(key), item))
    items.sort(key=lambda pair: pair[0])
    return items


def _scalar(convert: Callable[[str], Any]) -> Decoder:
    def decode(node: Any) -> Any:
        if type(node) is not str:
            text = node.get("") if type(node) is dict else None
            if type(text) is not str:
                raise Malformed("must be a single value")
            node = text
        return convert(node)

    return decode


def _string(text: str) -> str:
    return text


def _integer(kind: str) -> Callable[[str], int]:
    limit = _LIMITS[kind]

    def convert(text: str) -> int:
        if not _INTEGER.fullmatch(text) or not -limit <= (number := int(text)) < limit:
            raise Malformed(f"must be an {kind}" if kind == "integer" else "must be a long", value=text)
        return number

    return convert


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Malformed("must be a number", value=text) from None


def _boolean(text: str) -> bool:
    lower = text.lower()
    if lower in ("true", "1"):
        return True
    if lower in ("false", "0"):
        return False
    raise Malformed("must be a boolean", value=text)


def _blob(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("must be base64", value=text) from None


def _timestamp(text: str) -> float:
    try:
        return parse_iso8601(text)
    except (ValueError, OverflowError):
        raise Malformed("must be a timestamp", value=text) from None


_SCALARS: dict[str, Callable[[str], Any]] = {
    "string": _string,
    "character": _string,
    "integer": _integer("integer"),
    "long": _integer("long"),
    "float": _float,
    "double": _float,
    "boolean": _boolean,
    "blob": _blob,
    "timestamp": _timestamp,
}
