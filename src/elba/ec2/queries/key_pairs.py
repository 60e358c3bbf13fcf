"""Key pairs as the API shows them."""

from __future__ import annotations

from elba.call import Answer, Call, Request
from elba.ec2.filters import Fields, select
from elba.ec2.resources import KeyPair
from elba.ec2.tagging import tag_list
from elba.errors import ApiError
from elba.store.interface import View

_FIELDS: Fields[KeyPair] = {
    "key-pair-id": lambda k: k.id,
    "key-name": lambda k: k.key_name,
    "fingerprint": lambda k: k.key_fingerprint,
}


def describe_key_pairs(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidKeyPair.NotFound."""
    found = view.all(KeyPair, call.account, call.region)
    for member, what in (("key_names", "key pair"), ("key_pair_ids", "key pair ID")):
        wanted = request.get(member)
        if not wanted:
            continue
        known = {k.key_name if member == "key_names" else k.id for k in found}
        for one in wanted:
            if one not in known:
                raise ApiError("InvalidKeyPair.NotFound", f"The {what} '{one}' does not exist")
        found = [k for k in found if (k.key_name if member == "key_names" else k.id) in wanted]
    found = select(found, request.get("filters"), _FIELDS, lambda k: k.tags)
    return {
        "key_pairs": [
            {
                "key_pair_id": k.id,
                "key_name": k.key_name,
                "key_fingerprint": k.key_fingerprint,
                "key_type": k.key_type,
                "public_key": k.public_key if request.get("include_public_key") else None,
                "create_time": k.create_time,
                "tags": tag_list(k.tags),
            }
            for k in found
        ]
    }
