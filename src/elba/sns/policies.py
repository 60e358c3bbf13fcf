"""Delivery policies: when a message that an endpoint did not take is tried again. Source: SNS developer guide,
"Message delivery retries" and "Creating an HTTP/S delivery policy"."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

DEFAULT_RETRY: Mapping[str, Any] = {
    "minDelayTarget": 20,
    "maxDelayTarget": 20,
    "numRetries": 3,
    "numMaxDelayRetries": 0,
    "numNoDelayRetries": 0,
    "numMinDelayRetries": 0,
    "backoffFunction": "linear",
}
FUNCTIONS = ("linear", "arithmetic", "geometric", "exponential")


def effective_topic_policy(text: str | None) -> dict[str, Any]:
    """A topic's policy with all that it left out. `text` was checked."""
    http = (json.loads(text) if text else {}).get("http", {})
    return {
        "http": {
            "defaultHealthyRetryPolicy": {**DEFAULT_RETRY, **http.get("defaultHealthyRetryPolicy", {})},
            "disableSubscriptionOverrides": http.get("disableSubscriptionOverrides", False),
            "defaultRequestPolicy": {
                "headerContentType": "text/plain; charset=UTF-8",
                **http.get("defaultRequestPolicy", {}),
            },
        }
    }


def effective_subscription_policy(topic: str | None, own: str | None) -> dict[str, Any]:
    """What holds for an HTTP subscription: its own policy over its topic's."""
    http = effective_topic_policy(topic)["http"]
    given = json.loads(own) if own and not http["disableSubscriptionOverrides"] else {}
    return {
        "healthyRetryPolicy": {**http["defaultHealthyRetryPolicy"], **(given.get("healthyRetryPolicy") or {})},
        "sicklyRetryPolicy": given.get("sicklyRetryPolicy"),
        "throttlePolicy": given.get("throttlePolicy"),
        "requestPolicy": {**http["defaultRequestPolicy"], **(given.get("requestPolicy") or {})},
        "guaranteed": False,
    }


def retry_error(policy: Mapping[str, Any]) -> str:
    """What is wrong with a retry policy, or ""."""
    merged = {**DEFAULT_RETRY, **policy}
    for name, value in merged.items():
        if name == "backoffFunction":
            if value not in FUNCTIONS:
                return f"{name} must be one of {', '.join(FUNCTIONS)}"
        elif name not in DEFAULT_RETRY:
            return f"unexpected key {name}"
        elif type(value) is not int or not 0 <= value <= (3600 if "Delay" in name and "num" not in name else 100):
            return f"{name} is out of range"
    if merged["minDelayTarget"] > merged["maxDelayTarget"]:
        return "minDelayTarget must not exceed maxDelayTarget"
    if merged["numNoDelayRetries"] + merged["numMinDelayRetries"] + merged["numMaxDelayRetries"] > merged["numRetries"]:
        return "numRetries is less than the retries of its phases"
    return ""


def delays(retry: Mapping[str, Any]) -> list[float]:
    """Seconds before each retry: at once, at the least delay, growing, at the most delay."""
    low, high = float(retry["minDelayTarget"]), float(retry["maxDelayTarget"])
    at_once, least, most = retry["numNoDelayRetries"], retry["numMinDelayRetries"], retry["numMaxDelayRetries"]
    between = retry["numRetries"] - at_once - least - most
    growing: list[float] = []
    for step in range(between):
        share = 1.0 if between == 1 else step / (between - 1)
        if retry["backoffFunction"] == "exponential" and low > 0:
            growing.append(low * (high / low) ** share)
        elif retry["backoffFunction"] == "geometric":
            growing.append(low + (high - low) * share**2)
        else:
            growing.append(low + (high - low) * share)
    return [0.0] * at_once + [low] * least + growing + [high] * most
