"""Describes instance refreshes."""

from __future__ import annotations

from typing import Any

from elba.autoscaling.lookup import require_group
from elba.autoscaling.queries.paging import page
from elba.autoscaling.resources import InstanceRefresh
from elba.call import Answer, Call, Request
from elba.store.interface import View


def describe_instance_refreshes(view: View, call: Call, request: Request) -> Answer:
    """Newest first. Raises: ApiError."""
    group = require_group(view, call, request["auto_scaling_group_name"])
    found = view.children(InstanceRefresh, call.account, call.region, group.id)[::-1]
    if ids := request.get("instance_refresh_ids"):
        found = [r for r in found if r.id in ids]
    shown, token = page(found, request, 50, 100)
    return {"instance_refreshes": [_shown(r) for r in shown], "next_token": token}


def _progress(refresh: InstanceRefresh) -> tuple[int, int]:
    left = len(refresh.to_replace)
    if refresh.status in ("Successful", "Baking", "RollbackSuccessful"):
        return 100, left
    return (100 * (refresh.total - left) // refresh.total if refresh.total else 0), left


def _shown(refresh: InstanceRefresh) -> Answer:
    percentage, left = _progress(refresh)
    answer: dict[str, Any] = {
        "instance_refresh_id": refresh.id,
        "auto_scaling_group_name": refresh.group_name,
        "status": refresh.status,
        "status_reason": refresh.status_reason or None,
        "start_time": refresh.start_time,
        "end_time": refresh.end_time,
        "percentage_complete": percentage,
        "instances_to_update": left,
        "progress_details": {"live_pool_progress": {"percentage_complete": percentage, "instances_to_update": left}},
        "preferences": refresh.preferences,
        "desired_configuration": refresh.desired_configuration,
        "strategy": refresh.strategy,
    }
    if refresh.rollback_start_time:
        answer["rollback_details"] = {
            "rollback_reason": refresh.rollback_reason,
            "rollback_start_time": refresh.rollback_start_time,
            "percentage_complete_on_rollback": refresh.rolled_back_percentage,
        }
    return answer
