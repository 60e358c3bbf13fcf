"""JSON and CBOR: decoded objects to a snake_case dict, and answers to objects ready for encoding."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import cbor2
import msgspec
from botocore import xform_name

from elba.wire.style import CBOR, AnswerError, Malformed
from elba.wire.timestamps import (
    format_epoch,
    format_iso8601,
    format_rfc822,
    parse_epoch,
    parse_iso8601,
    parse_rfc822,
    to_epoch,
)

Decoder = Callable[[Any], Any]
Encoder = Callable[[Any], Any]

_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_LIMITS = {"integer": 2**31, "long": 2**63}


def loads_json(body: bytes) -> Any:
    """The object a JSON body holds; an empty body holds an empty one. Raises: Malformed."""
    if not body.strip():
        return {}
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Malformed(str(error)) from None


def dumps_json(value: Any) -> bytes:
    return msgspec.json.encode(value)


def loads_cbor(body: bytes) -> Any:
    """The object a CBOR body holds; an empty body holds an empty one. Raises: Malformed."""
    if not body:
        return {}
    try:
        return cbor2.loads(body)
    except (
        cbor2.CBORDecodeError,
        RecursionError,
        ValueError,
        TypeError,
        ArithmeticError,
        LookupError,
        MemoryError,
    ) as error:
        raise Malformed(f"invalid CBOR: {error}") from None


def dumps_cbor(value: Any) -> bytes:
    encoded: bytes = cbor2.dumps(value)
    return encoded


# -- requests ---------------------------------------------------------------------------------


def compile_decoder(shape: Any, protocol: str) -> Decoder:
    """A function from a decoded object to `shape`'s value in snake_case. Raises (when called): Malformed."""
    return _DecoderCompiler(protocol == CBOR).compile(shape)


class _DecoderCompiler:
    def __init__(self, cbor: bool) -> None:
        self.cbor = cbor
        self.structures: dict[str, Decoder] = {}

    def compile(self, shape: Any) -> Decoder:
        kind: str = shape.type_name
        if kind == "structure":
            return _anything if shape.is_document_type else self.structure(shape)
        if kind == "list":
            return self.list(shape)
        if kind == "map":
            return self.map(shape)
        if kind == "blob":
            return _bytes if self.cbor else _base64
        if kind == "timestamp":
            return _timestamp
        return _DECODERS[kind]

    def structure(self, shape: Any) -> Decoder:
        known = self.structures.get(shape.name)
        if known is not None:
            return known
        members: dict[str, tuple[str, Decoder]] = {}

        def decode(value: Any) -> dict[str, Any]:
            if type(value) is not dict:
                raise _unexpected(value, "a structure")
            result = {}
            for key, item in value.items():
                if item is None:
                    continue
                member = members.get(key)
                if member is None:
                    continue
                try:
                    result[member[0]] = member[1](item)
                except Malformed as error:
                    raise error.under(key) from None
            return result

        self.structures[shape.name] = decode
        for name, member in shape.members.items():
            wire_name = member.serialization.get("name", name)
            members[wire_name] = (xform_name(name), self.compile(member))
        return decode

    def list(self, shape: Any) -> Decoder:
        decode_member = self.compile(shape.member)

        def decode(value: Any) -> list[Any]:
            if type(value) is not list:
                raise _unexpected(value, "a list")
            result = []
            for item in value:
                if item is None:
                    continue
                try:
                    result.append(decode_member(item))
                except Malformed as error:
                    raise error.under(len(result) + 1) from None
            return result

        return decode

    def map(self, shape: Any) -> Decoder:
        decode_value = self.compile(shape.value)

        def decode(value: Any) -> dict[str, Any]:
            if type(value) is not dict:
                raise _unexpected(value, "a map")
            result = {}
            for key, item in value.items():
                if type(key) is not str:
                    raise _unexpected(key, "a string")
                if item is None:
                    continue
                try:
                    result[key] = decode_value(item)
                except Malformed as error:
                    raise error.under(key) from None
            return result

        return decode


def _unexpected(value: Any, wanted: str) -> Malformed:
    return Malformed(f"{_KINDS.get(type(value), 'VALUE')} can not be converted to {wanted}", value=value)


_KINDS: dict[type, str] = {
    str: "STRING_VALUE",
    int: "NUMBER_VALUE",
    float: "DECIMAL_VALUE",
    bool: "TRUE_VALUE",
    list: "START_ARRAY",
    dict: "START_OBJECT",
}


def _anything(value: Any) -> Any:
    return value


def _string(value: Any) -> str:
    if type(value) is not str:
        raise _unexpected(value, "a String")
    return value


def _integer(kind: str) -> Decoder:
    limit = _LIMITS[kind]

    def decode(value: Any) -> int:
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int:
            raise _unexpected(value, "an Integer" if kind == "integer" else "a Long")
        if not -limit <= value < limit:
            raise Malformed(f"{value} is out of range", value=value)
        return value

    return decode


