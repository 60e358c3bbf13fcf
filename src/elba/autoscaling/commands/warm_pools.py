"""Puts and deletes warm pools."""

from __future__ import annotations

import msgspec

from elba.autoscaling import faults
from elba.autoscaling.commands.traffic import refuse_during_refresh
from elba.autoscaling.launch_source import resolve
from elba.autoscaling.lookup import is_warm, members_of, require_group
from elba.autoscaling.resources import Group, LaunchConfiguration, WarmPool
from elba.call import Answer, Call, Request
from elba.errors import ApiError
from elba.store.interface import Transaction, View

STATES = ("Stopped", "Running", "Hibernated")


def put_warm_pool(tx: Transaction, call: Call, request: Request) -> Answer:
    """Make or change the group's warm pool; what the request leaves out goes back to its default. Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    refuse_during_refresh(tx, group)
    if group.mixed_instances_policy is not None:
        raise faults.validation("You can't add a warm pool to an Auto Scaling group that has a mixed instances policy.")
    if asks_for_spot(tx, call, group):
        raise faults.validation("You can't add a warm pool to an Auto Scaling group that requests Spot Instances.")
    state = request.get("pool_state") or "Stopped"
    if state not in STATES:
        raise faults.validation(f"Invalid pool state: {state}. Valid values are {', '.join(STATES)}.")
    prepared = request.get("max_group_prepared_capacity")
    if prepared is not None and prepared < -1:
        raise faults.constraint(prepared, "maxGroupPreparedCapacity", "have value greater than or equal to -1")
    minimum = request.get("min_size") or 0
    if minimum < 0:
        raise faults.constraint(minimum, "minSize", "have value greater than or equal to 0")
    old = tx.get(WarmPool, call.account, call.region, group.id)
    if old is not None and old.pending_delete:
        raise faults.validation("The warm pool of the Auto Scaling group is being deleted.")
    tx.put(
        WarmPool(
            account=call.account,
            region=call.region,
            id=group.id,
            min_size=minimum,
            max_group_prepared_capacity=None if prepared in (None, -1) else prepared,
            pool_state=state,
            reuse_on_scale_in=bool((request.get("instance_reuse_policy") or {}).get("reuse_on_scale_in")),
        )
    )
    return {}


def asks_for_spot(view: View, call: Call, group: Group) -> bool:
    """Whether the group's launch template or configuration asks for Spot Instances. Raises: ApiError."""
    if group.launch_template is not None:
        _, _, data = resolve(view, call, group.launch_template)
        return (data.get("instance_market_options") or {}).get("market_type") == "spot"
    configuration = view.get(LaunchConfiguration, group.account, group.region, group.launch_configuration_name)
    return configuration is not None and bool(configuration.data.get("spot_price"))


def delete_warm_pool(tx: Transaction, call: Call, request: Request) -> Answer:
    """Delete the pool: at once if it is empty, else its instances go first. Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    pool = tx.get(WarmPool, call.account, call.region, group.id)
    if pool is None:
        raise faults.validation(f"No warm pool found for Auto Scaling group {group.id}.")
    warm = [m for m in members_of(tx, group) if is_warm(m)]
    if not warm:
        tx.delete(pool)
        return {}
    if not request.get("force_delete") and any(m.lifecycle_state.startswith("Warmed:Pending") for m in warm):
        raise ApiError(
            "ScalingActivityInProgress",
            "You cannot delete a warm pool while there are scaling activities in progress for it.",
        )
    tx.put(msgspec.structs.replace(pool, pending_delete=True))
    return {}
