"""An instance's way through EC2's states: what to do next, from desired and observed. Pure.

    pending ─► running ─► stopping ─► stopped ─► pending …
       │          └─► shutting-down ─► terminated ─► (forgotten)
       └─► terminated (it could not be launched)

Source: EC2 user guide, "Amazon EC2 instance state changes"; state reasons: API reference, StateReason.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec
from msgspec.structs import replace

from elba.clock import Timestamp
from elba.ec2.resources import Instance

FORGET_AFTER_SECONDS = 3600.0
"""How long a terminated instance can still be described."""

LOOK_AGAIN_SECONDS = 5.0
"""Between looks at an instance on its way, should the provider fail to tell of its change."""

REASONS = {
    "Client.UserInitiatedShutdown": "Client.UserInitiatedShutdown: User initiated shutdown",
    "Client.InstanceInitiatedShutdown": "Client.InstanceInitiatedShutdown: Instance initiated shutdown",
    "Server.InsufficientInstanceCapacity": (
        "Server.InsufficientInstanceCapacity: There is not enough capacity to fulfill your request."
    ),
    "Server.InternalError": "Server.InternalError: Internal error on launch",
    "Server.SpotInstanceTermination": "Server.SpotInstanceTermination: Instance terminated by Spot",
    "Server.SpotInstanceShutdown": "Server.SpotInstanceShutdown: Instance stopped by Spot",
}


class World(StrEnum):
    """What the provider has of an instance. `EXITED`: it stopped without being told to."""

    ABSENT = "absent"
    PENDING = "pending"
    RUNNING = "running"
    STOPPED = "stopped"
    EXITED = "exited"


class Act(StrEnum):
    NOTHING = "nothing"
    LAUNCH = "launch"
    START = "start"
    STOP = "stop"
    REBOOT = "reboot"
    TERMINATE = "terminate"
    REPLACE_ROOT = "replace-root"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """First record `instance` (None = forget it), then do `act`, then look again after so many seconds
    (None = when something changes; 0 = at once)."""

    instance: Instance | None
    act: Act = Act.NOTHING
    after_seconds: float | None = None


def plan_instance(instance: Instance, world: World, now: Timestamp) -> Plan:
    """The next step towards what the instance's `desired` says.

    Invariants: repeated with the world following its acts, it ends in running, stopped or terminated; a plan for an
    instance that is where it should be does nothing and records nothing new.
    """
    if instance.desired == "terminated":
        return _plan_terminated(instance, world, now)
    if instance.lifecycle == "spot" and 0 < instance.spot_interruption_time <= now and instance.desired == "running":
        return Plan(instance=_interrupted(instance, now), after_seconds=0)
    if instance.desired == "stopped":
        return _plan_stopped(instance, world, now)
    plan = _plan_running(instance, world, now)
    if plan.after_seconds is None and instance.spot_interruption_time > now:
        return replace(plan, after_seconds=instance.spot_interruption_time - now)
    return plan


def moved(instance: Instance, state: str, now: Timestamp, reason: str = "", message: str = "") -> Instance:
    """`instance` in `state`; `reason` replaces the state reason if given."""
    changes: dict[str, Any] = {}
    if state != instance.state:
        changes.update(state=state, state_transition_time=now)
    if reason:
        changes.update(state_reason_code=reason, state_reason_message=message or REASONS.get(reason, reason))
    if state != "running":
        changes.update(instance_status="initializing", system_status="initializing")
    if state == "terminated":
        changes.update(terminated_at=instance.terminated_at or now, recovery="", root_task_id="")
    return replace(instance, **changes)


def failed_launch(instance: Instance, now: Timestamp, reason: str, message: str) -> Instance:
    """An instance that could not be launched: terminated, with the reason."""
    return moved(replace(instance, desired="terminated"), "terminated", now, reason, message)


def failed_start(instance: Instance, now: Timestamp, reason: str, message: str) -> Instance:
    """A stopped instance that could not be started: stopped again, with the reason."""
    return moved(replace(instance, desired="stopped", boots_done=instance.boots), "stopped", now, reason, message)


def _interrupted(instance: Instance, now: Timestamp) -> Instance:
    if instance.spot_interruption_behavior in ("stop", "hibernate"):
        return moved(
            replace(instance, desired="stopped", spot_interruption_time=0.0),
            "stopping",
            now,
            "Server.SpotInstanceShutdown",
        )
    return moved(replace(instance, desired="terminated"), "shutting-down", now, "Server.SpotInstanceTermination")


def _plan_terminated(instance: Instance, world: World, now: Timestamp) -> Plan:
    if instance.state == "terminated":
        # Terminating again what is not there costs little, and nothing else removes a half-made directory.
        act = Act.NOTHING if world is World.ABSENT else Act.TERMINATE
        left = instance.terminated_at + FORGET_AFTER_SECONDS - now
        if act is Act.NOTHING and left <= 0:
            return Plan(instance=None)
        return Plan(instance=instance, act=act, after_seconds=left if act is Act.NOTHING else LOOK_AGAIN_SECONDS)
    reason = "" if instance.state_reason_code else "Client.UserInitiatedShutdown"
    if world is World.ABSENT:
        return Plan(instance=moved(instance, "terminated", now, reason), after_seconds=FORGET_AFTER_SECONDS)
    return Plan(
        instance=moved(instance, "shutting-down", now, reason),
        act=Act.TERMINATE,
        after_seconds=LOOK_AGAIN_SECONDS,
    )


def _plan_stopped(instance: Instance, world: World, now: Timestamp) -> Plan:
    if instance.state == "stopped" and world in (World.ABSENT, World.STOPPED, World.EXITED):
        return Plan(instance=instance)
    # A start or reboot that was overtaken by the stop is done with.
    down = replace(instance, force_stop=False, recovery="", root_task_id="", boots_done=instance.boots)
    if world in (World.STOPPED, World.EXITED):
        return Plan(instance=_with_reason(moved(down, "stopped", now)))
    if world is World.ABSENT:
        if instance.state == "pending" and instance.boots == 0:
            # Asked to stop before it was launched: it needs its directory first.
            return Plan(instance=instance, act=Act.LAUNCH, after_seconds=LOOK_AGAIN_SECONDS)
        return Plan(instance=_with_reason(moved(down, "stopped", now)))
    return Plan(instance=_with_reason(moved(instance, "stopping", now)), act=Act.STOP, after_seconds=LOOK_AGAIN_SECONDS)


def _with_reason(instance: Instance) -> Instance:
    if instance.state_reason_code:
        return instance
    code = "Client.UserInitiatedShutdown"
    return replace(instance, state_reason_code=code, state_reason_message=REASONS[code])


def _plan_recovery(instance: Instance, world: World, now: Timestamp) -> Plan:
    """It stays running, with its addresses: ended where it is, started elsewhere, or with a new root volume.

    Source: EC2 user guide, "Recover your instance", "Replace the root volume"."""
    if world is World.ABSENT:
        return _plan_exit(instance, world, now)
    if instance.recovery == "replacing" and world in (World.STOPPED, World.EXITED):
        return Plan(instance=instance, act=Act.REPLACE_ROOT, after_seconds=0)
    if instance.recovery == "replacing":
        return Plan(instance=instance, act=Act.STOP, after_seconds=LOOK_AGAIN_SECONDS)
    if instance.recovery == "stopping":
        if world in (World.STOPPED, World.EXITED):
            return Plan(instance=replace(instance, recovery="starting"), after_seconds=0)
        return Plan(instance=instance, act=Act.STOP, after_seconds=LOOK_AGAIN_SECONDS)
    if world in (World.STOPPED, World.EXITED):
        return Plan(instance=instance, act=Act.START, after_seconds=LOOK_AGAIN_SECONDS)
    if world is World.PENDING:
        return Plan(instance=instance, after_seconds=LOOK_AGAIN_SECONDS)
    done = replace(instance, recovery="", root_task_id="", force_stop=False, boots_done=instance.boots)
    return Plan(instance=replace(done, instance_status="initializing", system_status="initializing"))


def _plan_running(instance: Instance, world: World, now: Timestamp) -> Plan:
    if instance.recovery:
        return _plan_recovery(instance, world, now)
    if world is World.RUNNING:
        return _plan_up(instance, now)
    first = instance.boots == 0
    if instance.state == "pending":
        if world in (World.ABSENT, World.PENDING) and first:
            return Plan(instance=instance, act=Act.LAUNCH, after_seconds=LOOK_AGAIN_SECONDS)
        if world is World.PENDING:
            return Plan(instance=instance, after_seconds=LOOK_AGAIN_SECONDS)
        if not first and instance.boots_done < instance.boots:
            return Plan(instance=instance, act=Act.START, after_seconds=LOOK_AGAIN_SECONDS)
        return _plan_exit(instance, world, now)
    if instance.state in ("stopping", "stopped") or (instance.state == "running" and world is World.STOPPED):
        # Started again before it was seen to have stopped; or it was stopped with the whole of Elba (`elba down`).
        return Plan(
            instance=moved(replace(instance, boots=max(instance.boots, instance.boots_done + 1)), "pending", now),
            after_seconds=0,
        )
    if world is World.PENDING:
        return Plan(instance=instance, after_seconds=LOOK_AGAIN_SECONDS)
    return _plan_exit(instance, world, now)


def _plan_up(instance: Instance, now: Timestamp) -> Plan:
    if instance.state == "running":
        if instance.boots_done < instance.boots:
            return Plan(instance=instance, act=Act.REBOOT, after_seconds=0)
        return Plan(instance=instance)
    if instance.state in ("stopping", "stopped"):
        # The stop that was overtaken by this start may still be under way: let it end.
        return Plan(instance=instance, act=Act.STOP, after_seconds=LOOK_AGAIN_SECONDS)
    up = replace(instance, boots_done=instance.boots, state_reason_code="", state_reason_message="")
    return Plan(instance=moved(replace(up, state_transition_reason=""), "running", now))


def _plan_exit(instance: Instance, world: World, now: Timestamp) -> Plan:
    """It is no longer there, or it shut itself down."""
    if world is World.ABSENT:
        gone = "Server.InternalError: the instance is gone from its host"
        return Plan(
            instance=failed_launch(instance, now, "Server.InternalError", gone), after_seconds=FORGET_AFTER_SECONDS
        )
    reason = "Client.InstanceInitiatedShutdown"
    if instance.instance_initiated_shutdown_behavior == "terminate":
        return Plan(
            instance=moved(replace(instance, desired="terminated"), "shutting-down", now, reason), after_seconds=0
        )
    done = replace(instance, desired="stopped", boots_done=instance.boots)
    return Plan(instance=moved(done, "stopped", now, reason))
