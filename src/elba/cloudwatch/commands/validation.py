"""What PutMetricAlarm and PutCompositeAlarm check. Pure. Every function raises ApiError where it refuses.

Source: CloudWatch API reference, PutMetricAlarm, PutCompositeAlarm, MetricDataQuery.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from elba.call import Call, Request
from elba.cloudwatch.alarms import BAND_OPERATORS, STATIC_OPERATORS, parse_zone
from elba.cloudwatch.expressions.parser import ExpressionError, functions, names, parse
from elba.cloudwatch.insights import is_insights, parse_insights
from elba.cloudwatch.limits import (
    combination,
    invalid,
    is_metric_id,
    missing,
    require_dimensions,
    require_metric_name,
    require_namespace,
    require_number,
    require_unit,
    validation_error,
)
from elba.cloudwatch.statistics import SIMPLE, parse_statistic
from elba.errors import ApiError

ACTIONS_MOST = 5
INSIGHTS_MOST = 1
"""Metrics Insights queries of one request. Source: user guide, "Metrics Insights quotas"; the service's own text."""
DAY = 86400
WEEK = 7 * DAY
TREATMENTS = ("breaching", "notBreaching", "ignore", "missing")
SHORT_PERIODS = (10, 20, 30)
_UNBUILT = {
    "evaluation_criteria": "EvaluationCriteria",
    "evaluation_interval": "EvaluationInterval",
    "warm_up_configuration": "WarmUpConfiguration",
    "action_configuration": "ActionConfiguration",
}
_CLASSIC = {
    "metric_name": "MetricName",
    "namespace": "Namespace",
    "statistic": "Statistic",
    "extended_statistic": "ExtendedStatistic",
    "dimensions": "Dimensions",
    "period": "Period",
    "unit": "Unit",
}
_EC2_ACTION = re.compile(
    r"arn:aws[\w-]*:(?:automate:[a-z0-9-]+:ec2:(?:stop|terminate|reboot|recover)"
    r"|swf:[a-z0-9-]+:\d{12}:action/actions/AWS_EC2\.InstanceId\.(?:Stop|Terminate|Reboot|Recover)/1\.0)"
)
_OTHER_ACTIONS = {
    "autoscaling": re.compile(r"scalingPolicy:.+:policyName/.+"),
    "sns": re.compile(r"[A-Za-z0-9_.-]+"),
    "lambda": re.compile(r"function:.+"),
    "ssm": re.compile(r"opsitem:.+"),
    "aiops": re.compile(r"investigation-group/.+"),
    "ssm-incidents": re.compile(r"response-plan/.+"),
}


def require_alarm_name(name: str | None) -> str:
    if not name or len(name) > 255 or not name.isprintable():
        raise validation_error(
            f"1 validation error detected: Value '{name or ''}' at 'alarmName' failed to satisfy constraint: Member "
            "must have length between 1 and 255 and hold no control characters"
        )
    return name


def refuse_unbuilt(request: Request) -> None:
    for member, name in _UNBUILT.items():
        if request.get(member) is not None:
            raise validation_error(f"The parameter {name} is not supported.")


def require_actions(call: Call, request: Request, *, composite: bool) -> dict[str, list[str]]:
    """The three lists of action ARNs, each checked for its form, its region and its kind of alarm."""
    result: dict[str, list[str]] = {}
    for member, at in (
        ("ok_actions", "oKActions"),
        ("alarm_actions", "alarmActions"),
        ("insufficient_data_actions", "insufficientDataActions"),
    ):
        arns = list(request.get(member) or ())
        if len(arns) > ACTIONS_MOST:
            shown = ", ".join(arns)
            raise validation_error(
                f"1 validation error detected: Value '[{shown}]' at '{at}' failed to satisfy constraint: Member must "
                f"have length less than or equal to {ACTIONS_MOST}"
            )
        for arn in arns:
            _require_action(call, arn, composite, member)
        result[member] = arns
    return result


