"""100 % is an instance's vCPUs, or its share of a crowded host."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elba.compute.allotment import allot_cpu


@pytest.mark.parametrize(
    ("vcpus", "cores", "expected"),
    [
        ({}, 2, {}),
        ({"a": 2}, 2, {"a": 2.0}),
        ({"a": 2}, 8, {"a": 2.0}),
        ({"a": 2, "b": 2}, 2, {"a": 1.0, "b": 1.0}),
        ({"a": 2, "b": 2, "c": 2}, 2, {"a": 2 / 3, "b": 2 / 3, "c": 2 / 3}),
        ({"a": 1, "b": 3}, 2, {"a": 0.5, "b": 1.5}),
        ({"a": 8}, 2, {"a": 2.0}),
    ],
)
def test_table(vcpus: dict[str, int], cores: float, expected: dict[str, float]) -> None:
    assert allot_cpu(vcpus, cores) == pytest.approx(expected)


@given(st.dictionaries(st.text(min_size=1), st.integers(1, 96), min_size=1), st.integers(1, 256))
def test_never_more_than_the_host_nor_than_the_type(vcpus: dict[str, int], cores: int) -> None:
    allotted = allot_cpu(vcpus, cores)
    assert sum(allotted.values()) <= cores * 1.000001 or allotted == vcpus
    assert all(0 < allotted[k] <= vcpus[k] for k in vcpus)
    assert sum(allotted.values()) == pytest.approx(min(cores, sum(vcpus.values())))
