"""Which zone is next, who goes, what is unhealthy: tables for the pure deciders."""

from __future__ import annotations

import random
from typing import Any

import pytest

from elba.autoscaling.health import Observed, gradual_budget, verdict
from elba.autoscaling.placement import next_zone, rebalance, zone_units
from elba.autoscaling.termination import Candidate, Terms, pick

CHANCE = random.Random(1)


def test_zone_units_count_only_enabled_zones() -> None:
    assert zone_units("ab", [("a", 1), ("a", 4), ("c", 1)]) == {"a": 5, "b": 0}


@pytest.mark.parametrize(
    ("units", "avoided", "zone"),
    [({"a": 2, "b": 1}, "", "b"), ({"a": 1, "b": 1}, "", "a"), ({"a": 1, "b": 2}, "a", "b"), ({"a": 1}, "a", None)],
)
def test_next_zone(units: dict[str, int], avoided: str, zone: str | None) -> None:
    assert next_zone(units, avoided) == zone


@pytest.mark.parametrize(
    ("units", "stranded", "movable", "desired", "maximum", "extra"),
    [
        ({"a": 2, "b": 1}, 0, {"a": 2, "b": 1}, 3, 9, None),
        ({"a": 4, "b": 0}, 0, {"a": 4}, 4, 9, 2),
        ({"a": 4, "b": 0}, 0, {"a": 4}, 4, 4, 1),
        ({"a": 15, "b": 5}, 0, {"a": 15}, 20, 20, 2),
        ({"a": 4, "b": 0}, 0, {}, 4, 9, None),
        ({"a": 1, "b": 1}, 2, {"": 2, "a": 1, "b": 1}, 4, 9, 2),
        ({"a": 1, "b": 1}, 2, {"a": 1, "b": 1}, 4, 9, None),
    ],
    ids=["even", "room", "at maximum", "a tenth over", "protected", "stranded", "stranded protected"],
)
def test_rebalance(
    units: dict[str, int], stranded: int, movable: dict[str, int], desired: int, maximum: int, extra: int | None
) -> None:
    plan = rebalance(units, stranded, movable, desired, maximum)
    assert (plan.extra if plan else None) == extra


def member(name: str, zone: str = "a", **fields: Any) -> Candidate:
    return Candidate(instance_id=name, zone=zone, **{"launched_at": 0.0, **fields})


def chosen(members: list[Candidate], now: float = 10_000.0, **terms: Any) -> str | None:
    found = pick(members, Terms(**{"zones": ["a", "b"], **terms}), now, CHANCE)
    return found.instance_id if found else None


@pytest.mark.parametrize("policy", ["Default", "OldestInstance", "NewestInstance", "OldestLaunchTemplate"])
def test_the_fullest_zone_comes_before_every_policy(policy: str) -> None:
    members = [
        member("1", launched_at=1),
        member("2", launched_at=2),
        member("3", launched_at=9),
        member("x", "b", launched_at=0),
    ]
    assert chosen(members, policies=[policy]) in {"1", "2", "3"}


def test_with_equal_zones_policies_choose_over_all() -> None:
    members = [member("1", launched_at=5), member("2", "b", launched_at=1)]
    assert chosen(members, policies=["OldestInstance"]) == "2"
    assert chosen(members, policies=["NewestInstance"]) == "1"


def test_default_takes_other_templates_and_lower_versions_first() -> None:
    old = member("old", launch_template_id="lt", launch_template_version=1)
    new = member("new", launch_template_id="lt", launch_template_version=2)
    other = member("other", launch_template_id="other", launch_template_version=9)
    configured = member("configured", launch_configuration_name="c", launch_configuration_created=1.0)
    assert chosen([old, new], template_id="lt", zones=["a"]) == "old"
    assert chosen([old, new, other], template_id="lt", zones=["a"]) == "other"
    assert chosen([old, new, other, configured], template_id="lt", zones=["a"]) == "configured"


