"""Metric data query definitions: saved queries, which nobody validates or runs.

Source: CloudWatch API reference, PutMetricDataQueryDefinition, DeleteMetricDataQueryDefinition.
"""

from __future__ import annotations

from elba.call import Answer, Call, Request
from elba.cloudwatch.limits import require_tags, validation_error
from elba.cloudwatch.resources import MetricDataQueryDefinition
from elba.errors import ApiError
from elba.store.interface import Transaction, View

DEFINITIONS_MOST = 1000
PATH_MOST_BYTES = 1015


def put_metric_data_query_definition(tx: Transaction, call: Call, request: Request) -> Answer:
    """Create one, or with Id replace its path, expression and type. Raises: ApiError."""
    path = request["path"]
    if path.startswith("/") or path.endswith("/") or "//" in path:
        raise validation_error("Path must not start or end with a slash, nor hold an empty folder name.")
    if len(path.encode()) > PATH_MOST_BYTES:
        raise validation_error(f"Path must not be longer than {PATH_MOST_BYTES} bytes.")
    id_ = request.get("id")
    old = require_definition(tx, call, id_) if id_ else None
    others = tx.all(MetricDataQueryDefinition, call.account, call.region)
    if any(other.path == path and other.id != id_ for other in others):
        raise ApiError("ConflictException", f"Another metric data query definition has the path {path}.", 409)
    if old is None and len(others) >= DEFINITIONS_MOST:
        raise ApiError(
            "LimitExceededException", f"An account can have at most {DEFINITIONS_MOST} metric data query definitions."
        )
    new_id = call.ids.uuid() if old is None else old.id
    definition = MetricDataQueryDefinition(
        account=call.account,
        region=call.region,
        id=new_id,
        arn=call.arn("cloudwatch", f"metric-query-definition/{new_id}"),
        path=path,
        expression=request["expression"],
        type=request["type"],
        created=call.now if old is None else old.created,
        updated=call.now,
        tags=require_tags(request.get("tags")) if old is None else old.tags,
    )
    tx.put(definition)
    return definition_answer(definition)


def delete_metric_data_query_definition(tx: Transaction, call: Call, request: Request) -> Answer:
    """One that is not there is no error."""
    found = tx.get(MetricDataQueryDefinition, call.account, call.region, request["id"])
    if found is not None:
        tx.delete(found)
    return {}


def require_definition(view: View, call: Call, id_: str) -> MetricDataQueryDefinition:
    """Raises: ApiError ResourceNotFoundException."""
    found = view.get(MetricDataQueryDefinition, call.account, call.region, id_)
    if found is None:
        raise ApiError("ResourceNotFoundException", f"The metric data query definition {id_} does not exist.", 404)
    return found


def definition_answer(definition: MetricDataQueryDefinition) -> Answer:
    return {
        "id": definition.id,
        "arn": definition.arn,
        "path": definition.path,
        "expression": definition.expression,
        "type": definition.type,
        "created_at": definition.created,
        "updated_at": definition.updated,
    }
