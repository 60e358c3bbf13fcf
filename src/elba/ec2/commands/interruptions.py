"""Spot's notices, for the operator who plays EC2's part: rebalance recommendations and interruptions.

Source: EC2 user guide, "Spot Instance interruption notices"; ec2-iam spec §3.6.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from elba.call import Call
from elba.ec2.faults import require_all
from elba.ec2.resources import Instance
from elba.errors import ApiError
from elba.store.interface import Transaction

NOTICE_SECONDS = 120.0


def interrupt_spot_instances(tx: Transaction, call: Call, instance_ids: Iterable[str]) -> list[Instance]:
    """Give running Spot Instances their two minutes' notice; the reconciler ends them when these are over.

    One that has its notice keeps it. Raises: ApiError InvalidInstanceID.NotFound, UnsupportedOperation (On-Demand),
    IncorrectInstanceState.
    """
    changed = []
    for instance in _running_spot_instances(tx, call, instance_ids):
        at = instance.spot_interruption_time or call.now + NOTICE_SECONDS
        changed.append(replace(instance, spot_interruption_time=at))
        tx.put(changed[-1])
    return changed


def recommend_rebalance(tx: Transaction, call: Call, instance_ids: Iterable[str]) -> list[Instance]:
    """Tell running Spot Instances that they are at an elevated risk of interruption. Raises as above."""
    changed = []
    for instance in _running_spot_instances(tx, call, instance_ids):
        at = instance.rebalance_recommendation_time or call.now
        changed.append(replace(instance, rebalance_recommendation_time=at))
        tx.put(changed[-1])
    return changed


def _running_spot_instances(tx: Transaction, call: Call, instance_ids: Iterable[str]) -> list[Instance]:
    instances = require_all(tx, call, Instance, instance_ids)
    for instance in instances:
        if instance.lifecycle != "spot":
            raise ApiError("UnsupportedOperation", f"The instance '{instance.id}' is not a Spot Instance.")
        if instance.state != "running":
            raise ApiError("IncorrectInstanceState", f"The instance '{instance.id}' is not in the 'running' state.")
    return instances
