"""The rows of a metric widget: `["AWS/EC2", "CPUUtilization", "InstanceId", "i-1", {"stat": "Maximum"}]`. Pure.

The texts of the messages are those recorded from the service. Source: CloudWatch API reference, "Dashboard Body
Structure and Syntax" and "Metric Widget Structure and Syntax".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COLOR = re.compile(r"#(?:[0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})")
SAME, REST = ".", "..."

Message = dict[str, str]


def message(path: str, text: str) -> Message:
    return {"data_path": path, "message": text}


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One row with all repetitions resolved; `fields` is empty for an expression."""

    fields: tuple[str, ...]
    rendering: Mapping[str, Any]

    @property
    def dimensions(self) -> list[dict[str, str]]:
        names, values = self.fields[2::2], self.fields[3::2]
        return [{"name": name, "value": value} for name, value in zip(names, values, strict=True)]


def resolve_rows(path: str, rows: object) -> tuple[list[MetricRow], list[Message]]:
    """The rows, and what is wrong with those that are left out. `path` is where the rows stand in the document."""
    if not isinstance(rows, list):
        return [], [message(path, "Should be array")]
    found: list[MetricRow] = []
    errors: list[Message] = []
    before: tuple[str, ...] = ()
    for i, row in enumerate(rows):
        at = f"{path}/{i}"
        if not isinstance(row, list):
            errors.append(message(at, "Should be array"))
            text = 'Field "metrics" has to be an array of array of strings, with an optional metricRenderer object '
            errors.append(message(at, text + "as last element"))
            continue
        if not row:
            errors.append(message(at, "Should NOT have less than 1 items"))
            continue
        rendering = row[-1] if isinstance(row[-1], dict) else {}
        fields = row[:-1] if isinstance(row[-1], dict) else row
        wrong = _wrong_fields(at, fields, before, rendering)
        if wrong:
            errors += wrong
            continue
        if fields:
            before = _repeated(fields, before)
            found.append(MetricRow(before, rendering))
        else:
            found.append(MetricRow((), rendering))
    return found, errors


def _wrong_fields(
    at: str, fields: Sequence[object], before: Sequence[str], rendering: Mapping[str, Any]
) -> list[Message]:
    wrong = [
        message(f"{at}/{place}", 'Invalid metric field type, only "String" type is allowed')
        for place, each in enumerate(fields)
        if not isinstance(each, str) or not each
    ]
    if wrong:
        return wrong
    if not fields:
        expression = rendering.get("expression")
        if isinstance(expression, str) and expression:
            return []
        return [message(at, "Should NOT have less than 2 items")]
    size = len(_repeated([str(each) for each in fields], before))
    if size < 2:
        return [message(at, "Should NOT have less than 2 items")]
    if size % 2:
        return [message(at, f"Should NOT have more than {size - 1 + bool(rendering)} items")]
    color = rendering.get("color")
    if color is not None and (not isinstance(color, str) or COLOR.fullmatch(color) is None):
        # The rendering is then none, and an element too many.
        return [message(at, f"Should NOT have more than {size} items")]
    return []


def _repeated(fields: Sequence[str], before: Sequence[str]) -> tuple[str, ...]:
    """`.` is the field above; `...` all fields above that are not written after it."""
    result: list[str] = []
    for place, each in enumerate(fields):
        if each == REST:
            after = len(fields) - place - 1
            result += before[len(result) : max(len(result), len(before) - after)]
        elif each == SAME and len(result) < len(before):
            result.append(before[len(result)])
        else:
            result.append(each)
    return tuple(result)