def _require_action(call: Call, arn: str, composite: bool, member: str) -> None:
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn" or not parts[1].startswith("aws"):
        raise validation_error(f"Invalid arn syntax: {arn}")
    service, region, resource = parts[2], parts[3], parts[5]
    ec2 = service in ("automate", "swf")
    if not ec2 and service not in _OTHER_ACTIONS:
        raise validation_error(f"Unsupported AWS vendor {service}")
    known = _EC2_ACTION.fullmatch(arn) if ec2 else _OTHER_ACTIONS[service].fullmatch(resource)
    if known is None:
        raise validation_error(f"Invalid arn syntax: {arn}")
    if service != "ssm-incidents" and region != call.region:
        raise validation_error(f"Invalid region {region} specified. Only {call.region} is supported.")
    if composite and (ec2 or service == "autoscaling"):
        raise validation_error("Composite alarms cannot have EC2 or Auto Scaling actions.")
    if service in ("ssm", "ssm-incidents") and member != "alarm_actions":
        raise validation_error(f"The action {arn} is allowed for the ALARM state only.")


def refuse_misplaced_actions(actions: Mapping[str, Sequence[str]], *, band: bool, instance: bool, math: bool) -> None:
    """EC2 actions need one InstanceId and no expression; scaling policies no anomaly band."""
    for arn in (arn for arns in actions.values() for arn in arns):
        service = arn.split(":")[2]
        if service in ("automate", "swf") and (math or not instance):
            raise validation_error(
                "Invalid use of EC2 action. An EC2 action can only be used if the alarm is monitoring an EC2 instance."
            )
        if service == "autoscaling" and band:
            raise validation_error("autoscaling actions not supported when ThresholdMetricId is set")


def require_period(period: int | None, *, most: int = WEEK) -> int:
    if period is None:
        raise validation_error("Period must not be null")
    if period not in SHORT_PERIODS and (period <= 0 or period % 60):
        raise validation_error("Period must be 10, 20, 30 or a multiple of 60")
    if period > most:
        raise validation_error(f"Period must not be greater than {most}.")
    return period


def require_periods(request: Request, period: int) -> tuple[int, int | None]:
    """EvaluationPeriods and DatapointsToAlarm."""
    periods = request.get("evaluation_periods")
    if periods is None:
        raise missing("The parameter EvaluationPeriods is required.")
    if periods < 1:
        raise validation_error("EvaluationPeriods must be at least 1.")
    most = WEEK if period >= 3600 else DAY
    if periods * period > most:
        raise validation_error(
            "Metrics cannot be checked across more than a week (EvaluationPeriods * Period must be <= 604800) for "
            "alarms using period >= 3600"
            if most == WEEK
            else "Metrics cannot be checked across more than a day (EvaluationPeriods * Period must be <= 86400)."
        )
    to_alarm = request.get("datapoints_to_alarm")
    if to_alarm is not None and to_alarm < 1:
        raise validation_error("DatapointsToAlarm must be at least 1.")
    if to_alarm is not None and to_alarm > periods:
        raise validation_error("DatapointsToAlarm must be less than or equal to EvaluationPeriods")
    return periods, to_alarm


def require_comparison(request: Request) -> tuple[str, float | None, str | None]:
    """ComparisonOperator, and Threshold or ThresholdMetricId, whichever it needs."""
    comparison = request.get("comparison_operator")
    threshold, band_id = request.get("threshold"), request.get("threshold_metric_id")
    if not comparison:
        raise missing("The parameter ComparisonOperator is required.")
    if threshold is not None and band_id is not None:
        raise validation_error("Threshold and ThresholdMetricId cannot both be set")
    if comparison in STATIC_OPERATORS:
        if band_id is not None:
            raise validation_error(f"ThresholdMetricId cannot be used with the comparison operator {comparison}.")
        if threshold is None:
            raise validation_error("PutMetricAlarm request should have valid Threshold parameter")
        return comparison, require_number(threshold, "Threshold"), None
    if comparison not in BAND_OPERATORS:
        raise validation_error(f"The comparison operator {comparison} is not supported.")
    if band_id is None:
        raise validation_error("ComparisonOperators for ranges require ThresholdMetricId to be set")
    return comparison, None, band_id


def require_treatment(request: Request, statistic: str | None) -> tuple[str | None, str | None]:
    """TreatMissingData and EvaluateLowSampleCountPercentile of an alarm on a statistic; None: on expressions."""
    treat = request.get("treat_missing_data")
    if treat is not None and treat not in TREATMENTS:
        raise validation_error(f"Option {treat} is not supported for the parameter TreatMissingData.")
    low = request.get("evaluate_low_sample_count_percentile")
    if low is not None:
        if low not in ("evaluate", "ignore"):
            raise validation_error(
                f"Option {low} is not supported. Supported options for parameter EvaluateLowSampleCountPercentile are "
                "evaluate and ignore."
            )
        if statistic is None or parse_statistic(statistic).kind != "p":
            raise validation_error(
                f"Option evaluateLowSampleCountPercentile can not be applied with statistic {statistic or 'null'}."
            )
    return treat, low