def test_default_of_a_launch_configuration_group_takes_the_oldest_configuration() -> None:
    one = member("1", launch_configuration_name="c1", launch_configuration_created=1.0)
    two = member("2", launch_configuration_name="c2", launch_configuration_created=2.0)
    assert chosen([two, one], zones=["a"]) == "1"


def test_closest_to_the_next_hour() -> None:
    members = [member("1", launched_at=0.0), member("2", launched_at=1000.0)]
    assert chosen(members, now=3500.0, policies=["ClosestToNextInstanceHour"], zones=["a"]) == "1"
    assert chosen(members, now=4500.0, policies=["ClosestToNextInstanceHour"], zones=["a"]) == "2"


def test_policies_follow_each_other() -> None:
    members = [
        member("1", launched_at=1, launch_template_id="lt", launch_template_version=1),
        member("2", launched_at=2, launch_template_id="lt", launch_template_version=1),
        member("3", launched_at=0, launch_template_id="lt", launch_template_version=2),
    ]
    terms: dict[str, Any] = {
        "policies": ["OldestLaunchTemplate", "NewestInstance"],
        "template_id": "lt",
        "zones": ["a"],
    }
    assert chosen(members, **terms) == "2"


def test_protected_members_never_go_but_count_for_their_zone() -> None:
    members = [member("1", protected=True), member("2", protected=True), member("3", "b")]
    assert chosen(members) == "3"
    assert chosen(members[:2]) is None


def test_those_in_a_removed_zone_go_first() -> None:
    assert chosen([member("1"), member("2"), member("3", "c")]) == "3"


def test_pending_members_go_only_when_none_is_in_service() -> None:
    pending = member("pending", in_service=False)
    assert chosen([pending, member("serving")], zones=["a"]) == "serving"
    assert chosen([pending], zones=["a"]) == "pending"


def test_a_surplus_of_spot_comes_before_zones() -> None:
    members = [member("od1"), member("od2"), member("spot", "b", spot=True)]
    assert chosen(members, surplus="spot", mixed=True) == "spot"


def test_while_rebalancing_zones_come_before_a_surplus() -> None:
    """Else the instance just launched into the low zone goes again, and so on for ever."""
    members = [member("new", "a", spot=True), member("old", "b"), member("older", "b")]
    assert chosen(members, surplus="spot", mixed=True, rebalancing=True) in ("old", "older")
    stranded = [member("new", "a", spot=True), member("left", "gone")]
    assert chosen(stranded, surplus="spot", mixed=True, rebalancing=True) == "left"
    fullest = [*members, member("spot", "b", spot=True)]
    assert chosen(fullest, surplus="spot", mixed=True, rebalancing=True) == "spot"


@pytest.mark.parametrize(
    ("observed", "checks", "grace", "reason", "again"),
    [
        (Observed("running", 0.0), ["EC2"], 300, "", None),
        (Observed("stopped", 90.0), ["EC2"], 300, "EC2", None),
        (Observed("", 90.0), ["EC2"], 300, "EC2", None),
        (Observed("running", 90.0, target_states=("unhealthy",)), ["ELB"], 300, "", 390.0),
        (Observed("running", 0.0, target_states=("healthy", "unhealthy")), ["ELB"], 60, "ELB", None),
        (Observed("running", 0.0, target_states=("unhealthy",)), ["EC2"], 60, "", None),
        (Observed("running", 0.0, target_states=("initial",)), ["ELB"], 0, "", None),
        (Observed("running", 0.0, impaired_since=50.0), ["EC2"], 0, "", 170.0),
        (Observed("running", 0.0, impaired_since=-50.0), ["EC2"], 0, "EC2 status", None),
    ],
)
def test_verdicts(observed: Observed, checks: list[str], grace: int, reason: str, again: float | None) -> None:
    found = verdict(observed, checks, grace, now=100.0)
    assert (found.reason, found.look_again_at) == (reason, again)


@pytest.mark.parametrize(("desired", "in_flight", "budget"), [(1, 0, 1), (4, 1, 0), (10, 0, 1), (40, 1, 3)])
def test_gradual_replacement(desired: int, in_flight: int, budget: int) -> None:
    assert gradual_budget(desired, in_flight) == budget
