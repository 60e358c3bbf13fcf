"""Describes warm pools."""

from __future__ import annotations

from elba.autoscaling.resources import WarmPool
from elba.call import Answer


def shown_pool(pool: WarmPool) -> Answer:
    """A WarmPoolConfiguration."""
    return {
        "min_size": pool.min_size,
        "max_group_prepared_capacity": pool.max_group_prepared_capacity,
        "pool_state": pool.pool_state,
        "status": "PendingDelete" if pool.pending_delete else None,
        "instance_reuse_policy": {"reuse_on_scale_in": True} if pool.reuse_on_scale_in else None,
    }
