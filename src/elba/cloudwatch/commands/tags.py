"""Tags of alarms, dashboards, metric streams, insight rules and mute rules."""

from __future__ import annotations

import msgspec

from elba.call import Answer, Call, Request
from elba.cloudwatch.limits import require_tags
from elba.cloudwatch.resources import (
    Alarm,
    AlarmMuteRule,
    CompositeAlarm,
    Dashboard,
    InsightRule,
    MetricDataQueryDefinition,
    MetricStream,
)
from elba.errors import ApiError
from elba.store.interface import Transaction, View

GLOBAL = "aws-global"


Taggable = Alarm | CompositeAlarm | Dashboard | MetricStream | InsightRule | AlarmMuteRule | MetricDataQueryDefinition


def find_taggable(view: View, call: Call, arn: str) -> Taggable | None:
    """The resource of that ARN; None if it is not there.

    Raises: ApiError ResourceNotFoundException if it is no ARN of this owner's CloudWatch.
    """
    found: Taggable | None = None
    if arn.startswith(prefix := call.arn("cloudwatch", "alarm:")):
        name = arn.removeprefix(prefix)
        found = view.get(Alarm, call.account, call.region, name) or view.get(
            CompositeAlarm, call.account, call.region, name
        )
    elif arn.startswith(prefix := call.arn("cloudwatch", "dashboard/", global_=True)):
        found = view.get(Dashboard, call.account, GLOBAL, arn.removeprefix(prefix))
    elif arn.startswith(prefix := call.arn("cloudwatch", "metric-stream/")):
        found = view.get(MetricStream, call.account, call.region, arn.removeprefix(prefix))
    elif arn.startswith(prefix := call.arn("cloudwatch", "insight-rule/")):
        found = view.get(InsightRule, call.account, call.region, arn.removeprefix(prefix))
    elif arn.startswith(prefix := call.arn("cloudwatch", "alarm-mute-rule:")):
        found = view.get(AlarmMuteRule, call.account, call.region, arn.removeprefix(prefix))
    elif arn.startswith(prefix := call.arn("cloudwatch", "metric-query-definition/")):
        found = view.get(MetricDataQueryDefinition, call.account, call.region, arn.removeprefix(prefix))
    else:
        raise ApiError("ResourceNotFoundException", "Unknown", 404)
    return found


def require_taggable(view: View, call: Call, arn: str) -> Taggable:
    """The resource of that ARN. Raises: ApiError ResourceNotFoundException."""
    found = find_taggable(view, call, arn)
    if found is None:
        raise ApiError("ResourceNotFoundException", "Unknown", 404)
    return found


def tag_resource(tx: Transaction, call: Call, request: Request) -> Answer:
    resource = require_taggable(tx, call, request["resource_arn"])
    tx.put(msgspec.structs.replace(resource, tags=require_tags(request.get("tags"), resource.tags)))
    return {}


def untag_resource(tx: Transaction, call: Call, request: Request) -> Answer:
    resource = require_taggable(tx, call, request["resource_arn"])
    gone = set(request.get("tag_keys") or ())
    tx.put(msgspec.structs.replace(resource, tags={k: v for k, v in resource.tags.items() if k not in gone}))
    return {}
