"""Launches what is missing: zone, subnet, source, tags, activity. One instance at a time, in one transaction."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from elba.autoscaling import activities, launch_source, mixed, placement, sentences
from elba.autoscaling.advance import remixing
from elba.autoscaling.advance.lifecycle import backoff_seconds
from elba.autoscaling.advance.turn import Turn
from elba.autoscaling.launch_source import Source
from elba.autoscaling.lookup import counted, healthy_zones, is_rebalancing, suspended, units
from elba.autoscaling.resources import Group, LaunchConfiguration, Member
from elba.ec2 import commands as ec2
from elba.ec2.addresses import available_address_count
from elba.ec2.instance_types import TYPES
from elba.ec2.prices import on_demand_price, spot_depth, spot_price
from elba.ec2.resources import Subnet
from elba.elbv2.resources import TargetGroup
from elba.errors import ApiError

MOST_PER_TURN = 25
NEXT_TURN_SECONDS = 1.0
"""A large group is launched in batches, so that a desired capacity of a billion holds nobody up."""
ZONE_RETRY_SECONDS = 300.0
CAPACITY_CODES = ("InsufficientInstanceCapacity", "InsufficientFreeAddressesInSubnet", "SpotMaxPriceTooLow")
"""Of one pool or zone only: the next is tried."""
UNUSABLE_CODES = ("InvalidParameterValue", "Unsupported")
"""Of one instance type, perhaps: that is unknown or does not go with the image. The next override is tried."""


def fill(turn: Turn) -> None:
    """Launch until the counted units reach the target, or a launch fails."""
    group = turn.group
    have, target = turn.capacity(), turn.target()
    if have >= target:
        if group.replacements_due:
            turn.change(replacements_due=0)
        return
    if suspended(group, "Launch"):
        return
    if group.launch_not_before > turn.now:
        turn.look_again_at(group.launch_not_before)
        return
    grown = False
    for _ in range(MOST_PER_TURN):
        have = turn.capacity()
        if have >= target:
            break
        kind = _kind(turn, have)
        cause = _cause(turn, kind, have, target)
        # One from the warm pool of another zone would undo a rebalancing.
        bound = "surge" if turn.growth_sentence else kind
        member = turn.take_warm(cause, _zone(turn, healthy_zones(turn.tx, turn.group), []), bound) or _launch(
            turn, cause, kind
        )
        if member is None:
            break
        if kind == "replacement":
            turn.change(replacements_due=max(0, turn.group.replacements_due - units(member)))
        grown = grown or kind == "growth"
        if kind == "growth":
            turn.grown_from = have if turn.grown_from is None else turn.grown_from
    else:
        again = turn.now + NEXT_TURN_SECONDS
        turn.change(launch_not_before=again)
        turn.look_again_at(again)
    if grown:
        turn.change(causes=[], invoking_alarms=[])


def _kind(turn: Turn, have: int) -> str:
    group = turn.group
    if group.replacements_due > 0:
        return "replacement"
    return "growth" if have < group.desired_capacity else "surge"


def _cause(turn: Turn, kind: str, have: int, target: int) -> str:
    group = turn.group
    if kind == "replacement":
        return sentences.at(turn.now, sentences.REPLACED)
    if kind == "surge":
        sentence = group.surge_cause if group.surge else turn.surge_sentence
        return sentences.at(turn.now, sentence or sentences.grown(have, target))
    if turn.growth_sentence and not group.causes:
        return sentences.at(turn.now, turn.growth_sentence)
    if turn.refreshing and not group.causes:
        return sentences.at(turn.now, sentences.REFRESH_IN)
    first = have if turn.grown_from is None else turn.grown_from
    final = max(first + 1, min(target, group.desired_capacity))
    return sentences.joined([*group.causes, sentences.at(turn.now, sentences.grown(first, final))])


def _avoided(turn: Turn, group: Group) -> list[str]:
    """Zones not to try now: those that lately had no capacity, unless balance comes before everything."""
    if group.availability_zone_distribution == "balanced-only":
        return []
    return [z for z, until in group.zone_failures.items() if until > turn.now]


def _launch(turn: Turn, cause: str, kind: str) -> Member | None:
    """Launch one instance where it belongs; None if it cannot be now, which an activity then says."""
    group = turn.group
    if missing := _missing_target_group(turn, group):
        _failed(turn, cause, missing)
        return None
    avoided = _avoided(turn, group)
    zones = healthy_zones(turn.tx, group)
    if set(zones) <= set(avoided):
        # No zone has capacity: begin again with all of them once the pause is over.
        avoided = []
    error: ApiError | None = None
    spot = False
    while (zone := _zone(turn, zones, avoided)) is not None:
        error = None
        for source, spot in _sources(turn, group, zone):
            if isinstance(source, ApiError):
                error = source
                break
            try:
                return turn.attempt(lambda s=source, p=spot, z=zone: _run(turn, s, p, z, cause, kind))  # type: ignore[misc]
            except ApiError as refused:
                if error is None or refused.code not in UNUSABLE_CODES:
                    error = refused
                if refused.code not in (*CAPACITY_CODES, *UNUSABLE_CODES):
                    break
        assert error is not None
        if error.code not in CAPACITY_CODES or group.availability_zone_distribution == "balanced-only":
            break
        turn.change(zone_failures={**turn.group.zone_failures, zone: turn.now + ZONE_RETRY_SECONDS})
        if kind == "surge" and is_rebalancing(group):
            # In another zone it would be of no use, and one that is well there would go for it.
            break
        avoided.append(zone)
    fleet = bool(group.mixed_instances_policy) and not group.launch_override
    _failed(turn, cause, f"{_sentence(error, fleet, spot)} Launching EC2 instance failed.")
    return None


def _zone(turn: Turn, zones: list[str], avoided: list[str]) -> str | None:
    placed = [(m.availability_zone, units(m)) for m in counted(turn.members())]
    return placement.next_zone(placement.zone_units(zones, placed), avoided)


def _sentence(error: ApiError | None, fleet: bool, spot: bool) -> str:
    """Why, in the words of the activity. `fleet`: the group has a mixed instances policy."""
    if error is None:
        return "We currently do not have sufficient capacity in the Availability Zones of the group."
    if "iamInstanceProfile" in error.message or "InstanceProfile" in error.code:
        return "Invalid IAM Instance Profile name."
    if unknown := re.fullmatch(r"The image id '\[(.+)\]' does not exist", error.message):
        return f"The AMI ID '{unknown[1]}' does not exist."
    message = f"{error.message.rstrip('.')}."
    if not fleet or error.code not in CAPACITY_CODES:
        return message
    if spot and error.code == "InsufficientInstanceCapacity":
        return (
            "Could not launch Spot Instances. UnfulfillableCapacity - Unable to fulfill capacity due to your request "
            "configuration. Please adjust your request and try again."
        )
    return f"Could not launch {'Spot' if spot else 'On-Demand'} Instances. {error.code} - {message}"


def _missing_target_group(turn: Turn, group: Group) -> str:
    for attachment in group.attachments:
        wanted = attachment.type == "elbv2" and attachment.state not in ("Removing", "Removed")
        if wanted and turn.tx.get(TargetGroup, group.account, group.region, attachment.identifier) is None:
            return "One or more target groups not found. Validating load balancer configuration failed."
    return ""


def _failed(turn: Turn, cause: str, message: str) -> None:
    failures = turn.group.launch_failures + 1
    again = turn.now + backoff_seconds(failures)
    activities.record(
        turn.tx, turn.call, turn.group, sentences.launch_failed(message), cause, status="Failed", message=message
    )
    turn.change(launch_failures=failures, launch_not_before=again)
    turn.look_again_at(again)


def _sources(turn: Turn, group: Group, zone: str) -> Iterator[tuple[Source | ApiError, bool]]:
    """What may be launched in the zone, best first, each with whether it is spot; or why nothing may."""
    override = group.launch_override
    template, policy = group.launch_template, group.mixed_instances_policy
    if override is not None:
        template, policy = override.get("launch_template"), override.get("mixed_instances_policy")
    try:
        if group.launch_configuration_name and override is None:
            configuration = turn.tx.get(
                LaunchConfiguration, group.account, group.region, group.launch_configuration_name
            )
            if configuration is None:
                raise ApiError("ValidationError", "The launch configuration does not exist")
            yield launch_source.from_configuration(configuration), bool(configuration.data.get("spot_price"))
        elif template is not None:
            for choice in launch_source.typed(turn.tx, turn.call, template, {}):
                yield launch_source.from_template(turn.tx, turn.call, template, choice), False
        elif policy is not None:
            yield from _mixed_sources(turn, policy, zone)
    except ApiError as error:
        yield error, False


def first_source(turn: Turn, group: Group, zone: str) -> Source:
    """What is launched next. Raises: ApiError."""
    source, _ = next(iter(_sources(turn, group, zone)))
    if isinstance(source, ApiError):
        raise source
    return source


def _mixed_sources(turn: Turn, policy: Mapping[str, Any], zone: str) -> Iterator[tuple[Source, bool]]:
    specification = policy["launch_template"]["launch_template_specification"]
    members = counted(turn.members())
    on_demand = sum(units(m) for m in members if not m.spot)
    moved = remixing.moves_spot(turn)
    spot = mixed.next_is_spot(policy, max(turn.target(), 1), on_demand) if moved is None else moved
    options: list[Mapping[str, Any]] = []
    for override in mixed.overrides(policy) or [{}]:
        options += launch_source.typed(turn.tx, turn.call, specification, override, turn.group.desired_capacity_type)
    known = [o for o in options if o.get("instance_type") in TYPES]
    ranked = mixed.by_preference(
        known,
        policy.get("instances_distribution") or {},
        spot=spot,
        price=lambda t: spot_price(t, zone) if spot else on_demand_price(TYPES[t]),
        depth=lambda t: spot_depth(t, zone),
        there=Counter(m.instance_type for m in members if m.spot and m.availability_zone == zone),
    )
    for override in [*ranked, *(o for o in options if o not in known)]:
        yield launch_source.from_template(turn.tx, turn.call, specification, override), spot


def _run(turn: Turn, source: Source, spot: bool, zone: str, cause: str, kind: str) -> Member:
    group = turn.group
    subnet = subnet_in(turn, zone)
    member = launch_one(turn, source, spot, subnet)
    activity = activities.begin(
        turn.tx,
        turn.call,
        group,
        sentences.launching(member.id),
        cause,
        status="PreInService",
        instance_id=member.id,
        details=activities.details(subnet.id, zone, group.invoking_alarms if kind == "growth" else ()),
    )
    member = msgspec.structs.replace(member, activity_id=activity.id, replacement=kind == "replacement")
    turn.tx.put(member)
    return member


def subnet_in(turn: Turn, zone: str) -> Subnet:
    """One of the group's subnets in the zone, of those that have addresses left if any has. Raises: ApiError."""
    group = turn.group
    subnets = [
        s
        for i in group.subnet_ids
        if (s := turn.tx.get(Subnet, group.account, group.region, i)) is not None and s.availability_zone == zone
    ]
    if not subnets:
        raise ApiError("InvalidSubnetID.NotFound", f"The group has no subnet in {zone} any more")
    roomy = [s for s in subnets if available_address_count(turn.tx, s) > 0]
    return turn.call.ids.random.choice(roomy or subnets)


