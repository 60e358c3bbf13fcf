"""Takes out what is too much: victims by termination policy, protected ones never."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from elba.autoscaling import activities, launch_source, mixed, sentences
from elba.autoscaling.advance import advising
from elba.autoscaling.advance.turn import Turn
from elba.autoscaling.commands.leaving import begin_termination
from elba.autoscaling.lookup import counted, healthy_zones, shifted_away_from, suspended, units
from elba.autoscaling.resources import LaunchConfiguration, Member
from elba.autoscaling.termination import Candidate, Terms, pick


def shrink(turn: Turn) -> None:
    """Begin to terminate members until the counted units are down to the target, or all left are protected."""
    group = turn.group
    have, target = turn.capacity(), turn.target()
    if have <= target:
        if group.shrink_blocked:
            turn.change(shrink_blocked=False)
        return
    if suspended(group, "Terminate") or _overshoots(turn, target):
        return
    among: set[str] | None = None
    if advising.function_of(turn):
        cause = "REBALANCE" if turn.shrink_reason == "rebalance" else "SCALE_IN"
        among = advising.advised(turn, have - target, pick_one, cause)
        if among is None and _may_go(turn):
            return
    first = have
    begun = False
    while have > target:
        members = counted(turn.members())
        victim = pick_one(turn, members, among)
        if victim is None:
            if among is None:
                _blocked(turn)
            break
        if have - units(victim) < target:
            # With weights the last instance may be too big to go: this is as near as the group can come.
            begun = begun or bool(group.causes)
            break
        _take_out(turn, victim, first, target)
        have -= units(victim)
        begun = True
    if begun and not turn.shrink_sentence:
        turn.change(causes=[], invoking_alarms=[])


def _overshoots(turn: Turn, target: int) -> bool:
    """Nobody asked for less: a launch was heavier than what was missing, and is not in service yet.

    What serves stays until then: the launch may fail.
    """
    group = turn.group
    if group.causes or turn.shrink_sentence or mixed.heaviest(group.mixed_instances_policy) == 1:
        return False
    return sum(units(m) for m in turn.members() if m.lifecycle_state == "InService") <= target


def _may_go(turn: Turn) -> bool:
    return any(not m.protected_from_scale_in for m in counted(turn.members()))


def _take_out(turn: Turn, victim: Member, first: int, target: int) -> None:
    group = turn.group
    quoted = [] if turn.shrink_sentence else group.causes
    why = turn.shrink_sentence or sentences.shrunk(first, target)
    cause = sentences.joined(
        [*quoted, sentences.at(turn.now, why), sentences.at(turn.now, sentences.selected(victim.id))]
    )
    activity = begin_termination(turn.tx, turn.call, group, victim, turn.shrink_reason, cause)
    if group.invoking_alarms and quoted:
        details = activities.details(victim.subnet_id, victim.availability_zone, group.invoking_alarms)
        turn.tx.put(msgspec.structs.replace(activity, details=details))


def _blocked(turn: Turn) -> None:
    group = turn.group
    if group.shrink_blocked:
        return
    activities.record(
        turn.tx,
        turn.call,
        group,
        sentences.ALL_PROTECTED,
        sentences.joined(group.causes) or sentences.at(turn.now, "a difference between desired and actual capacity."),
        status="Cancelled",
        message=sentences.ALL_PROTECTED,
    )
    turn.change(shrink_blocked=True, causes=[], invoking_alarms=[])


def pick_one(
    turn: Turn, members: Iterable[Member], among: Iterable[str] | None = None, policies: Sequence[str] = ()
) -> Member | None:
    """The next to go; `among`: only these ids may (all count for the zones). None if nobody may.

    `policies`: other termination policies than the group's.
    """
    members = list(members)
    allowed = None if among is None else set(among)
    candidates = [candidate(turn, m, allowed) for m in members]
    chosen = pick(candidates, terms(turn, members, policies), turn.now, turn.call.ids.random)
    if chosen is None:
        return None
    return next(m for m in members if m.id == chosen.instance_id)


def candidate(turn: Turn, member: Member, allowed: set[str] | None = None) -> Candidate:
    group = turn.group
    created = 0.0
    if member.launch_configuration_name:
        configuration = turn.tx.get(LaunchConfiguration, group.account, group.region, member.launch_configuration_name)
        created = configuration.created_time if configuration else 0.0
    shielded = member.protected_from_scale_in if allowed is None else member.id not in allowed
    if turn.shrink_reason == "rebalance" and member.availability_zone == shifted_away_from(turn.tx, group):
        shielded = True  # rebalancing is among the other zones
    return Candidate(
        instance_id=member.id,
        zone=member.availability_zone,
        launched_at=member.launched_at,
        in_service=member.lifecycle_state == "InService",
        protected=shielded,
        weight=units(member),
        spot=member.spot,
        rank=mixed.rank_of(group.mixed_instances_policy, member.instance_type),
        launch_configuration_name=member.launch_configuration_name,
        launch_configuration_created=created,
        launch_template_id=member.launch_template_id,
        launch_template_version=member.launch_template_version,
    )


def terms(turn: Turn, members: list[Member], policies: Sequence[str] = ()) -> Terms:
    group = turn.group
    policy = group.mixed_instances_policy
    surplus = ""
    if policy is not None:
        on_demand = sum(units(m) for m in members if not m.spot)
        spot = sum(units(m) for m in members if m.spot)
        surplus = mixed.surplus(policy, group.desired_capacity, on_demand, spot)
    return Terms(
        zones=healthy_zones(turn.tx, group) if turn.shrink_reason == "rebalance" else group.availability_zones,
        policies=policies or group.termination_policies,
        template_id=launch_source.current_template(turn.tx, turn.call, group),
        surplus=surplus,
        mixed=policy is not None,
        rebalancing=turn.shrink_reason == "rebalance",
    )
