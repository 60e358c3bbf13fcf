"""Which instance has which instance profile. An association's id is derived from both."""

from __future__ import annotations

import hashlib

from elba.call import Answer, Call, Request
from elba.ec2.filters import Fields, page, select
from elba.ec2.resources import Instance
from elba.errors import ApiError
from elba.store.interface import View


def association_id(instance: Instance) -> str:
    """Changes when the profile does, as EC2's."""
    digest = hashlib.sha256(f"{instance.id}/{instance.iam_instance_profile_id}".encode()).hexdigest()
    return f"iip-assoc-0{digest[:16]}"


def associated(view: View, call: Call) -> list[Instance]:
    instances = view.all(Instance, call.account, call.region)
    return [i for i in instances if i.iam_instance_profile_arn and i.state != "terminated"]


def find_association(view: View, call: Call, id_: str) -> Instance:
    """Raises: ApiError InvalidAssociationID.NotFound."""
    for instance in associated(view, call):
        if association_id(instance) == id_:
            return instance
    raise ApiError("InvalidAssociationID.NotFound", f"The association ID '{id_}' does not exist")


def render_association(instance: Instance, state: str = "associated") -> Answer:
    return {
        "association_id": association_id(instance),
        "instance_id": instance.id,
        "iam_instance_profile": {
            "arn": instance.iam_instance_profile_arn,
            "id": instance.iam_instance_profile_id,
        },
        "state": state,
    }


_FIELDS: Fields[Instance] = {
    "instance-id": lambda i: i.id,
    "state": lambda i: "associated",
}


def describe_iam_instance_profile_associations(view: View, call: Call, request: Request) -> Answer:
    ids = request.get("association_ids")
    found = [find_association(view, call, id_) for id_ in ids] if ids else associated(view, call)
    part, token = page(select(found, request.get("filters"), _FIELDS), request)
    return {
        "iam_instance_profile_associations": [render_association(i) for i in part],
        "next_token": token,
    }
