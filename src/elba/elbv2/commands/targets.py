"""RegisterTargets, DeregisterTargets, and what becomes of a target when its instance or its delay ends."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from elba.call import Answer, Call, Request
from elba.ec2.resources import Instance, Subnet, Vpc
from elba.elbv2 import arns
from elba.elbv2.attributes import deregistration_delay_seconds, target_group_attribute
from elba.elbv2.commands.lookup import require_target_group, validation_error
from elba.elbv2.commands.usage import groups_of_load_balancer, require_target_quota, targets_in_use
from elba.elbv2.limits import LIMITS
from elba.elbv2.resources import LoadBalancer, Target, TargetGroup, TargetHealth
from elba.errors import ApiError
from elba.lambda_.permissions import ELB, may_invoke, split_arn
from elba.lambda_.resources import Alias, Function
from elba.store.interface import Transaction, View

_INSTANCE_ID = re.compile(r"i-[0-9a-f]{8}([0-9a-f]{9})?")
_LAMBDA_ARN = re.compile(r"arn:aws[a-z0-9-]*:lambda:[a-z0-9-]+:\d{12}:function:[A-Za-z0-9_-]+(:[A-Za-z0-9$_-]+)?")
_PRIVATE_NETWORKS = [
    ipaddress.ip_network(cidr) for cidr in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16")
]
_UNIQUE_LOCAL = ipaddress.ip_network("fc00::/7")


def _quoted(ids: Iterable[str]) -> str:
    return ", ".join(f"'{id_}'" for id_ in ids)


def require_target_ids(group: TargetGroup, ids: Iterable[str]) -> None:
    """Raises: ValidationError if an id does not have the form of the group's target type."""
    for id_ in ids:
        if group.target_type == "instance" and not _INSTANCE_ID.fullmatch(id_):
            raise validation_error(f"Instance ID '{id_}' is not valid")
        if group.target_type == "ip":
            version = 6 if group.ip_address_type == "ipv6" else 4
            try:
                valid = ipaddress.ip_address(id_).version == version
            except ValueError:
                valid = False
            if not valid:
                raise validation_error(f"The IP address '{id_}' is not a valid IPv{version} address")
        if group.target_type == "lambda" and not _LAMBDA_ARN.fullmatch(id_):
            raise validation_error(f"Lambda function ARN '{id_}' is not valid")


def _require_function(view: View, group: TargetGroup, arn: str) -> None:
    """Raises: InvalidTarget, AccessDenied (the function's policy does not let the target group invoke it)."""
    account, region, name, qualifier = split_arn(arn)
    if (account, region) != (group.account, group.region) or not _has_version(view, account, region, name, qualifier):
        raise ApiError("InvalidTarget", f"The Lambda function '{arn}' does not exist")
    if not may_invoke(view, arn, ELB, group.id, group.account):
        raise ApiError(
            "AccessDenied",
            f"elasticloadbalancing principal does not have permission to invoke {arn} from target group {group.id}",
            403,
        )


def _has_version(view: View, account: str, region: str, name: str, qualifier: str) -> bool:
    if qualifier in ("", "$LATEST"):
        return view.get(Function, account, region, name) is not None
    id_ = f"{name}:{qualifier}"
    return view.get(Function, account, region, id_) is not None or view.get(Alias, account, region, id_) is not None


def _require_instances(view: View, group: TargetGroup, ids: list[str]) -> None:
    instances = {id_: view.get(Instance, group.account, group.region, id_) for id_ in ids}
    if missing := [id_ for id_, instance in instances.items() if instance is None]:
        raise ApiError("InvalidTarget", f"The following targets do not exist: {_quoted(missing)}")
    found = [instance for instance in instances.values() if instance is not None]
    if elsewhere := [i.id for i in found if i.vpc_id != group.vpc_id]:
        raise ApiError(
            "InvalidTarget",
            f"The following targets are not in the target group VPC '{group.vpc_id}': {_quoted(elsewhere)}",
        )
    if not_running := [i.id for i in found if i.state != "running"]:
        raise ApiError(
            "InvalidTarget",
            f"The following targets are not in a running state and cannot be registered: {_quoted(not_running)}",
        )


def is_in_vpc(view: View, group: TargetGroup, address: str) -> bool:
    """Whether an ip target lies in the group's VPC."""
    vpc = view.get(Vpc, group.account, group.region, group.vpc_id or "")
    if vpc is None:
        return False
    parsed = ipaddress.ip_address(address)
    blocks = (vpc.cidr_block, *(b.cidr_block for b in vpc.blocks))
    return any(parsed in ipaddress.ip_network(block, strict=False) for block in blocks)


def _zone_of_address(view: View, group: TargetGroup, address: str) -> str:
    parsed = ipaddress.ip_address(address)
    for subnet in view.children(Subnet, group.account, group.region, group.vpc_id or ""):
        if parsed in ipaddress.ip_network(subnet.cidr_block, strict=False):
            return subnet.availability_zone
    return ""


def _ip_zone(view: View, group: TargetGroup, entry: Mapping[str, Any]) -> str:
    """The zone an ip target is stored with. Raises: ValidationError."""
    address, zone = entry["id"], entry.get("availability_zone") or ""
    if is_in_vpc(view, group, address):
        own = _zone_of_address(view, group, address)
        if zone not in ("", "all", own) and own:
            raise validation_error(f"The target '{address}' is not in the Availability Zone '{zone}'")
        return zone or own
    parsed = ipaddress.ip_address(address)
    if parsed.version == 6:
        private = parsed in _UNIQUE_LOCAL
    else:
        private = any(parsed in network for network in _PRIVATE_NETWORKS)
    if not private:
        raise validation_error(
            f"The IP address '{address}' is not allowed, as it must be an address from a VPC subnet, RFC1918, or "
            "RFC6598"
        )
    if zone != "all":
        raise validation_error(
            f"The IP address '{address}' is outside the target group VPC; its Availability Zone must be 'all'"
        )
    if target_group_attribute(group, "load_balancing.cross_zone.enabled") == "false":
        raise validation_error("Targets with Availability Zone 'all' need cross-zone load balancing")
    return zone


