"""Random requests and answers of any modelled operation, in the form botocore's callers use."""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore import xform_name
from hypothesis import strategies as st

TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\r", exclude_categories=("Cs", "Cc"), max_codepoint=0xFFFD),
    max_size=12,
)
LABEL = st.text(string.ascii_letters + string.digits + "-_.~ +%:", min_size=1, max_size=12)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOMENT = st.integers(0, 4_102_444_800_000).map(lambda ms: EPOCH + timedelta(milliseconds=ms))
SECOND = st.integers(0, 4_102_444_800).map(lambda s: EPOCH + timedelta(seconds=s))


def value_of(shape: Any, depth: int = 0, in_header: bool = False) -> st.SearchStrategy[Any]:
    """Values that botocore's serializer takes for `shape` and gets back from the wire unchanged."""
    kind = shape.type_name
    if kind == "structure":
        if shape.is_document_type:
            return st.just({"a": [1, "b", True]})
        return structure_of(shape, depth)
    if kind == "list":
        # Query cannot tell an empty structure from none, so lists hold structures with something in them.
        return st.lists(value_of(shape.member, depth + 1), min_size=0 if depth == 0 else 1, max_size=3)
    if kind == "map":
        return st.dictionaries(LABEL, value_of(shape.value, depth + 1), min_size=1, max_size=3)
    if kind == "timestamp":
        return SECOND if in_header else MOMENT
    if kind == "boolean":
        return st.booleans()
    if kind == "integer":
        return st.integers(-(2**31), 2**31 - 1)
    if kind == "long":
        return st.integers(-(2**63), 2**63 - 1)
    if kind == "double":
        return st.floats(allow_nan=False, allow_infinity=False)
    if kind == "float":
        return st.floats(allow_nan=False, allow_infinity=False, width=32)
    if kind == "blob":
        return st.binary(min_size=1, max_size=12)
    values = getattr(shape, "enum", None)
    if values:
        return st.sampled_from(values)
    location = shape.serialization.get("location")
    return LABEL if location in ("uri", "header") else TEXT


def structure_of(shape: Any, depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    # A status code in an answer is the answer's own, which botocore's parser always fills in.
    members = {n: m for n, m in shape.members.items() if m.serialization.get("location") != "statusCode"}
    if not members or depth > 6:
        return st.just({})

    @st.composite
    def build(draw: st.DrawFn) -> dict[str, Any]:
        names = list(members)
        must = [n for n in names if members[n].serialization.get("location") == "uri"]
        low = 0 if depth == 0 else 1
        chosen = draw(st.lists(st.sampled_from(names), unique=True, min_size=low, max_size=min(4, len(names))))
        if shape.is_tagged_union:
            chosen = chosen[:1]
        result = {}
        for name in dict.fromkeys([*must, *chosen]):
            location = members[name].serialization.get("location")
            result[name] = draw(value_of(members[name], depth + 1, location in ("header", "querystring")))
        return result

    return build()


def snake(shape: Any, value: Any) -> Any:
    """`value` in Elba's form: snake_case names, timestamps as epoch seconds."""
    kind = shape.type_name
    if kind == "structure":
        if shape.is_document_type:
            return value
        return {xform_name(k): snake(shape.members[k], v) for k, v in value.items()}
    if kind == "list":
        return [snake(shape.member, v) for v in value]
    if kind == "map":
        return {k: snake(shape.value, v) for k, v in value.items()}
    if kind == "timestamp":
        return (value - EPOCH).total_seconds()
    return value


def without_unsayable(shape: Any, value: Any, ec2: bool) -> Any:
    """`value` (snake_case) without what a query request cannot say: empty structures, lists of nothing
    else, and for EC2 empty lists."""
    kind = shape.type_name
    if kind == "structure":
        result = {}
        for name, member in shape.members.items():
            key = xform_name(name)
            if key in value:
                inner = without_unsayable(member, value[key], ec2)
                if not (inner is None or inner == {} or (ec2 and inner == [])):
                    result[key] = inner
        return result
    if kind == "list":
        items = [without_unsayable(shape.member, v, ec2) for v in value]
        said = [item for item in items if not (item is None or item == {} or (ec2 and item == []))]
        return None if value and not said else said
    if kind == "map":
        return {k: without_unsayable(shape.value, v, ec2) for k, v in value.items()}
    return value