def launch_one(turn: Turn, source: Source, spot: bool, subnet: Subnet, state: str = "Pending") -> Member:
    """The new instance's membership, not yet written. Raises: ApiError, with nothing launched."""
    group = turn.group
    request: dict[str, Any] = {**source.request, "min_count": 1, "max_count": 1}
    tags = [{"key": t.key, "value": t.value} for t in group.tags if t.propagate_at_launch]
    if tags:
        request["tag_specifications"] = [{"resource_type": "instance", "tags": tags}]
    if spot and "instance_market_options" not in request:
        policy = (group.launch_override or {}).get("mixed_instances_policy") or group.mixed_instances_policy or {}
        most = (policy.get("instances_distribution") or {}).get("spot_max_price")
        options = {"spot_options": {"max_price": most}} if most else {}
        request["instance_market_options"] = {"market_type": "spot", **options}
    if group.placement_group:
        request["placement"] = {**request.get("placement", {}), "group_name": group.placement_group}
    instance = ec2.launch(
        turn.tx,
        turn.call,
        request,
        system_tags={"aws:autoscaling:groupName": group.id},
        subnet_id=subnet.id,
    )[0]
    return Member(
        account=group.account,
        region=group.region,
        id=instance.id,
        group_name=group.id,
        availability_zone=instance.availability_zone,
        instance_type=instance.instance_type,
        image_id=instance.image_id,
        subnet_id=subnet.id,
        spot=instance.lifecycle == "spot",
        launch_configuration_name=source.launch_configuration_name,
        launch_template_id=source.launch_template_id,
        launch_template_name=source.launch_template_name,
        launch_template_version=source.launch_template_version,
        protected_from_scale_in=group.new_instances_protected_from_scale_in,
        weighted_capacity=launch_source.weight(group, instance.instance_type),
        lifecycle_state=state,
        launched_at=turn.now,
        state_since=turn.now,
    )
