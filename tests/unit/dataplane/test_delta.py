"""Deltas: applying the difference of two configurations to the first gives the second."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from elba.dataplane.delta import applied, diff
from elba.dataplane.interface import Configuration
from elba.dataplane.protocol import Delta, HealthCheck, LoadBalancer, Target, TargetGroup

targets = st.builds(
    Target,
    id=st.sampled_from(["i-1", "i-2", "i-3", "i-4"]),
    port=st.sampled_from([80, 8080]),
    address=st.sampled_from(["127.0.0.1", "127.0.0.2"]),
    state=st.sampled_from(["active", "draining"]),
    known_health=st.sampled_from(["", "healthy"]),
)
groups = st.builds(
    TargetGroup,
    arn=st.sampled_from(["a", "b", "c"]),
    name=st.just("n"),
    resource_id=st.just("r"),
    algorithm=st.sampled_from(["round_robin", "weighted_random"]),
    health_check=st.builds(HealthCheck, path=st.sampled_from(["/", "/health"])),
    targets=st.lists(targets, max_size=5, unique_by=lambda t: t.key),
)
balancers = st.builds(
    LoadBalancer,
    arn=st.sampled_from(["x", "y", "z"]),
    name=st.sampled_from(["one", "two"]),
    resource_id=st.just("r"),
    dns_name=st.just("d"),
)
configurations = st.builds(
    Configuration,
    st.lists(balancers, max_size=3, unique_by=lambda b: b.arn),
    st.lists(groups, max_size=3, unique_by=lambda g: g.arn),
)


def canonical(configuration: Configuration) -> object:
    """What a configuration means: no order, no known health."""
    return (
        {b.arn: b for b in configuration.load_balancers},
        {
            g.arn: (
                msgspec.structs.replace(g, targets=[]),
                {t.key: msgspec.structs.replace(t, known_health="") for t in g.targets},
            )
            for g in configuration.target_groups
        },
    )


@given(configurations, configurations)
def test_applying_the_difference_gives_the_new_one(old: Configuration, new: Configuration) -> None:
    delta = diff(old, new, base=1, version=2)
    if delta is None:
        assert canonical(old) == canonical(new)
        return
    over_the_wire = msgspec.json.decode(msgspec.json.encode(delta), type=Delta)
    assert canonical(applied(old, over_the_wire)) == canonical(new)
    assert diff(applied(old, delta), new, base=2, version=3) is None


@given(configurations)
def test_no_difference_to_itself(configuration: Configuration) -> None:
    copy = Configuration(list(configuration.load_balancers), list(configuration.target_groups))
    assert diff(configuration, copy, base=1, version=2) is None


def a_group(*of: Target) -> TargetGroup:
    return TargetGroup(arn="a", name="n", resource_id="r", targets=list(of))


def a_target(number: int, **more: str) -> Target:
    return Target(id=f"i-{number}", port=80, address="127.0.0.1", **more)


def test_one_target_more_is_one_target_on_the_wire() -> None:
    many = [a_target(n) for n in range(1000)]
    old, new = Configuration([], [a_group(*many)]), Configuration([], [a_group(*many, a_target(1000))])
    delta = diff(old, new, base=4, version=5)
    assert delta is not None
    assert (delta.base, delta.version, delta.put_target_groups) == (4, 5, [])
    assert [(change.target_group, change.put, change.removed) for change in delta.targets] == [
        ("a", [a_target(1000)], [])
    ]


def test_known_health_alone_is_no_difference() -> None:
    old = Configuration([], [a_group(a_target(1))])
    new = Configuration([], [a_group(a_target(1, known_health="healthy"))])
    assert diff(old, new, base=1, version=2) is None


def test_a_target_that_starts_to_drain_is_put_again() -> None:
    old = Configuration([], [a_group(a_target(1), a_target(2))])
    new = Configuration([], [a_group(a_target(1, state="draining"), a_target(2))])
    delta = diff(old, new, base=1, version=2)
    assert delta is not None
    assert delta.targets[0].put == [a_target(1, state="draining")]
    assert delta.targets[0].removed == []
