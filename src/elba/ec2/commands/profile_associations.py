"""Instance profiles of instances that are there already."""

from __future__ import annotations

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2.faults import missing, require
from elba.ec2.profiles import resolve_profile
from elba.ec2.queries.profile_associations import find_association, render_association
from elba.ec2.resources import Instance
from elba.errors import ApiError
from elba.store.interface import Transaction


def _with_profile(tx: Transaction, call: Call, instance: Instance, request: Request) -> Instance:
    profile = resolve_profile(tx, call, request.get("iam_instance_profile"))
    if profile is None:
        raise missing("IamInstanceProfile")
    changed = replace(
        instance,
        iam_instance_profile_arn=profile.arn,
        iam_instance_profile_id=profile.instance_profile_id,
    )
    tx.put(changed)
    return changed


def associate_iam_instance_profile(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError IncorrectState (it has one already, or is going), InvalidParameterValue."""
    instance = require(tx, call, Instance, request["instance_id"])
    if instance.state in ("shutting-down", "terminated"):
        raise ApiError("IncorrectInstanceState", f"The instance '{instance.id}' is not in a valid state.")
    if instance.iam_instance_profile_arn:
        raise ApiError("IncorrectState", f"There is an existing association for instance {instance.id}")
    changed = _with_profile(tx, call, instance, request)
    return {"iam_instance_profile_association": render_association(changed, "associating")}


def replace_iam_instance_profile_association(tx: Transaction, call: Call, request: Request) -> Answer:
    instance = find_association(tx, call, request["association_id"])
    changed = _with_profile(tx, call, instance, request)
    return {"iam_instance_profile_association": render_association(changed, "associating")}


def disassociate_iam_instance_profile(tx: Transaction, call: Call, request: Request) -> Answer:
    instance = find_association(tx, call, request["association_id"])
    tx.put(replace(instance, iam_instance_profile_arn="", iam_instance_profile_id=""))
    return {"iam_instance_profile_association": render_association(instance, "disassociating")}
