"""Messages: what may be published, and the forms in which endpoints get it."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from elba.call import Request
from elba.sns.lookup import invalid
from elba.sns.resources import Delivery, Subscription

MOST_BYTES = 262_144
MOST_SUBJECT = 100
UNSIGNED = "RWxiYSBkb2VzIG5vdCBzaWduIG1lc3NhZ2Vz"
"""What stands for a signature (base64 of a sentence that says that there is none)."""


def size(request: Request) -> int:
    """Bytes that count against the limit: the message and its attributes' names, types and values."""
    counted = len((request.get("message") or "").encode())
    for name, value in (request.get("message_attributes") or {}).items():
        texts = (name, value.get("data_type") or "", value.get("string_value") or "")
        counted += sum(len(text.encode()) for text in texts) + len(value.get("binary_value") or b"")
    return counted


def check_message(request: Request) -> dict[str, str]:
    """The message's text by protocol, with `default`. Raises: ApiError InvalidParameter."""
    message, subject = request.get("message") or "", request.get("subject")
    if not message:
        raise invalid("Empty message")
    if size(request) > MOST_BYTES:
        raise invalid("Message too long")
    if subject is not None and not re.fullmatch(rf"[\x20-\x7e]{{1,{MOST_SUBJECT}}}", subject):
        raise invalid("Subject")
    structure = request.get("message_structure")
    if not structure:
        return {"default": message}
    if structure != "json":
        raise invalid("MessageStructure")
    try:
        texts = json.loads(message)
    except ValueError:
        raise invalid("Message Structure - JSON message body failed to parse") from None
    if not isinstance(texts, dict) or not isinstance(texts.get("default"), str):
        raise invalid("Message Structure - No default entry in JSON message body")
    return {protocol: text for protocol, text in texts.items() if isinstance(text, str)}


def for_protocol(texts: Mapping[str, str], protocol: str) -> str:
    return texts.get(protocol, texts["default"])


def read_attributes(request: Request) -> dict[str, dict[str, Any]]:
    """Message attributes as they are stored. Raises: ApiError ParameterValueInvalid, InvalidParameter."""
    stored: dict[str, dict[str, Any]] = {}
    for name, value in (request.get("message_attributes") or {}).items():
        if not re.fullmatch(r"[A-Za-z0-9_\-.]{1,256}", name):
            raise invalid("Message attribute name")
        kind = value.get("data_type") or ""
        if not re.match(r"(String|Number|Binary)(\.|$)", kind):
            raise invalid(
                f"The message attribute '{name}' has an invalid message attribute type, the set of supported type "
                "prefixes is Binary, Number, and String."
            )
        if kind.startswith("Binary") and value.get("binary_value"):
            stored[name] = {"data_type": kind, "binary_value": b64encode(value["binary_value"]).decode()}
        elif not kind.startswith("Binary") and value.get("string_value"):
            stored[name] = {"data_type": kind, "string_value": value["string_value"]}
        else:
            raise invalid(f"The message attribute '{name}' must contain non-empty message attribute value.")
    return stored


def time_text(time: float) -> str:
    """`2012-05-02T00:54:06.655Z`."""
    moment = datetime.fromtimestamp(time, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def is_raw(subscription: Subscription) -> bool:
    return subscription.attributes.get("RawMessageDelivery", "false").lower() == "true"


def envelope(delivery: Delivery, subscription: Subscription, endpoint: str) -> str:
    """The JSON document around a message. Source: SNS developer guide, "HTTP/HTTPS notification JSON format"."""
    fields: dict[str, Any] = {"Type": delivery.kind, "MessageId": delivery.message_id}
    if delivery.kind != "Notification":
        fields["Token"] = subscription.token
    fields["TopicArn"] = delivery.topic_arn
    if delivery.subject is not None:
        fields["Subject"] = delivery.subject
    fields["Message"] = delivery.message
    if delivery.kind != "Notification":
        asked = {
            "Action": "ConfirmSubscription",
            "TopicArn": delivery.topic_arn,
            "Token": subscription.token,
            "Version": "2010-03-31",
        }
        fields["SubscribeURL"] = f"{endpoint}/?{urlencode(asked)}"
    fields |= {
        "Timestamp": time_text(delivery.published),
        "SignatureVersion": "1",
        "Signature": UNSIGNED,
        "SigningCertURL": f"{endpoint}/SimpleNotificationService-unsigned.pem",
    }
    if delivery.kind == "Notification":
        asked = {"Action": "Unsubscribe", "SubscriptionArn": subscription.id, "Version": "2010-03-31"}
        fields["UnsubscribeURL"] = f"{endpoint}/?{urlencode(asked)}"
        if delivery.attributes:
            fields["MessageAttributes"] = {
                name: {"Type": value["data_type"], "Value": value.get("string_value", value.get("binary_value"))}
                for name, value in delivery.attributes.items()
            }
    return json.dumps(fields, indent=2, ensure_ascii=False)
