"""AddTags, RemoveTags, and the tags that Create operations take. Source: elb-api.md A4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from elba.call import Answer, Call, Request
from elba.elbv2 import arns
from elba.elbv2.commands.lookup import (
    require_listener,
    require_load_balancer,
    require_rule,
    require_target_group,
    require_trust_store,
    validation_error,
)
from elba.elbv2.limits import TAGS_PER_RESOURCE
from elba.elbv2.resources import Listener, LoadBalancer, Rule, Tags, TargetGroup, TrustStore
from elba.errors import ApiError
from elba.store.interface import Transaction, View

Tagged = LoadBalancer | Listener | Rule | TargetGroup | TrustStore


def parse_tags(given: Iterable[Mapping[str, Any]] | None) -> Tags:
    """Tags of a request. Raises: DuplicateTagKeys, TooManyTags, ValidationError (reserved prefix)."""
    tags: Tags = {}
    for tag in given or ():
        key = tag["key"]
        if key in tags:
            raise ApiError("DuplicateTagKeys", f"A tag key was specified more than once: '{key}'")
        if key.lower().startswith("aws:"):
            raise validation_error(f"The tag key '{key}' is not valid: keys starting with 'aws:' are reserved")
        tags[key] = tag.get("value") or ""
    require_tag_quota(tags)
    return tags


def require_tag_quota(tags: Tags) -> None:
    """Raises: TooManyTags. AWS's own tags (`aws:…`) do not count."""
    if sum(not key.startswith("aws:") for key in tags) > TAGS_PER_RESOURCE:
        raise ApiError(
            "TooManyTags", f"The number of tags exceeds the limit of {TAGS_PER_RESOURCE} tags for the resource"
        )


def require_tagged(view: View, call: Call, arn: str) -> Tagged:
    """The resource whose tags are meant. Raises: ValidationError (malformed), the NotFound of its kind."""
    if arns.LOAD_BALANCER.fullmatch(arn):
        return require_load_balancer(view, call, arn)
    if arns.TARGET_GROUP.fullmatch(arn):
        return require_target_group(view, call, arn)
    if arns.LISTENER.fullmatch(arn):
        return require_listener(view, call, arn)
    if arns.RULE.fullmatch(arn):
        return require_rule(view, call, arn)
    if arns.TRUST_STORE.fullmatch(arn):
        return require_trust_store(view, call, arn)
    raise validation_error(f"'{arn}' is not a valid resource ARN")


def add_tags(tx: Transaction, call: Call, request: Request) -> Answer:
    """Adds tags to each resource, overwriting equal keys; all or nothing."""
    tags = parse_tags(request["tags"])
    for arn in dict.fromkeys(request["resource_arns"]):
        resource = require_tagged(tx, call, arn)
        merged = {**resource.tags, **tags}
        require_tag_quota(merged)
        tx.put(msgspec.structs.replace(resource, tags=merged))
    return {}


def remove_tags(tx: Transaction, call: Call, request: Request) -> Answer:
    """Removes keys from each resource; a key that is not there is passed over."""
    gone = set(request["tag_keys"])
    for arn in dict.fromkeys(request["resource_arns"]):
        resource = require_tagged(tx, call, arn)
        kept = {key: value for key, value in resource.tags.items() if key not in gone}
        tx.put(msgspec.structs.replace(resource, tags=kept))
    return {}
