"""Parameters by the names, versions and ARNs that requests give, and AWS's public ones."""

from __future__ import annotations

import hashlib

from elba.call import Call
from elba.ec2.images import public_parameters
from elba.errors import ApiError
from elba.ssm.resources import Parameter, ParameterVersion
from elba.store.interface import View

PUBLIC = "/aws/service/"
PUBLIC_TIME = 1_700_000_000.0


class PublicParameter(Parameter, frozen=True, kw_only=True):
    """One of AWS's own: it belongs to no account."""

    @property
    def arn(self) -> str:
        return f"arn:aws:ssm:{self.region}::parameter{self.id}"


def not_found() -> ApiError:
    return ApiError("ParameterNotFound", "")


def public(call: Call) -> list[Parameter]:
    """AWS's public parameters of the region."""
    return [_public(call, name, value) for name, value in public_parameters(call.region).items()]


def _public(call: Call, name: str, value: str) -> Parameter:
    return PublicParameter(
        account=call.account,
        region=call.region,
        id=name,
        type="String",
        value=value,
        version=1,
        last_modified=PUBLIC_TIME,
        modified_by="",
    )


def find(view: View, call: Call, name: str) -> Parameter | None:
    """The latest version of a parameter given by name or ARN, or None."""
    if name.startswith(PUBLIC):
        value = public_parameters(call.region).get(name)
        return None if value is None else _public(call, name, value)
    if name.startswith("arn:"):
        path = name.partition(":parameter/")[2]
        return find(view, call, "/" + path) or (find(view, call, path) if "/" not in path else None)
    return own(view, call, name)


def own(view: View, call: Call, name: str) -> Parameter | None:
    """The account's parameter of that name; at the top level "/name" and "name" are the same one."""
    found = view.get(Parameter, call.account, call.region, name)
    if found is None and "/" not in name.removeprefix("/"):
        other = name.removeprefix("/") if name.startswith("/") else "/" + name
        found = view.get(Parameter, call.account, call.region, other)
    return found


def require(view: View, call: Call, name: str) -> Parameter:
    """Raises: ApiError ParameterNotFound."""
    found = find(view, call, name)
    if found is None:
        raise not_found()
    return found


def select(view: View, call: Call, given: str) -> tuple[Parameter, str]:
    """The parameter at the version that `name:version` selects (the latest without), and the selector.

    Raises: ApiError ParameterNotFound, ParameterVersionNotFound.
    """
    head, separator, selector = given.rpartition(":")
    if not separator or (given.startswith("arn:") and "parameter/" not in head):
        return require(view, call, given), ""
    parameter = require(view, call, head)
    if selector == str(parameter.version):
        return parameter, f":{selector}"
    past = view.get(ParameterVersion, call.account, call.region, f"{parameter.id}:{selector}")
    if past is None:
        what = f"version {selector}" if selector.isdecimal() else f"label {selector}"
        raise ApiError(
            "ParameterVersionNotFound",
            f"Systems Manager could not find {what} of {parameter.id}. Verify the version and try again.",
        )
    return past.parameter, f":{selector}"


def shown_value(parameter: Parameter, decrypt: bool) -> str:
    """Its value; a SecureString's without decryption is a text that tells nothing but whether it changed."""
    if parameter.type != "SecureString" or decrypt:
        return parameter.value
    digest = hashlib.sha256(f"{parameter.arn} {parameter.version} {parameter.value}".encode()).hexdigest()
    return f"AQICAH{digest}"