def require_window(request: Request) -> dict[str, Any] | None:
    """EvaluationWindow: exactly one kind, with a zone that is known."""
    window = request.get("evaluation_window")
    if window is None:
        return None
    kinds = [kind for kind in ("wall_clock_window", "sliding_window") if window.get(kind) is not None]
    if len(kinds) != 1:
        raise validation_error("EvaluationWindow must be either a WallClockWindow or a SlidingWindow.")
    zone = (window.get("wall_clock_window") or {}).get("timezone")
    if zone is not None:
        try:
            parse_zone(zone)
        except ValueError as error:
            raise validation_error(f"EvaluationWindow.WallClockWindow.Timezone: {error}.") from None
    return dict(window)


def require_classic(request: Request) -> dict[str, Any]:
    """The members of an alarm on one metric."""
    statistic, extended = request.get("statistic"), request.get("extended_statistic")
    if statistic is not None and extended is not None:
        raise combination("The parameters Statistic and ExtendedStatistic are mutually exclusive.")
    if not request.get("metric_name"):
        raise validation_error("MetricName must not be null")
    metric_name = require_metric_name(request.get("metric_name"))
    namespace = require_namespace(request.get("namespace"))
    if statistic is None and extended is None:
        raise missing("The parameter Statistic or the parameter ExtendedStatistic is required.")
    if statistic is not None and statistic not in SIMPLE:
        raise validation_error(f"The statistic {statistic} is not supported.")
    if extended is not None:
        require_extended_statistic(extended)
    require_dimensions(request.get("dimensions"), "Dimensions")
    return {
        "metric_name": metric_name,
        "namespace": namespace,
        "statistic": statistic,
        "extended_statistic": extended,
        "dimensions": [{"name": d["name"], "value": d["value"]} for d in request.get("dimensions") or ()],
        "period": require_period(request.get("period")),
        "unit": require_unit(request.get("unit")),
    }


def require_extended_statistic(text: str) -> str:
    try:
        statistic = parse_statistic(text)
    except ValueError:
        statistic = None
    if statistic is None or not statistic.extended:
        raise invalid(f"The value {text} for parameter ExtendedStatistic is not supported.")
    return text


def refuse_classic(request: Request) -> None:
    """With Metrics none of the members of an alarm on one metric may be given."""
    for member, name in _CLASSIC.items():
        if request.get(member):
            raise validation_error(f"{name} should not be set if list of Metrics is set.")


def require_metrics(queries: Sequence[Mapping[str, Any]], band_id: str | None) -> tuple[list[dict[str, Any]], int]:
    """The queries of an alarm, and the one period of all its metrics."""
    if len(queries) > 20:
        raise validation_error("An alarm can have at most 20 metrics and expressions.")
    for query in queries:
        if query.get("metric_stat") is not None:
            require_period(query["metric_stat"].get("period"))
    try:
        require_queries(queries)
    except ApiError as error:
        raise validation_error(f"Invalid metrics list: {error.message}") from None
    stats = [q for q in queries if q.get("metric_stat") is not None]
    expressions = [q for q in queries if q.get("expression") is not None]
    if len(stats) > 10:
        raise validation_error("Too many metrics in alarm, maximum is 10")
    if len(expressions) > 10:
        raise validation_error("Too many expressions in alarm, maximum is 10")
    by_id = {q["id"]: q for q in queries}
    if band_id is not None:
        band = by_id.get(band_id)
        if band is None or band.get("return_data") is False:
            raise validation_error(
                "Metrics list must contain exactly one metric matching the ThresholdMetricId parameter"
            )
        expression = band.get("expression")
        if not expression or is_insights(expression) or "ANOMALY_DETECTION_BAND" not in functions(parse(expression)):
            raise validation_error("ThresholdMetricId must be the Id of an ANOMALY_DETECTION_BAND expression.")
    returned = [q for q in queries if q.get("return_data") is not False and q["id"] != band_id]
    if len(returned) != 1:
        elements = "one element" if band_id is None else "two elements"
        raise validation_error(f"Exactly {elements} of the metrics list should return data.")
    expressions = [q for q in expressions if not is_insights(q["expression"])]
    for query in expressions:
        tree = parse(query["expression"])
        if "SEARCH" in functions(tree):
            raise validation_error("SEARCH is not supported on Metric Alarms.")
        if unknown := names(tree) - set(by_id):
            raise validation_error(f"Invalid metrics list: reference to unknown id {', '.join(sorted(unknown))}.")
    _refuse_circles(expressions)
    periods = {int(q["metric_stat"]["period"]) for q in stats}
    if len(periods) > 1:
        raise validation_error("All metrics of an alarm must have the same period.")
    period = require_period(periods.pop() if periods else max(q.get("period") or 0 for q in queries) or None)
    return [dict(q) for q in queries], period


