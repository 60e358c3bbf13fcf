"""Access log lines are read as they were meant: the golden files of crates/elba-core/tests/access_log_golden.rs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from elba.access_log import FIELDS, BadLine, parse, summary

FOLDER = Path(__file__).parents[2] / "golden" / "access_log"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def golden(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return content


@pytest.mark.parametrize("name", NAMES)
def test_golden_lines(name: str) -> None:
    case = golden(name)
    record, fields = case["record"], parse(case["line"])
    assert tuple(fields) == FIELDS and len(FIELDS) == 33

    def milliseconds(micros: int | None) -> float | None:
        return None if micros is None else round(micros / 1e6, 3)

    same = {
        "type": record["kind"],
        "elb": record["load_balancer"],
        "client:port": record["client"],
        "target:port": record["target"],
        "request_processing_time": milliseconds(record["request_time"]),
        "target_processing_time": milliseconds(record["target_time"]),
        "response_processing_time": milliseconds(record["response_time"]),
        "elb_status_code": record["status"],
        "target_status_code": record["target_status"],
        "received_bytes": record["received_bytes"],
        "sent_bytes": record["sent_bytes"],
        "request": case["request"],
        "user_agent": record["user_agent"] or None,
        "ssl_cipher": record["ssl_cipher"] or None,
        "target_group_arn": record["target_group_arn"] or None,
        "trace_id": record["trace_id"] or None,
        "domain_name": record["domain_name"] or None,
        "matched_rule_priority": record["rule_priority"],
        "actions_executed": record["actions"] or None,
        "redirect_url": record["redirect_url"] or None,
        "target:port_list": record["target"],
        "classification_reason": record["classification"] or None,
        "conn_trace_id": "TID_" + record["connection_trace"],
        "transformed_host": record["transformed_host"] or None,
        "request_transform_status": record["transform_status"] or None,
    }
    assert {name: fields[name] for name in same} == same


def test_unknown_fields_at_the_end_are_ignored() -> None:
    line = golden("forward")["line"]
    assert parse(line + ' "new" 7\n') == parse(line)


@pytest.mark.parametrize("line", ["", "http", '"open', golden("forward")["line"].replace(" 1093 ", " many ")])
def test_what_is_no_line_is_told(line: str) -> None:
    with pytest.raises(BadLine):
        parse(line)


def test_summaries() -> None:
    assert summary(parse(golden("forward")["line"])) == (
        "2025-03-14T09:26:53.589793Z 200   13ms 198.51.100.23:40112 → 10.0.4.17:8080"
        " GET http://shop.example:80/cart?id=7 HTTP/1.1"
    )
    assert "460    1ms 198.51.100.23:40112 → 10.0.4.17:8080 (target: no answer) GET" in summary(
        parse(golden("client_gone")["line"])
    )
    assert "404      - 198.51.100.23:40112 → fixed-response GET" in summary(parse(golden("fixed_response")["line"]))
