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


def _progress(refresh: InstanceRefresh, total: int, left: int) -> Answer:
    percentage = 100 * (total - left) // total if total else 0
    if refresh.status in ("Successful", "Baking", "RollbackSuccessful"):
        percentage = 100
    return {"percentage_complete": percentage, "instances_to_update": left}


def _shown(refresh: InstanceRefresh) -> Answer:
    live, warm = len(refresh.to_replace), len(refresh.warm_to_replace)
    overall = _progress(refresh, refresh.total + refresh.warm_total, live + warm)
    details = {"live_pool_progress": _progress(refresh, refresh.total, live)}
    if refresh.warm_total:
        details["warm_pool_progress"] = _progress(refresh, refresh.warm_total, warm)
    answer: dict[str, Any] = {
        "instance_refresh_id": refresh.id,
        "auto_scaling_group_name": refresh.group_name,
        "status": refresh.status,
        "status_reason": refresh.status_reason or None,
        "start_time": refresh.start_time,
        "end_time": refresh.end_time,
        **overall,
        "progress_details": details,
        "preferences": refresh.preferences,
        "desired_configuration": refresh.desired_configuration,
        "strategy": refresh.strategy,
    }
    if refresh.rollback_start_time:
        answer["rollback_details"] = {
            "rollback_reason": refresh.rollback_reason,
            "rollback_start_time": refresh.rollback_start_time,
            "percentage_complete_on_rollback": refresh.rolled_back_percentage,
            "instances_to_update_on_rollback": refresh.rolled_back_left,
        }
    return answer
