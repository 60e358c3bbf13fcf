"""AWS's worked examples of adjustments, steps and target tracking, as tables."""

from __future__ import annotations

import pytest

from elba.autoscaling.policies import (
    NoStep,
    Proposal,
    Sizes,
    adjusted,
    aggregated,
    matching_step,
    percent_of,
    simple,
    step,
    target_tracking_in,
    target_tracking_out,
    winner,
)


def sizes(desired: int, settled: int | None = None, **fields: object) -> Sizes:
    values = {"minimum": 0, "maximum": 100, **fields}
    return Sizes(desired=desired, settled=desired if settled is None else settled, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("base", "percent", "change"),
    [
        (10, 127, 12),
        (67, 1, 1),
        (-58, 1, -1),
        (58, -1, -1),
        (-667, 1, -6),
        (667, -1, -6),
        (0, 50, 0),
        (5, 0, 0),
        (1, 100, 1),
    ],
    ids=lambda v: str(v),
)
def test_percentages_round_towards_zero_but_never_to_nothing(base: int, percent: int, change: int) -> None:
    assert percent_of(base, percent) == change


@pytest.mark.parametrize(
    ("base", "kind", "adjustment", "magnitude", "expected"),
    [
        (4, "PercentChangeInCapacity", 25, 2, 6),
        (3, "PercentChangeInCapacity", 50, None, 4),
        (1, "PercentChangeInCapacity", -10, None, 0),
        (10, "PercentChangeInCapacity", 30, None, 13),
        (10, "PercentChangeInCapacity", -10, 2, 8),
        (10, "ChangeInCapacity", -3, None, 7),
        (10, "ExactCapacity", 3, None, 3),
    ],
)
def test_adjustments(base: int, kind: str, adjustment: int, magnitude: int | None, expected: int) -> None:
    assert adjusted(base, kind, adjustment, magnitude) == expected


def test_results_are_cut_to_the_bounds() -> None:
    assert simple("p", sizes(10, maximum=12), "PercentChangeInCapacity", 30).after == 12
    assert simple("p", sizes(1, minimum=1), "PercentChangeInCapacity", -10).after == 1


def test_simple_policies_wait_for_activities_and_cooldown() -> None:
    assert simple("p", sizes(2, busy=True), "ChangeInCapacity", 1) == Proposal(
        "p", 2, "a scaling activity is in progress", "2 +1 = 3"
    )
    assert simple("p", sizes(2, cooling=True), "ChangeInCapacity", 1).blocked == "cooldown"


OUT = [
    {"metric_interval_lower_bound": 0.0, "metric_interval_upper_bound": 10.0, "scaling_adjustment": 0},
    {"metric_interval_lower_bound": 10.0, "metric_interval_upper_bound": 20.0, "scaling_adjustment": 10},
    {"metric_interval_lower_bound": 20.0, "scaling_adjustment": 30},
]
IN = [
    {"metric_interval_lower_bound": -10.0, "metric_interval_upper_bound": 0.0, "scaling_adjustment": 0},
    {"metric_interval_lower_bound": -20.0, "metric_interval_upper_bound": -10.0, "scaling_adjustment": -10},
    {"metric_interval_upper_bound": -20.0, "scaling_adjustment": -30},
]


@pytest.mark.parametrize(
    ("steps", "above", "desired", "settled", "metric", "after"),
    [
        (OUT, True, 10, 10, 60, 11),
        (OUT, True, 11, 10, 62, 11),
        (OUT, True, 11, 10, 70, 13),
        (OUT, True, 11, 11, 70, 14),
        (OUT, True, 10, 10, 59.9, 10),
        (OUT, True, 10, 10, 70, 13),
        (IN, False, 14, 14, 40, 13),
        (IN, False, 13, 13, 30, 10),
        (IN, False, 10, 10, 45, 10),
    ],
)
def test_step_scaling_as_aws_works_it_out(
    steps: list[dict[str, float]], above: bool, desired: int, settled: int, metric: float, after: int
) -> None:
    proposal = step("p", sizes(desired, settled), "PercentChangeInCapacity", steps, metric, 50.0, above)
    assert proposal.after == after


def test_step_scale_in_waits_while_anything_warms() -> None:
    proposal = step("p", sizes(14, 13, warming=True), "PercentChangeInCapacity", IN, 40, 50.0, False)
    assert (proposal.after, proposal.blocked) == (14, "instances are warming up")


