"""Describes warm pools."""

from __future__ import annotations

from elba.autoscaling.lookup import is_warm, members_of, require_group
from elba.autoscaling.queries.instances import shown_instance
from elba.autoscaling.queries.paging import page
from elba.autoscaling.resources import WarmPool
from elba.call import Answer, Call, Request
from elba.store.interface import View


def describe_warm_pool(view: View, call: Call, request: Request) -> Answer:
    """The pool's configuration and instances; nothing of a group without one. Raises: ApiError."""
    group = require_group(view, call, request["auto_scaling_group_name"])
    pool = view.get(WarmPool, call.account, call.region, group.id)
    if pool is None:
        return {"instances": []}
    warm = [m for m in members_of(view, group) if is_warm(m)]
    shown, token = page(warm, request, 50, 50)
    return {
        "warm_pool_configuration": shown_pool(pool),
        "instances": [shown_instance(view, m) for m in shown],
        "next_token": token,
    }


def shown_pool(pool: WarmPool) -> Answer:
    """A WarmPoolConfiguration."""
    return {
        "min_size": pool.min_size,
        "max_group_prepared_capacity": pool.max_group_prepared_capacity,
        "pool_state": pool.pool_state,
        "status": "PendingDelete" if pool.pending_delete else None,
        "instance_reuse_policy": {"reuse_on_scale_in": True} if pool.reuse_on_scale_in else None,
    }
