"""GetDashboard, ListDashboards."""

from __future__ import annotations

from elba.call import Answer, Call, Request
from elba.cloudwatch.commands.dashboards import require_dashboard
from elba.cloudwatch.commands.tags import GLOBAL
from elba.cloudwatch.paging import page, require_token
from elba.cloudwatch.resources import Dashboard
from elba.store.interface import View

DASHBOARDS_PER_PAGE = 1000


def get_dashboard(view: View, call: Call, request: Request) -> Answer:
    """The body exactly as it was put. Raises: ApiError DashboardNotFoundError."""
    name = request["dashboard_name"]
    dashboard = require_dashboard(view.get(Dashboard, call.account, GLOBAL, name), name)
    return {"dashboard_arn": dashboard.arn, "dashboard_body": dashboard.body, "dashboard_name": dashboard.id}


def list_dashboards(view: View, call: Call, request: Request) -> Answer:
    prefix = request.get("dashboard_name_prefix") or ""
    found = sorted(
        (d for d in view.all(Dashboard, call.account, GLOBAL) if d.id.startswith(prefix)), key=lambda d: d.id
    )
    taken, token = page(found, lambda d: d.id, request.get("next_token"), DASHBOARDS_PER_PAGE, require_token)
    return {
        "dashboard_entries": [
            {
                "dashboard_name": d.id,
                "dashboard_arn": d.arn,
                "last_modified": d.last_modified,
                "size": len(d.body.encode()),
            }
            for d in taken
        ],
        "next_token": token,
    }
