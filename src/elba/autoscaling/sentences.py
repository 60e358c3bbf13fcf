"""Descriptions and causes of scaling activities, in AWS's grammar: sentences `At <time> <what>`, two spaces between."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime


def iso(time: float) -> str:
    """Whole seconds, UTC: `2024-05-01T12:00:00Z`."""
    return datetime.fromtimestamp(int(time), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def at(time: float, what: str) -> str:
    return f"At {iso(time)} {what}"


def joined(sentences: Iterable[str]) -> str:
    return "  ".join(s for s in sentences if s)


def changed(time: float, what: str, before: int, after: int) -> str:
    """Who changed desired capacity, from what to what."""
    return at(time, f"{what} changing the desired capacity from {before} to {after}.")


CREATED = "a user request created an AutoScalingGroup"
SET_DESIRED = "a user request explicitly set group desired capacity"


def updated(who: str, minimum: int, maximum: int, desired: int) -> str:
    """`who`: a user request, a scheduled action."""
    return f"{who} update of AutoScalingGroup constraints to min: {minimum}, max: {maximum}, desired: {desired}"


def alarmed(alarm: str, state: str, policy: str) -> str:
    return f"a monitor alarm {alarm} in state {state} triggered policy {policy}"


def executed(policy: str) -> str:
    return f"a user request executed policy {policy}"


def grown(before: int, after: int) -> str:
    return (
        "an instance was started in response to a difference between desired and actual capacity, "
        f"increasing the capacity from {before} to {after}."
    )


def shrunk(before: int, after: int) -> str:
    return (
        "an instance was taken out of service in response to a difference between desired and actual capacity, "
        f"shrinking the capacity from {before} to {after}."
    )


def selected(instance_id: str) -> str:
    return f"instance {instance_id} was selected for termination."


REPLACED = "an instance was started in response to an unhealthy instance needing to be replaced."
TAKEN_OUT = "an instance was taken out of service in response to "

UNHEALTHY = {
    "EC2": TAKEN_OUT + "an EC2 health check indicating it has been terminated or stopped.",
    "EC2 status": TAKEN_OUT + "an EC2 instance status checks failure.",
    "ELB": TAKEN_OUT + "an ELB system health check failure.",
    "EBS": TAKEN_OUT + "EBS volume health check failure.",
    "custom": TAKEN_OUT + "a user health-check.",
}

REFRESH_OUT = TAKEN_OUT + "an instance refresh."
REFRESH_IN = "an instance was launched in response to an instance refresh."
REFRESH_ROOT = "an instance's root volume was replaced in response to an instance refresh."
LIFETIME_OUT = TAKEN_OUT + "the maximum instance lifetime having been reached."
ALL_PROTECTED = "Could not scale to desired capacity because all remaining instances are protected from scale-in."


def rebalanced(zones: dict[str, int], low: str) -> str:
    """Why rebalancing launches: `zones` holds the units of each."""
    others = " ".join(zones)
    counts = " ".join(str(n) for n in zones.values())
    return (
        f"instances were launched to balance instances in zones {low} with other zones resulting in more than "
        f"desired number of instances in the group.  availability zones {others} had {counts} instances "
        "respectively.  An instance was launched to aid in balancing the group's zones."
    )


def launching(instance_id: str) -> str:
    return f"Launching a new EC2 instance: {instance_id}"


def launch_failed(reason: str) -> str:
    return f"Launching a new EC2 instance.  Status Reason: {reason}"


def terminating(instance_id: str) -> str:
    return f"Terminating EC2 instance: {instance_id}"


def replacing_root(instance_id: str) -> str:
    return f"Replacing the root volume of EC2 instance: {instance_id}"


def abandoned(token: str, timed_out: bool) -> str:
    how = "Heartbeat Timeout" if timed_out else "Lifecycle Action Completed with ABANDON Result"
    return (
        f"Instance failed to complete user's Lifecycle Action: Lifecycle Action with token {token} was abandoned: {how}"
    )


LIFETIME_IN = "an instance was started in response to the maximum instance lifetime having been reached."
INTERRUPTED_IN = "an instance was launched in response to an EC2 instance rebalance recommendation."
INTERRUPTED_OUT = TAKEN_OUT + "an EC2 instance rebalance recommendation."
REMIXED_IN = "an instance was launched in response to a change of the purchase options of the group."
REMIXED_OUT = TAKEN_OUT + "a change of the purchase options of the group."
