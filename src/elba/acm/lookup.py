"""Finding certificates, who uses them, and whether they are valid. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from elba.acm.resources import AUTHORITY_ID, OF_ELBA, Authority, Certificate
from elba.call import Call
from elba.elbv2.resources import Listener
from elba.errors import ApiError
from elba.store.interface import View

WORLD_NOW = "world_now"
"""The request member in which an operation tells a command the world's time: certificates are judged by it."""

_ARN = re.compile(r"arn:aws[a-z-]*:acm:[a-z0-9-]+:[0-9]{12}:certificate/[A-Za-z0-9-]+")


def validation_error(message: str) -> ApiError:
    return ApiError("ValidationException", message)


def require_certificate(view: View, call: Call, arn: str) -> Certificate:
    """Raises: InvalidArnException, ResourceNotFoundException."""
    if not _ARN.fullmatch(arn):
        raise ApiError("InvalidArnException", f"The ARN '{arn}' is not a certificate's.")
    found = view.get(Certificate, call.account, call.region, arn)
    if found is None:
        raise ApiError("ResourceNotFoundException", f"Could not find certificate {arn}.")
    return found


def authority_of(view: View) -> Authority | None:
    """This Elba's certificate authority; None until something was asked of it."""
    return view.get(Authority, OF_ELBA, OF_ELBA, AUTHORITY_ID)


def users_by_certificate(view: View, account: str, region: str) -> Mapping[str, list[str]]:
    """The ARNs of the load balancers that use each certificate."""
    users: dict[str, dict[str, None]] = {}
    for listener in view.all(Listener, account, region):
        for arn in listener.certificates:
            users.setdefault(arn, {})[listener.load_balancer_arn] = None
    return {arn: list(balancers) for arn, balancers in users.items()}


def status_of(certificate: Certificate, world_now: float) -> str:
    """ISSUED, or EXPIRED when its time is over."""
    return "EXPIRED" if world_now > certificate.facts.not_after else "ISSUED"
