"""ELBv2's ARNs: made and taken apart in one place.

Source: Service Authorization Reference, "Resource types defined by Elastic Load Balancing V2".
"""

from __future__ import annotations

import re

from elba.call import Call

_HEAD = r"arn:aws[a-z0-9-]*:elasticloadbalancing:[a-z0-9-]+:\d{12}:"
_NAME = r"[A-Za-z0-9-]+"
_ID = r"[0-9a-f]{16}"
LOAD_BALANCER = re.compile(rf"{_HEAD}loadbalancer/(app|net|gwy)/{_NAME}/{_ID}")
LISTENER = re.compile(rf"{_HEAD}listener/(app|net|gwy)/{_NAME}/{_ID}/{_ID}")
RULE = re.compile(rf"{_HEAD}listener-rule/(app|net)/{_NAME}/{_ID}/{_ID}/{_ID}")
TARGET_GROUP = re.compile(rf"{_HEAD}targetgroup/{_NAME}/{_ID}")
TRUST_STORE = re.compile(rf"{_HEAD}truststore/{_NAME}/{_ID}")

KIND_OF_TYPE = {"application": "app", "network": "net", "gateway": "gwy"}


def load_balancer_arn(call: Call, resource_id: str) -> str:
    """`resource_id` is `app/<name>/<16 hex>`."""
    return call.arn("elasticloadbalancing", f"loadbalancer/{resource_id}")


def target_group_arn(call: Call, resource_id: str) -> str:
    """`resource_id` is `targetgroup/<name>/<16 hex>`."""
    return call.arn("elasticloadbalancing", resource_id)


def trust_store_arn(call: Call, name: str, id16: str) -> str:
    return call.arn("elasticloadbalancing", f"truststore/{name}/{id16}")


def listener_arn(load_balancer_arn: str, id16: str) -> str:
    """The ARN of a listener of the load balancer."""
    return f"{load_balancer_arn.replace(':loadbalancer/', ':listener/', 1)}/{id16}"


def rule_arn(listener_arn: str, id16: str) -> str:
    """The ARN of a rule of the listener."""
    return f"{listener_arn.replace(':listener/', ':listener-rule/', 1)}/{id16}"


def target_id(group_arn: str, id_: str, port: int) -> str:
    """The store's id of a `Target` and of its `TargetHealth`."""
    return f"{group_arn}|{id_}:{port}"