def _float(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise Malformed("Number is out of range", value=value) from None
    if type(value) is str and value in _NON_FINITE:
        return _NON_FINITE[value]
    raise _unexpected(value, "a Double")


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise _unexpected(value, "a Boolean")
    return value


def _base64(value: Any) -> bytes:
    try:
        return base64.b64decode(_string(value), validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("Invalid base64", value=value) from None


def _bytes(value: Any) -> bytes:
    if type(value) is not bytes:
        raise _unexpected(value, "a Blob")
    return value


def _timestamp(value: Any) -> float:
    try:
        if type(value) in (int, float):
            return parse_epoch(value)
        if isinstance(value, datetime):  # CBOR tag 1, decoded
            return to_epoch(value)
        if type(value) is str:
            return parse_iso8601(value)
    except (ValueError, OverflowError):
        raise Malformed("Invalid timestamp", value=value) from None
    raise _unexpected(value, "a Timestamp")


_DECODERS: dict[str, Decoder] = {
    "string": _string,
    "character": _string,
    "integer": _integer("integer"),
    "long": _integer("long"),
    "float": _float,
    "double": _float,
    "boolean": _boolean,
}


# -- answers ----------------------------------------------------------------------------------


def compile_encoder(shape: Any, protocol: str, skip: frozenset[str] = frozenset()) -> Encoder:
    """A function from an answer to an object of the protocol. Raises (when called): AnswerError.

    `skip` names members (as in the model) that travel elsewhere, in headers for one.
    """
    return _EncoderCompiler(protocol == CBOR).compile(shape, skip)


class _EncoderCompiler:
    def __init__(self, cbor: bool) -> None:
        self.cbor = cbor
        self.structures: dict[str, Encoder] = {}

    def compile(self, shape: Any, skip: frozenset[str] = frozenset()) -> Encoder:
        kind: str = shape.type_name
        if kind == "structure":
            return _anything if shape.is_document_type else self.structure(shape, skip)
        if kind == "list":
            encode_member = self.compile(shape.member)
            name = shape.name

            def encode_list(value: Any) -> list[Any]:
                if not isinstance(value, (list, tuple)):
                    raise AnswerError(f"{name} takes a list, not {value!r}")
                return [encode_member(item) for item in value]

            return encode_list
        if kind == "map":
            encode_value = self.compile(shape.value)

            def encode_map(value: Any) -> dict[str, Any]:
                return {key: encode_value(item) for key, item in value.items()}

            return encode_map
        if kind == "timestamp":
            return self.timestamp(shape)
        if kind == "blob":
            return _encode_bytes if self.cbor else _encode_base64
        if kind in ("float", "double"):
            return _encode_float_cbor if self.cbor else _encode_float
        return _checked(kind, shape.name)

    def structure(self, shape: Any, skip: frozenset[str]) -> Encoder:
        known = self.structures.get(shape.name)
        if known is not None and not skip:
            return known
        members: dict[str, tuple[str, Encoder]] = {}
        shape_name = shape.name

        def encode(value: Any) -> dict[str, Any]:
            result = {}
            for key, item in items_of(value, shape_name):
                if item is None:
                    continue
                member = members.get(key)
                if member is None:
                    raise AnswerError(f"{shape_name} has no member {key}")
                try:
                    result[member[0]] = member[1](item)
                except AnswerError as error:
                    raise AnswerError(f"{key}: {error}") from None
            return result

        if not skip:
            self.structures[shape.name] = encode
        for name, member in shape.members.items():
            if name not in skip:
                wire_name = member.serialization.get("name", name)
                members[xform_name(name)] = (wire_name, self.compile(member))
        return encode

    def timestamp(self, shape: Any) -> Encoder:
        if self.cbor:
            return _encode_tagged_time
        form = shape.serialization.get("timestampFormat", "unixtimestamp").lower()
        return _TIME_FORMS[form]


def items_of(value: Any, shape_name: str) -> Any:
    """(member, value) pairs of an answer's structure: a dict or a msgspec Struct. Raises: AnswerError."""
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, msgspec.Struct):
        return [(name, getattr(value, name)) for name in value.__struct_fields__]
    raise AnswerError(f"{shape_name} takes a structure, not {value!r}")


_PYTHON_TYPES: dict[str, type] = {
    "string": str,
    "character": str,
    "integer": int,
    "long": int,
    "boolean": bool,
}


def _checked(kind: str, shape_name: str) -> Encoder:
    wanted = _PYTHON_TYPES[kind]

    def encode(value: Any) -> Any:
        if type(value) is wanted:
            return value
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise AnswerError(f"{shape_name} takes a {wanted.__name__}, not {value!r}")
        return wanted.__str__(value) if wanted is str else wanted(value)  # an enum's member

    return encode


def number(value: Any) -> float:
    """The float of an answer's number. Raises: AnswerError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise AnswerError(f"a number is wanted, not {value!r}")
    return float(value)


def _encode_float(value: Any) -> Any:
    real = number(value)
    if math.isfinite(real):
        return real
    return "NaN" if math.isnan(real) else "Infinity" if real > 0 else "-Infinity"


def _encode_float_cbor(value: Any) -> float:
    return number(value)


def _encode_bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise AnswerError(f"a blob takes bytes, not {value!r}")
    return value


def _encode_base64(value: Any) -> str:
    return base64.b64encode(_encode_bytes(value)).decode("ascii")


def _encode_tagged_time(value: Any) -> Any:
    return cbor2.CBORTag(1, format_epoch(moment(value)))


def moment(value: Any) -> datetime | float:
    """An answer's timestamp, checked. Raises: AnswerError."""
    if isinstance(value, bool) or not isinstance(value, (int, float, datetime)):
        raise AnswerError(f"a timestamp takes epoch seconds or a datetime, not {value!r}")
    return value


_TIME_FORMS: dict[str, Encoder] = {
    "unixtimestamp": lambda value: format_epoch(moment(value)),
    "iso8601": lambda value: format_iso8601(moment(value)),
    "rfc822": lambda value: format_rfc822(moment(value)),
}

PARSE_TIME: dict[str, Callable[[str], float]] = {
    "unixtimestamp": lambda text: parse_epoch(float(text)),
    "iso8601": parse_iso8601,
    "rfc822": parse_rfc822,
}