def _refuse_circles(expressions: Sequence[Mapping[str, Any]]) -> None:
    uses = {q["id"]: names(parse(q["expression"])) for q in expressions}
    for start in uses:
        seen: set[str] = set()
        waiting = list(uses[start])
        while waiting:
            name = waiting.pop()
            if name == start:
                raise validation_error(f"Invalid metrics list: the expression {start} refers to itself.")
            if name not in seen:
                seen.add(name)
                waiting += uses.get(name, ())


def require_queries(queries: Sequence[Mapping[str, Any]]) -> None:
    """Each MetricDataQuery for itself, and that no Id is used twice; all that is wrong is told, a line for each."""
    wrong: list[str] = []
    for i, query in enumerate(queries, 1):
        wrong += _wrong_in_query(query, f"MetricDataQueries.member.{i}")
    if wrong:
        raise validation_error("".join(f"{line}\n" for line in wrong))
    if len({query["id"] for query in queries}) < len(queries):
        raise validation_error("The values for parameter id in MetricDataQueries are not unique.")
    expressions = {query["id"]: query["expression"] for query in queries if query.get("expression") is not None}
    if sum(is_insights(expression) for expression in expressions.values()) > INSIGHTS_MOST:
        raise validation_error(f"Maximum number of queries ({INSIGHTS_MOST}) exceeded")
    for id_, expression in expressions.items():
        require_expression(id_, expression)


def _wrong_in_query(query: Mapping[str, Any], at: str) -> list[str]:
    wrong: list[str] = []
    id_ = query.get("id") or ""
    if not is_metric_id(id_):
        wrong.append(
            f"The value {id_} for parameter {at}.Id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$."
        )
    stat, expression = query.get("metric_stat"), query.get("expression")
    if stat is None and expression is None:
        wrong.append(f"The parameter {at}.MetricStat is required.")
    if stat is not None and expression is not None:
        wrong.append(
            f"The parameters {at}.MetricStat and {at}.Expression are mutually exclusive and you have specified both."
        )
    if stat is not None:
        try:
            _require_metric_stat(at, stat)
        except ApiError as error:
            wrong.append(error.message)
    period = query.get("period")
    if period is not None and stat is not None:
        wrong.append(f"The parameter {at}.Period can be used with expressions only.")
    elif period is not None:
        try:
            require_query_period(period, f"{at}.Period")
        except ApiError as error:
            wrong.append(error.message)
    return wrong


def require_expression(id_: str, expression: str) -> None:
    try:
        if is_insights(expression):
            parse_insights(expression)
        else:
            parse(expression)
    except ExpressionError as error:
        raise validation_error(f"Error in expression '{id_}': {error}") from None


def _require_metric_stat(at: str, stat: Mapping[str, Any]) -> None:
    metric = stat.get("metric") or {}
    require_metric_name(metric.get("metric_name"), f"{at}.MetricStat.Metric.MetricName")
    require_namespace(metric.get("namespace"), f"{at}.MetricStat.Metric.Namespace")
    require_dimensions(metric.get("dimensions"), f"{at}.MetricStat.Metric.Dimensions")
    require_unit(stat.get("unit"), f"{at}.MetricStat.Unit")
    require_query_period(stat.get("period"), f"{at}.MetricStat.Period")
    try:
        parse_statistic(stat.get("stat") or "")
    except ValueError:
        raise validation_error(
            f"The value {stat.get('stat')} for parameter {at}.MetricStat.Stat is not a valid statistic."
        ) from None


def require_query_period(period: int | None, where: str) -> int:
    if period is None:
        raise missing(f"The parameter {where} is required.")
    if period not in (1, 5, 10, 20, 30) and (period <= 0 or period % 60):
        raise validation_error(f"The parameter {where} must be 1, 5, 10, 20, 30 or a multiple of 60.")
    return period
