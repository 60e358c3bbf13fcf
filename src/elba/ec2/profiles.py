"""Instance profiles and SSM parameters, as far as launching needs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elba.call import Call
from elba.ec2.faults import invalid
from elba.errors import ApiError
from elba.iam.resources import GLOBAL, InstanceProfile
from elba.store.interface import View


def resolve_profile(view: View, call: Call, spec: Mapping[str, Any] | None) -> InstanceProfile | None:
    """The profile that `{arn}` or `{name}` names; None if neither is given.

    Raises: ApiError InvalidParameterValue (Terraform waits on the text), InvalidParameterCombination.
    """
    arn, name = (spec or {}).get("arn"), (spec or {}).get("name")
    if not arn and not name:
        return None
    if arn and name:
        raise ApiError(
            "InvalidParameterCombination",
            "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'",
        )
    plain = name or str(arn).rsplit("/", 1)[-1]
    found = find_profile(view, call.account, plain)
    if name and found is None:
        raise invalid(name, "iamInstanceProfile.name", "Invalid IAM Instance Profile name")
    if arn and (found is None or found.arn != arn):
        raise invalid(arn, "iamInstanceProfile.arn", "Invalid IAM Instance Profile ARN")
    return found


def find_profile(view: View, account: str, name: str) -> InstanceProfile | None:
    """IAM names are unique regardless of case, and looked up as they are spelt."""
    for id_ in (name, name.lower()):
        found = view.get(InstanceProfile, account, GLOBAL, id_)
        if found is not None and found.name == name:
            return found
    return None
