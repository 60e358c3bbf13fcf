"""Who may invoke a function, and its aliases. Source: Lambda API reference."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.errors import ApiError
from elba.lambda_.answers import alias_answer
from elba.lambda_.names import (
    check_revision,
    conflict,
    function_arn,
    invalid,
    not_found,
    require,
    require_latest,
)
from elba.lambda_.resources import LATEST, Alias, Function, ResourcePolicy
from elba.store.interface import Transaction, View

MOST_POLICY_BYTES = 20480


def policy_of(view: View, call: Call, name: str, qualifier: str) -> ResourcePolicy | None:
    return view.get(ResourcePolicy, call.account, call.region, f"{name}:{qualifier}" if qualifier else name)


def policy_document(policy: ResourcePolicy) -> str:
    document = {"Version": "2012-10-17", "Id": "default", "Statement": policy.statements}
    return msgspec.json.encode(document).decode()


def add_permission(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError ResourceNotFoundException, ResourceConflictException, InvalidParameterValueException,
    PreconditionFailedException, PolicyLengthExceededException."""
    function, qualifier = require(tx, call, request)
    if qualifier == LATEST:
        raise invalid("We currently do not support adding policies for $LATEST.")
    sid = request["statement_id"]
    old = policy_of(tx, call, function.name, qualifier)
    if old is not None:
        check_revision(request.get("revision_id"), old.revision_id)
        if any(statement["Sid"] == sid for statement in old.statements):
            raise conflict(
                f"The statement id ({sid}) provided already exists. Please provide a new statement id, or remove the "
                "existing statement."
            )
    statement: dict[str, Any] = {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": _principal(request["principal"]),
        "Action": request["action"],
        "Resource": function_arn(call, function.name, qualifier),
    }
    if condition := _condition(request):
        statement["Condition"] = condition
    policy = ResourcePolicy(
        account=call.account,
        region=call.region,
        id=f"{function.name}:{qualifier}" if qualifier else function.name,
        function_name=function.name,
        statements=[*(old.statements if old else []), statement],
        revision_id=call.ids.uuid(),
    )
    size = len(policy_document(policy))
    if size > MOST_POLICY_BYTES:
        raise ApiError(
            "PolicyLengthExceededException", f"The final policy size ({size}) is bigger than the limit (20480)."
        )
    tx.put(policy)
    return {"statement": msgspec.json.encode(statement).decode()}


def _principal(given: str) -> Any:
    if given == "*":
        return "*"
    if re.fullmatch(r"\d{12}", given):
        return {"AWS": f"arn:aws:iam::{given}:root"}
    if given.startswith("arn:"):
        return {"AWS": given}
    if re.fullmatch(r"[a-z0-9.-]+\.[a-z0-9.-]+", given):
        return {"Service": given}
    raise invalid(f"The provided principal was invalid. Please check the principal and try again: {given}")


def _condition(request: Request) -> dict[str, dict[str, str]]:
    condition: dict[str, dict[str, str]] = {}
    if account := request.get("source_account"):
        condition.setdefault("StringEquals", {})["AWS:SourceAccount"] = account
    if organisation := request.get("principal_org_id"):
        condition.setdefault("StringEquals", {})["aws:PrincipalOrgID"] = organisation
    if token := request.get("event_source_token"):
        condition.setdefault("StringEquals", {})["lambda:EventSourceToken"] = token
    if auth := request.get("function_url_auth_type"):
        condition.setdefault("StringEquals", {})["lambda:FunctionUrlAuthType"] = auth
    if arn := request.get("source_arn"):
        condition["ArnLike"] = {"AWS:SourceArn": arn}
    return condition


def remove_permission(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError ResourceNotFoundException, PreconditionFailedException."""
    function, qualifier = require(tx, call, request)
    policy = policy_of(tx, call, function.name, qualifier)
    sid = request["statement_id"]
    if policy is None or all(statement["Sid"] != sid for statement in policy.statements):
        raise ApiError("ResourceNotFoundException", f"Statement {sid} is not found in resource policy.", 404)
    check_revision(request.get("revision_id"), policy.revision_id)
    left = [statement for statement in policy.statements if statement["Sid"] != sid]
    if left:
        tx.put(replace(policy, statements=left, revision_id=call.ids.uuid()))
    else:
        tx.delete(policy)
    return {}


# ── aliases ──────────────────────────────────────────────────────────────────────────────────────────


def require_alias(view: View, call: Call, request: Request) -> Alias:
    """Raises: ApiError ResourceNotFoundException."""
    function = require_latest(view, call, request)
    alias = view.get(Alias, call.account, call.region, f"{function.name}:{request['name']}")
    if alias is None:
        arn = function_arn(call, function.name, request["name"])
        raise ApiError("ResourceNotFoundException", f"Cannot find alias arn: {arn}", 404)
    return alias


def _require_version(tx: Transaction, call: Call, name: str, version: str) -> None:
    id_ = name if version == LATEST else f"{name}:{version}"
    if tx.get(Function, call.account, call.region, id_) is None:
        raise not_found(function_arn(call, name, version))


def _weights(tx: Transaction, call: Call, name: str, version: str, request: Request) -> dict[str, float] | None:
    """The alias's further versions as the request gives them; None if it does not."""
    given = request.get("routing_config")
    if given is None:
        return None
    weights = {str(k): float(v) for k, v in (given.get("additional_version_weights") or {}).items()}
    if weights and version == LATEST:
        raise invalid("$LATEST is not supported for an alias pointing to more than 1 version")
    if len(weights) > 1:
        raise invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")
    for other, weight in weights.items():
        if other == version:
            raise invalid(f"Invalid function version {version}. Function version {version} is already included.")
        if not 0 <= weight <= 1:
            raise invalid("A version's weight must be between 0.0 and 1.0")
        _require_version(tx, call, name, other)
    return weights


def create_alias(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError ResourceNotFoundException, ResourceConflictException, InvalidParameterValueException."""
    function, name, version = require_latest(tx, call, request), request["name"], request["function_version"]
    _require_version(tx, call, function.name, version)
    weights = _weights(tx, call, function.name, version, request) or {}
    id_ = f"{function.name}:{name}"
    if tx.get(Alias, call.account, call.region, id_) is not None:
        raise conflict(f"Alias already exists: {function_arn(call, function.name, name)}")
    alias = Alias(
        account=call.account,
        region=call.region,
        id=id_,
        function_name=function.name,
        name=name,
        function_version=version,
        description=request.get("description", ""),
        weights=weights,
        revision_id=call.ids.uuid(),
    )
    tx.put(alias)
    return alias_answer(alias)


def update_alias(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError ResourceNotFoundException, PreconditionFailedException, InvalidParameterValueException."""
    alias = require_alias(tx, call, request)
    check_revision(request.get("revision_id"), alias.revision_id)
    version = request.get("function_version") or alias.function_version
    _require_version(tx, call, alias.function_name, version)
    weights = _weights(tx, call, alias.function_name, version, request)
    changed = replace(
        alias,
        function_version=version,
        description=request.get("description", alias.description),
        weights=alias.weights if weights is None else weights,
        revision_id=call.ids.uuid(),
    )
    tx.put(changed)
    return alias_answer(changed)


def delete_alias(tx: Transaction, call: Call, request: Request) -> Answer:
    """An alias that there is not is gone already."""
    function = require_latest(tx, call, request)
    id_ = f"{function.name}:{request['name']}"
    for owned in (
        tx.get(Alias, call.account, call.region, id_),
        tx.get(ResourcePolicy, call.account, call.region, id_),
    ):
        if owned is not None:
            tx.delete(owned)
    return {}
