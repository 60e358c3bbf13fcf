"""DescribeAlarmContributors."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

import msgspec

from elba.call import Answer, Call, Request
from elba.cloudwatch.alarms import ALARM, period_of, reason, state_of
from elba.cloudwatch.anomaly import bands_of
from elba.cloudwatch.paging import page
from elba.cloudwatch.resources import Alarm, CompositeAlarm
from elba.cloudwatch.series import SeriesEngine
from elba.cloudwatch.watching import Watch, grouped_query
from elba.errors import ApiError
from elba.store.interface import View

CONTRIBUTORS_PER_PAGE = 100
SHORT_SECONDS = 10


def describe_alarm_contributors(engine: SeriesEngine, view: View, call: Call, request: Request, lag: float) -> Answer:
    """The series of an alarm on a query with GROUP BY that are in ALARM; an alarm on one series has none.

    `lag` is how long after its end a period is judged. Raises: ApiError ResourceNotFoundException.
    """
    name = request["alarm_name"]
    alarm = view.get(Alarm, call.account, call.region, name)
    if alarm is None and view.get(CompositeAlarm, call.account, call.region, name) is None:
        raise ApiError("ResourceNotFoundException", f"The alarm {name} does not exist.", 404)
    found: list[tuple[str, Answer]] = []
    if alarm is not None and grouped_query(alarm) is not None:
        step = 60 if period_of(alarm) >= 60 else SHORT_SECONDS
        end = math.floor((call.now - lag) / step) * step
        for each in Watch(engine, bands_of(engine, view)).contributors(alarm, end):
            if state_of(alarm, each.points) == ALARM:
                id_ = _identifier(each.attributes)
                answer: Answer = {
                    "contributor_id": id_,
                    "contributor_attributes": dict(each.attributes),
                    "state_reason": reason(alarm, each.points, ALARM),
                }
                found.append((id_, answer))
    found.sort(key=lambda item: item[0])
    taken, token = page(found, lambda item: item[0], request.get("next_token"), CONTRIBUTORS_PER_PAGE)
    return {"alarm_contributors": [answer for _, answer in taken], "next_token": token}


def _identifier(attributes: Mapping[str, str]) -> str:
    """Sixteen characters that stay the same as long as the labels do."""
    return hashlib.sha256(msgspec.json.encode(sorted(attributes.items()))).hexdigest()[:16]
