"""What queue attributes and messages may be."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from elba.call import Request
from elba.errors import ApiError
from elba.sqs.lookup import invalid

RANGES = {
    "VisibilityTimeout": (0, 43_200),
    "MaximumMessageSize": (1024, 1_048_576),
    "MessageRetentionPeriod": (60, 1_209_600),
    "DelaySeconds": (0, 900),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "KmsDataKeyReusePeriodSeconds": (60, 86_400),
}
TEXTS = ("Policy", "RedrivePolicy", "RedriveAllowPolicy", "KmsMasterKeyId", "SqsManagedSseEnabled")
FIFO = ("FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit")
MOST_ATTRIBUTES = 10
MOST_VISIBILITY_SECONDS = 43_200
_CONTENTS = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def check_attributes(attributes: Mapping[str, str]) -> dict[str, str]:
    """The attributes to keep; an empty text clears one. Raises: ApiError."""
    for name, value in attributes.items():
        if name in FIFO:
            if value != "false" and value:
                raise ApiError("UnsupportedOperation", "FIFO queues are not part of this Elba.")
        elif name in RANGES:
            low, high = RANGES[name]
            if value and not (re.fullmatch(r"[0-9]{1,9}", value) and low <= int(value) <= high):
                raise ApiError("InvalidAttributeValue", f"Invalid value for the parameter {name}.")
        elif name not in TEXTS:
            raise ApiError("InvalidAttributeName", f"Unknown Attribute {name}.")
        elif name == "RedrivePolicy" and value:
            redrive(value)
        elif name in ("Policy", "RedriveAllowPolicy") and value:
            try:
                json.loads(value)
            except ValueError:
                raise ApiError("InvalidAttributeValue", f"Invalid value for the parameter {name}.") from None
    kept = {name: value for name, value in attributes.items() if name not in FIFO}
    return {**kept, "Policy": policy_as_kept(kept["Policy"])} if kept.get("Policy") else kept


def policy_as_kept(text: str) -> str:
    """A policy whose only statement stands alone is kept with a list of one, as SQS gives it back."""
    document = json.loads(text)
    if not isinstance(document, dict) or not isinstance(document.get("Statement"), dict):
        return text
    return json.dumps({**document, "Statement": [document["Statement"]]}, separators=(",", ":"))


def redrive(policy: str) -> tuple[str, int]:
    """(ARN of the dead letter queue, receives before a message goes there). Raises: ApiError."""
    try:
        read = json.loads(policy)
        target, count = str(read["deadLetterTargetArn"]), int(read["maxReceiveCount"])
    except (ValueError, KeyError, TypeError):
        target, count = "", 0
    if not 1 <= count <= 1000 or ":sqs:" not in target:
        raise ApiError("InvalidAttributeValue", f"Value {policy} for parameter RedrivePolicy is invalid.")
    return target, count


def check_body(body: str, attributes: Mapping[str, Mapping[str, Any]], most: int) -> None:
    """Raises: ApiError InvalidMessageContents, InvalidParameterValue, MissingParameter."""
    if not body:
        raise ApiError("MissingParameter", "The request must contain the parameter MessageBody.")
    if _CONTENTS.search(body):
        raise ApiError(
            "InvalidMessageContents",
            "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | "
            "#xE000 to #xFFFD | #x10000 to #x10FFFF",
        )
    if size(body, attributes) > most:
        raise invalid(f"One or more parameters are invalid. Reason: Message must be shorter than {most} bytes.")


def size(body: str, attributes: Mapping[str, Mapping[str, Any]]) -> int:
    """What a message counts in bytes: its body and its attributes' names, types and values."""
    return len(body.encode()) + sum(
        len(name.encode()) + len(str(v["data_type"])) + len(str(v.get("string_value") or v.get("binary_value") or ""))
        for name, v in attributes.items()
    )


def read_message_attributes(request: Request) -> dict[str, dict[str, Any]]:
    """Message attributes in their stored form. Raises: ApiError InvalidParameterValue."""
    given: Mapping[str, Mapping[str, Any]] = request.get("message_attributes") or {}
    if len(given) > MOST_ATTRIBUTES:
        raise invalid(f"Number of message attributes [{len(given)}] exceeds the allowed maximum [{MOST_ATTRIBUTES}].")
    stored: dict[str, dict[str, Any]] = {}
    for name, value in given.items():
        if not re.fullmatch(r"[A-Za-z0-9_\-.]{1,256}", name):
            raise invalid(
                "Message (user) attribute name can only contain the following characters: A-Z, a-z, 0-9, "
                "underscore (_), hyphen (-), and period (.)."
            )
        kind = value.get("data_type") or ""
        if not re.match(r"(String|Number|Binary)(\.|$)", kind):
            raise invalid(
                f"The message attribute '{name}' has an invalid message attribute type, the set of supported type "
                "prefixes is Binary, Number, and String."
            )
        if kind.startswith("Binary"):
            if not value.get("binary_value"):
                raise invalid(f"Message (user) attribute '{name}' must contain a non-empty value of type 'Binary'.")
            stored[name] = {"data_type": kind, "binary_value": b64encode(value["binary_value"]).decode()}
            continue
        text = value.get("string_value")
        if not text:
            word = "Number" if kind.startswith("Number") else "String"
            raise invalid(f"Message (user) attribute '{name}' must contain a non-empty value of type '{word}'.")
        if kind.startswith("Number") and not re.fullmatch(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?", text):
            raise invalid(f"Could not cast message attribute '{name}' value to number.")
        stored[name] = {"data_type": kind, "string_value": text}
    return stored
