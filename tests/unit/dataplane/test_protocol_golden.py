"""The control protocol's golden files, as Python reads and writes them; crates/elba-core/tests/protocol_golden.rs
does the same in Rust. `<name>.json` has every field, as Rust writes it; `<name>.sparse.json` leaves defaults out, as
Python does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from elba.dataplane import protocol

GOLDEN = Path(__file__).parents[2] / "golden" / "protocol"
MESSAGES = sorted(path.name.removesuffix(".sparse.json") for path in GOLDEN.glob("*.sparse.json"))
Message = protocol.Down | protocol.Up


def read(name: str) -> Any:
    return json.loads((GOLDEN / name).read_text())


def decode(name: str) -> Any:
    return msgspec.json.decode((GOLDEN / name).read_bytes(), type=Message)


def with_defaults(value: Any) -> Any:
    """The message as JSON with every field, as Rust writes it: `type` on the outermost object only."""
    return {"type": value.__struct_config__.tag, **fields_of(value)}


def fields_of(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return {name: fields_of(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {key: fields_of(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [fields_of(item) for item in value]
    return value


def test_every_message_has_a_golden_file() -> None:
    kinds = {read(f"{name}.json")["type"] for name in MESSAGES}
    assert kinds == {kind.__struct_config__.tag for kind in Message.__args__}


@pytest.mark.parametrize("name", MESSAGES)
def test_full_form_reads_and_writes_alike(name: str) -> None:
    assert with_defaults(decode(f"{name}.json")) == read(f"{name}.json")


@pytest.mark.parametrize("name", MESSAGES)
def test_sparse_form_says_the_same(name: str) -> None:
    message = decode(f"{name}.json")
    assert decode(f"{name}.sparse.json") == message
    assert with_defaults(msgspec.json.decode(msgspec.json.encode(message), type=Message)) == read(f"{name}.json")


def test_unknown_fields_are_ignored() -> None:
    message = msgspec.json.decode(b'{"type":"ack","version":3,"of_the_future":[1]}', type=Message)
    assert message == protocol.Ack(version=3)


def test_buckets_are_those_of_the_node() -> None:
    golden = read("buckets.json")
    assert golden["sub_buckets"] == protocol.SUB_BUCKETS
    for micros, index in golden["micros_and_index"]:
        # Half a microsecond more: a float of whole microseconds may lie a hair below.
        assert protocol.bucket_index((micros + 0.5) * 1e-6) == index
        assert abs(protocol.bucket_value(index) * 1e6 - micros) <= max(1, micros / 32)
