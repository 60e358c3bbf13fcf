"""Dashboards: their bodies are kept as sent, and checked for what a console could not draw."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from elba.call import Answer, Call, Request
from elba.cloudwatch.commands.tags import GLOBAL
from elba.cloudwatch.limits import invalid, require_tags
from elba.cloudwatch.resources import Dashboard
from elba.cloudwatch.statistics import parse_statistic
from elba.cloudwatch.widgets import Message, message, resolve_rows
from elba.errors import ApiError
from elba.store.interface import Transaction

BODY_MOST_BYTES = 1024 * 1024
WIDGETS_MOST = 500
METRICS_MOST = 2500
DELETED_MOST = 100
COLUMNS = 24
HEIGHT_MOST = 1000
HIGH_RESOLUTION = (1, 5, 10, 20, 30)
MESSAGES_MOST = 100
"""How many validation errors the text of the error lists."""
VIEWS = frozenset(("timeSeries", "singleValue", "gauge", "bar", "pie", "table"))
_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")


def check_body(body: str) -> list[Message]:
    """What is wrong with a dashboard's body. Raises: ApiError InvalidParameterInput if it is no JSON object.

    The texts are those of the service.
    """
    if len(body.encode()) > BODY_MOST_BYTES:
        return [message("/", f"The dashboard body is larger than {BODY_MOST_BYTES} bytes")]
    try:
        document: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        document = None
    if not isinstance(document, dict):
        raise ApiError("InvalidParameterInput", "The field DashboardBody must be a valid JSON object")
    if "widgets" not in document:
        return [message("", "Should have required property 'widgets'")]
    widgets = document["widgets"]
    if not isinstance(widgets, list):
        return [message("/widgets", "Should be array")]
    if len(widgets) > WIDGETS_MOST:
        return [message("/widgets", f"Should NOT have more than {WIDGETS_MOST} items")]
    errors: list[Message] = []
    metrics = 0
    for i, widget in enumerate(widgets):
        path = f"/widgets/{i}"
        if not isinstance(widget, dict):
            errors.append(message(path, "Should be object"))
            continue
        _check_widget(path, widget, errors)
        properties = widget.get("properties")
        rows = properties.get("metrics") if isinstance(properties, dict) else None
        metrics += len(rows) if isinstance(rows, list) else 0
    if metrics > METRICS_MOST:
        errors.append(message("/widgets", f"A dashboard can have at most {METRICS_MOST} metrics"))
    return errors


def _check_widget(path: str, widget: Mapping[str, Any], errors: list[Message]) -> None:
    """Widgets of a type that is not known may have any properties."""
    type_ = widget.get("type")
    if type_ is None:
        errors.append(message(path, "Should have required property 'type'"))
    elif not isinstance(type_, str):
        errors.append(message(f"{path}/type", "Should be string"))
    for member, least, most in (
        ("x", 0, COLUMNS - 1),
        ("y", 0, None),
        ("width", 1, COLUMNS),
        ("height", 1, HEIGHT_MOST),
    ):
        value = widget.get(member)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            errors.append(message(f"{path}/{member}", "Should be integer"))
        elif value < least:
            errors.append(message(f"{path}/{member}", f"Should be >= {least}"))
        elif most is not None and value > most:
            errors.append(message(f"{path}/{member}", f"Should be <= {most}"))
    properties = widget.get("properties")
    if not isinstance(properties, dict):
        if "properties" not in widget:
            errors.append(message(path, "Should have required property 'properties'"))
        else:
            errors.append(message(f"{path}/properties", "Should be object"))
        return
    if type_ == "text" and not isinstance(properties.get("markdown"), str):
        errors.append(message(f"{path}/properties", "Should have required property 'markdown'"))
    if type_ == "alarm":
        alarms = properties.get("alarms")
        if alarms is None:
            errors.append(message(f"{path}/properties", "Should have required property 'alarms'"))
        elif not isinstance(alarms, list):
            errors.append(message(f"{path}/properties/alarms", "Should be array"))
        elif not alarms:
            errors.append(message(f"{path}/properties/alarms", "Should NOT have less than 1 items"))
    if type_ == "metric":
        _check_metric_widget(f"{path}/properties", properties, errors)


def _check_metric_widget(path: str, properties: Mapping[str, Any], errors: list[Message]) -> None:
    rows, annotated = properties.get("metrics"), isinstance(properties.get("annotations"), dict)
    if rows is None and not annotated:
        errors.append(message(path, "Should have required property 'metrics'"))
    if not annotated and (rows is None or not isinstance(properties.get("region"), str)):
        errors.append(
            message(path, "The metric widget should have specified a region and a data source or an alarm annotation")
        )
    if rows is None and not annotated:
        errors.append(message(path, "Should have required property 'annotations'"))
    if rows is not None:
        errors += resolve_rows(f"{path}/metrics", rows)[1]
    if properties.get("view") not in (None, *VIEWS):
        errors.append(message(f"{path}/view", "Should be equal to one of the allowed values"))
    errors += _wrong_period_and_stat(path, properties)
    axes = properties.get("yAxis")
    for side in ("left", "right"):
        axis = axes.get(side) if isinstance(axes, dict) else None
        low, high = (axis.get("min"), axis.get("max")) if isinstance(axis, dict) else (None, None)
        if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
            errors.append(message(f"{path}/yAxis/{side}/min", f"Should be <= {high}"))


def _wrong_period_and_stat(path: str, properties: Mapping[str, Any]) -> list[Message]:
    wrong: list[Message] = []
    period, stat = properties.get("period"), properties.get("stat")
    if period is not None and (not isinstance(period, int) or isinstance(period, bool)):
        wrong.append(message(f"{path}/period", "Should be integer"))
    elif period is not None and period not in HIGH_RESOLUTION and (period < 1 or period % 60):
        wrong.append(message(f"{path}/period", "Should be multiple of 60"))
    try:
        if stat is not None:
            parse_statistic(stat if isinstance(stat, str) else "")
    except ValueError:
        wrong.append(message(f"{path}/stat", "Should match pattern of a statistic"))
    return wrong


def require_dashboard_name(name: str | None) -> str:
    if name is None or _NAME.fullmatch(name) is None:
        raise invalid(
            "The value for field DashboardName contains invalid characters. "
            "It can only contain alphanumerics, dash (-) and underscore (_).\n"
        )
    return name


def dashboard_arn(call: Call, name: str) -> str:
    return call.arn("cloudwatch", f"dashboard/{name}", global_=True)


def put_dashboard(tx: Transaction, call: Call, request: Request) -> Answer:
    """Create or replace. Raises: ApiError InvalidParameterInput with the messages, InvalidParameterValue."""
    name = require_dashboard_name(request.get("dashboard_name"))
    body = request.get("dashboard_body") or ""
    errors = check_body(body)
    if errors:
        listed = [{"dataPath": e["data_path"], "message": e["message"]} for e in errors[:MESSAGES_MOST]]
        told = msgspec.json.format(msgspec.json.encode(listed), indent=2).decode()
        text = f"The dashboard body is invalid, there are {len(errors)} validation errors:\n{told}"
        raise ApiError("InvalidParameterInput", text, 400, fields={"dashboard_validation_messages": errors})
    old = tx.get(Dashboard, call.account, GLOBAL, name)
    tx.put(
        Dashboard(
            account=call.account,
            region=GLOBAL,
            id=name,
            arn=dashboard_arn(call, name),
            body=body,
            last_modified=call.now,
            tags=require_tags(request.get("tags")) if old is None else old.tags,
        )
    )
    return {"dashboard_validation_messages": []}


def require_dashboard(found: Dashboard | None, name: str) -> Dashboard:
    if found is None:
        # By its shape's name: on the wire its code is ResourceNotFound, as that of an alarm's.
        raise ApiError("DashboardNotFoundError", f"Dashboard {name} does not exist", 404)
    return found


def delete_dashboards(tx: Transaction, call: Call, request: Request) -> Answer:
    """All of the named, or none. Raises: ApiError DashboardNotFoundError, InvalidParameterValue."""
    names = list(dict.fromkeys(request.get("dashboard_names") or ()))
    if not 1 <= len(names) <= DELETED_MOST:
        raise invalid(f"The parameter DashboardNames must hold 1 to {DELETED_MOST} names.")
    for name in names:
        tx.delete(require_dashboard(tx.get(Dashboard, call.account, GLOBAL, name), name))
    return {}
