"""One turn of a group's reconciler, as a pure function of a transaction."""

from __future__ import annotations

from elba.autoscaling.advance import (
    launches,
    lifecycle,
    predicting,
    rebalancing,
    refreshing,
    replacing,
    rerooting,
    shrinking,
    spot,
    traffic,
    unhealthy,
    warming,
)
from elba.autoscaling.advance.turn import Turn
from elba.autoscaling.commands import groups, schedules
from elba.autoscaling.lookup import members_of
from elba.autoscaling.resources import ScheduledAction
from elba.call import Call
from elba.clock import Timestamp
from elba.store.interface import Transaction


def advance(tx: Transaction, call: Call, name: str) -> Timestamp | None:
    """Bring the group one turn nearer to what is wanted; when to look again though nothing changed (None: never).

    A turn that changes nothing has arrived: until something changes, or that time comes, so does every other.
    """
    turn = Turn(tx, call, name)
    group = turn.find_group()
    if group is None:
        return None
    if group.deleting:
        lifecycle.end_everything(turn)
        if not members_of(tx, turn.group):
            groups.remove_group(tx, call, turn.group)
        return turn.next
    schedules.run_due(tx, call, group)
    for action in tx.children(ScheduledAction, group.account, group.region, group.id):
        turn.look_again_at(action.next_time)
        if action.end_time is not None:
            turn.look_again_at(action.end_time)
    predicting.raise_to_forecast(turn)
    turn.take_warm = lambda cause, zone, kind: warming.take(turn, cause, zone, kind)
    turn.reroot = lambda member: rerooting.move_rerooting(turn, member)
    lifecycle.move_members(turn)
    warming.move_warm(turn)
    traffic.move_attachments(turn)
    unhealthy.mark(turn)
    unhealthy.replace(turn)
    refreshing.refresh(turn)
    if not turn.refreshing:
        replacing.retire(turn)
        spot.rebalance_capacity(turn)
        rebalancing.rebalance(turn)
    launches.fill(turn)
    shrinking.shrink(turn)
    warming.keep_size(turn)
    _settle(turn)
    return turn.next


def _settle(turn: Turn) -> None:
    """Begin the cooldown of a change that is complete; forget causes that nothing will quote any more."""
    group = turn.group
    if group.cooldown_seconds_due and not turn.busy():
        turn.change(cooldown_until=turn.now + group.cooldown_seconds_due, cooldown_seconds_due=0)
    if turn.group.causes and turn.capacity() == turn.target():
        turn.change(causes=[], invoking_alarms=[])
    for until in turn.group.zone_failures.values():
        turn.look_again_at(until)
    expired = [z for z, until in group.zone_failures.items() if until <= turn.now]
    if expired:
        turn.change(zone_failures={z: u for z, u in turn.group.zone_failures.items() if z not in expired})