def _require_quota(view: View, group: TargetGroup, new: list[Target]) -> None:
    most = LIMITS["targets-per-target-group"]
    if len(targets_in_use(view, group)) + len(new) > most:
        raise ApiError(
            "TooManyTargets", f"The maximum number of targets per target group has been reached on '{group.id}'"
        )
    for arn in group.load_balancer_arns:
        balancer = view.get(LoadBalancer, group.account, group.region, arn)
        if balancer is None:
            continue
        groups = [
            found
            for used in groups_of_load_balancer(view, balancer)
            if (found := view.get(TargetGroup, group.account, group.region, used)) is not None
        ]
        require_target_quota(view, groups, Counter(t.target_id for t in new))


def register_targets(tx: Transaction, call: Call, request: Request) -> Answer:
    """Registers all of `targets` or none; registering one again changes nothing, and ends its draining.

    Raises: TargetGroupNotFound, ValidationError, InvalidTarget, TooManyTargets, TooManyRegistrationsForTargetId,
    AccessDenied (a function that does not let the group invoke it).
    """
    group = require_target_group(tx, call, request["target_group_arn"])
    entries = list(request["targets"])
    ids = list(dict.fromkeys(entry["id"] for entry in entries))
    require_target_ids(group, ids)
    if group.target_type == "lambda":
        if any(entry.get("port") is not None for entry in entries):
            raise validation_error("You cannot specify a port for a target of type 'lambda'")
        if len(ids) > 1 or any(t.target_id != ids[0] for t in targets_in_use(tx, group)):
            named = {*ids, *(t.target_id for t in targets_in_use(tx, group))}
            raise ApiError(
                "TooManyTargets",
                f"Up to '1' Lambda function target(s) can be registered, but '{len(named)}' were specified",
            )
        _require_function(tx, group, ids[0])
    if group.target_type == "instance":
        _require_instances(tx, group, ids)
    new: dict[str, Target] = {}
    for entry in entries:
        port = entry.get("port") or group.port or 0
        if group.target_type != "lambda" and not 1 <= port <= 65535:
            raise validation_error(f"Port '{port}' is not valid. Specify a value from 1 to 65535.")
        zone = _ip_zone(tx, group, entry) if group.target_type == "ip" else ""
        id_ = arns.target_id(group.id, entry["id"], port)
        old = tx.get(Target, group.account, group.region, id_)
        if old is not None:
            if old.draining_since:  # nodes never stopped checking it: it is as healthy as they know
                new[id_] = msgspec.structs.replace(old, draining_since=0.0)
        else:
            new[id_] = Target(
                account=group.account,
                region=group.region,
                id=id_,
                target_group_arn=group.id,
                target_id=entry["id"],
                port=port,
                availability_zone=zone,
                registered_at=call.now,
            )
    if new:
        _require_quota(tx, group, list(new.values()))
    for target in new.values():
        _forget_health(tx, target)
        tx.put(target)
    return {}


def deregister_targets(tx: Transaction, call: Call, request: Request) -> Answer:
    """Deregisters `targets`: they drain for the deregistration delay if traffic may be flowing to them.

    An id without a port means the group's port. What is not registered is passed over.
    Raises: TargetGroupNotFound, ValidationError (malformed id).
    """
    group = require_target_group(tx, call, request["target_group_arn"])
    entries = list(request["targets"])
    require_target_ids(group, [entry["id"] for entry in entries])
    drains = bool(group.load_balancer_arns) and deregistration_delay_seconds(group) > 0
    for entry in entries:
        port = entry.get("port") or group.port or 0
        target = tx.get(Target, group.account, group.region, arns.target_id(group.id, entry["id"], port))
        if target is None or target.draining_since:
            continue
        _forget_health(tx, target)
        if drains:
            tx.put(msgspec.structs.replace(target, draining_since=call.now))
        else:
            tx.delete(target)
    return {}


def end_draining(tx: Transaction, call: Call, request: Request) -> Answer:
    """Removes the group's targets whose deregistration delay is over by `call.now`.

    The answer's `seconds_left` says when the next one is due (None = none drains).
    """
    group = tx.get(TargetGroup, call.account, call.region, request["target_group_arn"])
    if group is None:
        return {"seconds_left": None}
    delay = deregistration_delay_seconds(group)
    left: float | None = None
    for target in tx.children(Target, group.account, group.region, group.id):
        if not target.draining_since:
            continue
        remaining = target.draining_since + delay - call.now
        if remaining <= 0 or not group.load_balancer_arns:
            _forget_health(tx, target)
            tx.delete(target)
        else:
            left = remaining if left is None else min(left, remaining)
    return {"seconds_left": left}


def forget_instance(tx: Transaction, call: Call, request: Request) -> Answer:
    """Takes a terminated instance out of every target group; of a stopped one forgets the health only, so that it
    starts as a new target would."""
    instance = tx.get(Instance, call.account, call.region, request["instance_id"])
    gone = instance is None or instance.state == "terminated"
    for target in tx.all(Target, call.account, call.region):
        if target.target_id == request["instance_id"]:
            _forget_health(tx, target)
            if gone:
                tx.delete(target)
    return {}


def _forget_health(tx: Transaction, target: Target) -> None:
    health = tx.get(TargetHealth, target.account, target.region, target.id)
    if health is not None:
        tx.delete(health)
