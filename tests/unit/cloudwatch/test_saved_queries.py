"""Metric data query definitions are kept, replaced, listed by pages and deleted."""

from __future__ import annotations

import re
from typing import Any

import pytest

from elba.cloudwatch import operations as api
from elba.cloudwatch.commands import saved_queries
from elba.errors import ApiError
from tests.unit.cloudwatch.bench import Bench


def put(bench: Bench, path: str, **more: Any) -> dict[str, Any]:
    request = {"path": path, "expression": "SUM(METRICS())", "type": "METRIC_MATH"} | more
    return dict(bench.run(api.put_metric_data_query_definition, **request))


def code(bench: Bench, operation: Any, **request: Any) -> str:
    with pytest.raises(ApiError) as caught:
        bench.run(operation, **request)
    return caught.value.code


def test_a_query_is_kept_and_replaced(bench: Bench) -> None:
    first = put(bench, "team/web", tags=[{"key": "k", "value": "v"}])
    assert bench.run(api.get_metric_data_query_definition, id=first["id"]) == first
    bench.advance(60)
    second = put(bench, "team/db", id=first["id"], expression="nobody ) checks", type="PROMQL")
    assert (second["id"], second["created_at"]) == (first["id"], first["created_at"])
    assert second["updated_at"] == first["updated_at"] + 60 and second["expression"] == "nobody ) checks"
    assert bench.run(api.list_tags_for_resource, resource_arn=first["arn"])["tags"] == [{"key": "k", "value": "v"}]
    put(bench, "team/web")
    assert code(bench, api.put_metric_data_query_definition, id=first["id"], path="team/web", expression="x",
                type="SQL") == "ConflictException"  # fmt: skip
    put(bench, "team/db", id=first["id"])
    for _ in range(2):
        bench.run(api.delete_metric_data_query_definition, id=first["id"])
    assert code(bench, api.get_metric_data_query_definition, id=first["id"]) == "ResourceNotFoundException"


def test_pages_have_tokens_of_the_modelled_form(bench: Bench) -> None:
    paths = {put(bench, f"p{i}")["path"] for i in range(5)}
    seen: set[str] = set()
    token: str | None = None
    for size in (2, 2, 1):
        answer = bench.run(api.list_metric_data_query_definitions, max_results=2, next_token=token)
        assert len(answer["items"]) == size and "expression" not in answer["items"][0]
        seen |= {item["path"] for item in answer["items"]}
        token = answer["next_token"]
        assert token is None or re.fullmatch("[A-Za-z0-9_-]{1,256}", token)
    assert seen == paths and token is None
    assert code(bench, api.list_metric_data_query_definitions, next_token="x") == "ValidationError"


def test_what_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    query = {"expression": "x", "type": "SQL"}
    for path in ("/a", "a/", "a//b", "é" * 508):
        assert code(bench, api.put_metric_data_query_definition, path=path, **query) == "ValidationError"
    put(bench, "é" * 507)
    assert code(bench, api.put_metric_data_query_definition, id="x", path="b", **query) == "ResourceNotFoundException"
    monkeypatch.setattr(saved_queries, "DEFINITIONS_MOST", 1)
    assert code(bench, api.put_metric_data_query_definition, path="c", **query) == "LimitExceededException"
