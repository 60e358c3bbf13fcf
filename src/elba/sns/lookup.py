"""Topics and subscriptions by ARN, which endpoints are near, and SNS's refusals."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from elba.call import Call
from elba.errors import ApiError
from elba.sns.resources import Subscription, Topic
from elba.store.interface import View


def invalid(what: str) -> ApiError:
    return ApiError("InvalidParameter", f"Invalid parameter: {what}")


def topic_unknown() -> ApiError:
    return ApiError("NotFound", "Topic does not exist", 404)


def check_topic_arn(call: Call, arn: str) -> None:
    """Raises: ApiError InvalidParameter for what is no topic ARN of this region."""
    parts = arn.split(":")
    if len(parts) < 6:
        raise invalid(f"TopicArn Reason: An ARN must have at least 6 elements, not {len(parts)}")
    if len(parts) > 6 or parts[0] != "arn" or parts[2] != "sns" or not parts[5] or parts[3] != call.region:
        raise invalid("TopicArn")


def require_topic(view: View, call: Call, arn: str) -> Topic:
    """Raises: ApiError InvalidParameter, NotFound, AuthorizationError for another account's."""
    check_topic_arn(call, arn)
    topic = view.get(Topic, call.account, call.region, arn)
    if topic is None:
        if view.get(Topic, arn.split(":")[4], call.region, arn) is not None:
            raise ApiError("AuthorizationError", f"User: {call.caller_arn} is not authorized on resource: {arn}", 403)
        raise topic_unknown()
    return topic


def require_subscription(view: View, call: Call, arn: str) -> Subscription:
    """Raises: ApiError InvalidParameter, NotFound."""
    parts = arn.split(":")
    if len(parts) < 6:
        raise invalid(f"SubscriptionArn Reason: An ARN must have at least 6 elements, not {len(parts)}")
    if len(parts) != 7 or parts[0] != "arn" or parts[2] != "sns":
        raise invalid("SubscriptionId")
    found = view.get(Subscription, call.account, call.region, arn)
    if found is None:
        raise ApiError("NotFound", "Subscription does not exist", 404)
    return found


def is_near(endpoint: str) -> bool:
    """Whether a URL names this machine: a loopback address, `localhost` or a name under it."""
    try:
        host = urlsplit(endpoint).hostname or ""
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