def test_a_breach_that_no_step_covers() -> None:
    with pytest.raises(NoStep):
        matching_step(OUT, -1.0)
    assert matching_step(OUT, 0.0)["scaling_adjustment"] == 0
    assert matching_step(IN, 0.0)["scaling_adjustment"] == 0


@pytest.mark.parametrize(
    ("desired", "metric", "target", "after"), [(4, 80, 50, 7), (10, 60, 50, 12), (10, 55, 50, 11), (3, 40, 40, 3)]
)
def test_target_tracking_scales_out_in_proportion(desired: int, metric: float, target: float, after: int) -> None:
    assert target_tracking_out("p", sizes(desired), metric, target).after == after


@pytest.mark.parametrize(
    ("desired", "metric", "target", "after"), [(10, 20, 50, 9), (2, 10, 50, 1), (3, 34, 50, 3), (30, 5, 50, 27)]
)
def test_target_tracking_scales_in_gently(desired: int, metric: float, target: float, after: int) -> None:
    assert target_tracking_in("p", sizes(desired), metric, target).after == after


def test_target_tracking_counts_only_what_is_warm() -> None:
    assert target_tracking_out("p", sizes(7, 4, warming=True), 80, 50).after == 7
    blocked = target_tracking_in("p", sizes(7, 4, warming=True), 10, 50)
    assert (blocked.after, blocked.blocked) == (7, "instances are warming up")


@pytest.mark.parametrize(("wants", "after"), [([12, 15, 8], 15), ([8, 9], 9), ([10, 9], 9), ([11, 2], 11)], ids=str)
def test_several_policies(wants: list[int], after: int) -> None:
    best = winner(10, [Proposal(f"p{i}", w) for i, w in enumerate(wants)])
    assert best is not None
    assert best.after == after


def test_no_policy_wants_a_change() -> None:
    assert winner(10, [Proposal("p", 10)]) is None


def test_aggregation() -> None:
    assert aggregated([1, 2, 6], None) == 3
    assert (aggregated([1, 2, 6], "Minimum"), aggregated([1, 2, 6], "Maximum"), aggregated([], None)) == (1, 6, None)


def out(after: int) -> Proposal:
    return Proposal("out", after, calls_out=True, tracking=True)


def refusal(after: int = 10) -> Proposal:
    return Proposal("refuses", after, refuses_in=True, tracking=True)


def tracked_in(after: int) -> Proposal:
    return Proposal("tracked in", after, tracking=True)


@pytest.mark.parametrize(
    ("desired", "proposals", "wins"),
    [
        # Both alarms are low, but fewer would exceed the target of one of them.
        (10, [tracked_in(9), refusal()], None),
        (10, [tracked_in(9), refusal(), Proposal("step", 8)], "step"),
        (10, [tracked_in(7), tracked_in(9)], "tracked in"),
        # One asks for more than the maximum allows, or for what is on its way: nothing shrinks under it.
        (10, [out(10), Proposal("step", 8)], None),
        (10, [out(10), tracked_in(9)], None),
        (10, [out(11), out(13), Proposal("step", 8)], "out"),
        # What a cooldown holds back asks for nothing.
        (10, [simple("simple", sizes(10, cooling=True), "ChangeInCapacity", 2), tracked_in(9)], "tracked in"),
        (10, [simple("simple", sizes(10, maximum=10), "ChangeInCapacity", 2), tracked_in(9)], None),
        (
            10,
            [step("s", sizes(10, 9), "ChangeInCapacity", [{"scaling_adjustment": 1}], 60, 50, True), tracked_in(9)],
            None,
        ),
        (10, [target_tracking_out("t", sizes(10, maximum=10), 80, 50), tracked_in(9)], None),
        (10, [target_tracking_in("t", sizes(10), 45, 50), Proposal("other", 8, tracking=True)], "t"),
        (3, [target_tracking_in("t", sizes(3), 34, 50), tracked_in(1)], None),
    ],
)
def test_conflicts(desired: int, proposals: list[Proposal], wins: str | None) -> None:
    best = winner(desired, proposals)
    assert (best.policy if best else None) == wins


def test_scale_in_ends_where_the_metric_would_pass_its_target() -> None:
    """AWS's rule for ten at 20 % with a target of 50 %: one at a time, down to four (which then are at 50 %)."""
    desired, seen = 10, []
    while (after := target_tracking_in("p", sizes(desired), 200 / desired, 50).after) != desired:
        desired = after
        seen.append(after)
    assert seen == [9, 8, 7, 6, 5, 4]
