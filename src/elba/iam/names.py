"""Finding named resources, and what is the same for all of IAM: documents, tags, pages, ARNs of AWS's own policies."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from elba.call import Answer, Call, Request
from elba.errors import ApiError
from elba.iam.resources import GLOBAL, Group, InstanceProfile, Policy, Role, ServerCertificate, Tags, User
from elba.store.interface import View

N = TypeVar("N", Role, InstanceProfile, User, Group, ServerCertificate)
T = TypeVar("T")

AWS_MANAGED = "arn:aws:iam::aws:policy/"
_AWS_MANAGED_ARN = re.compile(r"arn:aws:iam::aws:policy/([\w+=,.@-]+/)*[\w+=,.@-]{1,128}", re.ASCII)

MOST_TAGS = 50
DEFAULT_PAGE = 100


def no_such_entity(message: str) -> ApiError:
    return ApiError("NoSuchEntity", message, 404)


def already_exists(message: str) -> ApiError:
    return ApiError("EntityAlreadyExists", message, 409)


def delete_conflict(message: str) -> ApiError:
    return ApiError("DeleteConflict", message, 409)


def limit_exceeded(message: str) -> ApiError:
    return ApiError("LimitExceeded", message, 409)


def find(view: View, type_: type[N], account: str, name: str) -> N | None:
    """The named resource, spelt as it was created, or None."""
    found = view.get(type_, account, GLOBAL, name.lower())
    return found if found is not None and found.name == name else None


def require_role(view: View, call: Call, name: str) -> Role:
    """Raises: ApiError NoSuchEntity."""
    role = find(view, Role, call.account, name)
    if role is None:
        raise no_such_entity(f"The role with name {name} cannot be found.")
    return role


def require_profile(view: View, call: Call, name: str) -> InstanceProfile:
    """Raises: ApiError NoSuchEntity."""
    profile = find(view, InstanceProfile, call.account, name)
    if profile is None:
        raise no_such_entity(f"Instance Profile {name} cannot be found.")
    return profile


def require_user(view: View, call: Call, name: str) -> User:
    """Raises: ApiError NoSuchEntity."""
    user = find(view, User, call.account, name)
    if user is None:
        raise no_such_entity(f"The user with name {name} cannot be found.")
    return user


def require_group(view: View, call: Call, name: str) -> Group:
    """Raises: ApiError NoSuchEntity."""
    group = find(view, Group, call.account, name)
    if group is None:
        raise no_such_entity(f"The group with name {name} cannot be found.")
    return group


def require_server_certificate(view: View, call: Call, name: str) -> ServerCertificate:
    """Raises: ApiError NoSuchEntity."""
    certificate = find(view, ServerCertificate, call.account, name)
    if certificate is None:
        raise no_such_entity(f"The Server Certificate with name {name} cannot be found.")
    return certificate


def require_policy(view: View, call: Call, arn: str) -> Policy:
    """A customer managed policy of the caller's account. Raises: ApiError NoSuchEntity."""
    policy = view.get(Policy, call.account, GLOBAL, arn)
    if policy is None:
        raise no_such_entity(f"Policy {arn} was not found.")
    return policy


def is_aws_managed(arn: str) -> bool:
    """Whether the ARN is one of AWS's own policies. Elba keeps no list of them: any well-formed one is taken."""
    return _AWS_MANAGED_ARN.fullmatch(arn) is not None


def attachable(view: View, call: Call, arn: str) -> str:
    """The policy's ARN. Raises: ApiError NoSuchEntity, InvalidInput."""
    if is_aws_managed(arn) or view.get(Policy, call.account, GLOBAL, arn) is not None:
        return arn
    if not arn.startswith("arn:"):
        raise ApiError("InvalidInput", f"ARN {arn} is not valid.")
    raise no_such_entity(f"Policy {arn} does not exist or is not attachable.")


def parse_document(text: str, *, trust: bool = False) -> str:
    """`text`, if it is a policy document. Raises: ApiError MalformedPolicyDocument."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise _malformed("This policy contains invalid Json") from None
    statements = document.get("Statement") if isinstance(document, dict) else None
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise _malformed("Syntax errors in policy.")
    for statement in statements:
        if not isinstance(statement, dict) or statement.get("Effect") not in ("Allow", "Deny"):
            raise _malformed("Syntax errors in policy.")
        if not ("Action" in statement or "NotAction" in statement):
            raise _malformed("Policy statement must contain actions.")
        if trust:
            if "Resource" in statement or "NotResource" in statement:
                raise _malformed("Has prohibited field Resource")
            if not ("Principal" in statement or "NotPrincipal" in statement):
                raise _malformed("Missing required field Principal")
        else:
            if "Principal" in statement:
                raise _malformed("Policy document should not specify a principal.")
            if not ("Resource" in statement or "NotResource" in statement):
                raise _malformed("Policy statement must contain resources.")
    return text


def _malformed(message: str) -> ApiError:
    return ApiError("MalformedPolicyDocument", message)


def encode_document(text: str) -> str:
    """A policy document as answers carry it: URL-encoded (RFC 3986)."""
    return quote(text, safe="")


def tags_of(request: Request) -> Tags:
    """The request's tags. Raises: ApiError InvalidInput."""
    return merge_tags({}, request.get("tags", []))


def merge_tags(old: Tags, given: Iterable[Mapping[str, Any]]) -> Tags:
    """`old` with the given tags. Raises: ApiError InvalidInput, LimitExceeded."""
    tags, seen = dict(old), set()
    for tag in given:
        key = tag["key"]
        if key.lower() in seen:
            raise ApiError("InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
        if key.lower().startswith("aws:"):
            raise ApiError(
                "InvalidInput", "Value at 'tags.1.member.key' failed to satisfy constraint: reserved prefix aws:"
            )
        seen.add(key.lower())
        tags[key] = tag["value"]
    if len(tags) > MOST_TAGS:
        raise limit_exceeded(f"The number of tags has reached the maximum limit ({MOST_TAGS}).")
    return tags


def without_tags(old: Tags, keys: Iterable[str]) -> Tags:
    gone = set(keys)
    return {key: value for key, value in old.items() if key not in gone}


def tag_list(tags: Tags) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def page(items: Sequence[T], name_of: Callable[[T], str], request: Request) -> tuple[list[T], Answer]:
    """The asked page of `items` in order of name, and the members that tell of the next one.

    Raises: ApiError ValidationError for a marker that is none of ours.
    """
    ordered = sorted(items, key=name_of)
    marker = request.get("marker")
    if marker:
        try:
            after = base64.b64decode(marker, altchars=b"-_", validate=True).decode()
        except (binascii.Error, ValueError):
            raise ApiError("ValidationError", "Invalid Marker.") from None
        ordered = [item for item in ordered if name_of(item) > after]
    size = request.get("max_items", DEFAULT_PAGE)
    shown = ordered[:size]
    if len(ordered) > size:
        last = base64.urlsafe_b64encode(name_of(shown[-1]).encode()).decode()
        return shown, {"is_truncated": True, "marker": last}
    return shown, {"is_truncated": False}


def under_path(path: str, request: Request) -> bool:
    return path.startswith(request.get("path_prefix", "/"))
