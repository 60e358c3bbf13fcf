"""GetMetricDataQueryDefinition, ListMetricDataQueryDefinitions."""

from __future__ import annotations

from elba.call import Answer, Call, Request
from elba.cloudwatch.commands.saved_queries import definition_answer, require_definition
from elba.cloudwatch.limits import validation_error
from elba.cloudwatch.resources import MetricDataQueryDefinition
from elba.store.interface import View

RESULTS_DEFAULT = 100


def get_metric_data_query_definition(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError ResourceNotFoundException."""
    return definition_answer(require_definition(view, call, request["id"]))


def list_metric_data_query_definitions(view: View, call: Call, request: Request) -> Answer:
    """In order of their ids, which are the tokens too. Raises: ApiError ValidationError."""
    after = request.get("next_token") or ""
    if after and view.get(MetricDataQueryDefinition, call.account, call.region, after) is None and len(after) != 36:
        raise validation_error("The token is not one that this operation returned.")
    found = [d for d in view.all(MetricDataQueryDefinition, call.account, call.region) if d.id > after]
    found.sort(key=lambda definition: definition.id)
    taken = found[: request.get("max_results") or RESULTS_DEFAULT]
    items = [{"id": each.id, "path": each.path, "type": each.type, "updated_at": each.updated} for each in taken]
    return {"items": items, "next_token": taken[-1].id if len(taken) < len(found) else None}
