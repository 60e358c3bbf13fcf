"""REST-XML bodies: XML to a snake_case dict, and answers to XML with a root element."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from xml.etree import ElementTree

from botocore import xform_name

from elba.wire.objects import PARSE_TIME
from elba.wire.style import REST_XML, Malformed, Style
from elba.wire.xml import compile_xml, escape

Node = ElementTree.Element
Read = Callable[[Node], Any]


def compile_xml_body(shape: Any, root: str, namespace: str, style: Style) -> Callable[[Any], bytes]:
    """A function that writes the members of an answer in their root element. Raises (when called): AnswerError."""
    start = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{escape(namespace)}">'
    if list(shape.members) == [root]:
        name = xform_name(root)
        # An answer's only member that bears the root's name is the root.
        return lambda value: f"{start}{escape(value.get(name) or '')}</{root}>".encode()
    members = compile_xml(shape, REST_XML, style)

    def write(value: Any) -> bytes:
        out = [start]
        members(out.append, value)
        out.append(f"</{root}>")
        return "".join(out).encode()

    return write


def compile_xml_decoder(shape: Any) -> Callable[[bytes], Any]:
    """A function from a body to its root element's members; no body, no members. Raises (when called): Malformed."""
    read = _Compiler().value(shape)

    def decode(body: bytes) -> Any:
        if not body.strip():
            return {}
        # No document type: no entities, and nothing they could expand to.
        if b"<!DOCTYPE" in body:
            raise Malformed("The XML you provided was not well-formed.")
        try:
            root = ElementTree.fromstring(body)
        except (ElementTree.ParseError, ValueError) as error:
            raise Malformed(f"The XML you provided was not well-formed: {error}") from None
        return read(root)

    return decode


def _local(name: str) -> str:
    return name.rpartition("}")[2]


class _Compiler:
    def __init__(self) -> None:
        self.structures: dict[str, Read] = {}

    def value(self, shape: Any) -> Read:
        kind: str = shape.type_name
        if kind == "structure":
            return self.structure(shape)
        if kind == "list":
            item_tag = shape.member.serialization.get("name", "member")
            items = self.items(shape)
            return lambda node: items(child for child in node if _local(child.tag) == item_tag)
        if kind == "map":
            raise Malformed("maps are not read from XML")
        return _scalar(shape)

    def items(self, shape: Any) -> Callable[[Iterable[Node]], list[Any]]:
        read = self.value(shape.member)
        return lambda nodes: [read(node) for node in nodes]

    def structure(self, shape: Any) -> Read:
        known = self.structures.get(shape.name)
        if known is not None:
            return known
        single: dict[str, tuple[str, Read]] = {}
        many: dict[str, tuple[str, Callable[[Iterable[Node]], list[Any]]]] = {}
        attributes: dict[str, str] = {}

        def read(node: Node) -> dict[str, Any]:
            result: dict[str, Any] = {}
            flat: dict[str, list[Node]] = {}
            for name, text in node.attrib.items():
                if (member := attributes.get(_local(name))) is not None:
                    result[member] = text
            for child in node:
                tag = _local(child.tag)
                if tag in many:
                    flat.setdefault(tag, []).append(child)
                elif tag in single:
                    python_name, value = single[tag]
                    try:
                        result[python_name] = value(child)
                    except Malformed as error:
                        raise error.under(tag) from None
            for tag, nodes in flat.items():
                python_name, values = many[tag]
                result[python_name] = values(nodes)
            return result

        self.structures[shape.name] = read
        for name, member in shape.members.items():
            if member.serialization.get("location"):
                continue
            tag = member.serialization.get("name", name)
            if member.serialization.get("xmlAttribute"):
                attributes[tag.rpartition(":")[2]] = xform_name(name)
            elif member.type_name == "list" and member.serialization.get("flattened"):
                tag = member.member.serialization.get("name", tag)
                many[tag] = (xform_name(name), self.items(member))
            else:
                single[tag] = (xform_name(name), self.value(member))
        return read


def _scalar(shape: Any) -> Read:
    kind: str = shape.type_name

    def read(node: Node) -> Any:
        text = node.text or ""
        try:
            if kind in ("integer", "long"):
                return int(text)
            if kind in ("float", "double"):
                return float(text)
            if kind == "timestamp":
                return PARSE_TIME["iso8601"](text)
        except (ValueError, OverflowError):
            raise Malformed("The XML you provided was not well-formed", value=text) from None
        if kind == "boolean":
            return text.strip().lower() == "true"
        return text

    return read
