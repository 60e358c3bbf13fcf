"""Load balancers: created with an address in each zone, changed, deleted. Source: elb-api.md B1, alb.md §1."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable

import msgspec

from elba.call import Answer, Call, Request
from elba.ec2 import addresses
from elba.ec2.resources import InternetGateway, NetworkInterface, SecurityGroup, Subnet
from elba.elbv2 import arns
from elba.elbv2.answers import capacity_answer, load_balancer_answer, zones_answer
from elba.elbv2.commands.listeners import delete_listener_resources
from elba.elbv2.commands.lookup import invalid_configuration, require_arn, require_load_balancer, validation_error
from elba.elbv2.commands.tags import parse_tags
from elba.elbv2.commands.usage import forget_health_in_zones, groups_of_load_balancer
from elba.elbv2.hosted_zones import hosted_zone_id
from elba.elbv2.identity_keys import new_identity_key
from elba.elbv2.limits import LIMITS
from elba.elbv2.resources import CookieKeys, Listener, LoadBalancer, LoadBalancerZone, TargetGroup
from elba.errors import ApiError
from elba.store.interface import Transaction, View

FREE_ADDRESSES_NEEDED = 8
"""In each subnet. Source: ELB user guide, "Subnets for your load balancer"."""
SECURITY_GROUPS_MOST = 5
CAPACITY_UNITS_LEAST, CAPACITY_UNITS_MOST = 100, 15_000
CAPACITY_DECREASES_PER_DAY = 2
NO_SOURCE_NAT = "'EnablePrefixForIpv6SourceNat' can only be specified for LoadBalancer type 'network'."
DNS_SUFFIX = "elb.localhost"
"""Stands for amazonaws.com: `*.localhost` leads to this host everywhere."""


def require_load_balancer_name(name: str) -> None:
    """Raises: ValidationError unless `name` keeps to the grammar of elb-api.md A2."""
    subject = f"The load balancer name '{name}'"
    if not name:
        raise validation_error("The load balancer name cannot be empty")
    if len(name) > 32:
        raise validation_error(f"{subject} cannot be longer than '32' characters")
    if not re.fullmatch(r"[A-Za-z0-9-]+", name):
        raise validation_error(f"{subject} can only contain characters that are alphanumeric characters and hyphens(-)")
    for is_there, where in ((name.startswith("-"), "begin"), (name.endswith("-"), "end")):
        if is_there:
            raise validation_error(f"{subject} cannot {where} with a hyphen(-)")
    if name.lower().startswith("internal-"):
        raise validation_error(f"{subject} cannot begin with 'internal-'")


def _requested_subnets(request: Request) -> list[str] | None:
    """The subnet ids asked for; None = neither form given. Raises: ValidationError, InvalidConfigurationRequest."""
    subnets, mappings = request.get("subnets"), request.get("subnet_mappings")
    if subnets and mappings:
        raise validation_error("You can specify either subnets or subnet mappings, but not both")
    if not mappings:
        return list(subnets) if subnets else None
    ids = []
    for mapping in mappings:
        if not mapping.get("subnet_id"):
            raise validation_error("A subnet ID must be specified for each subnet mapping")
        if mapping.get("allocation_id"):
            raise invalid_configuration("Elastic IPs are not supported for load balancers with type 'application'")
        if mapping.get("private_i_pv4_address"):
            raise invalid_configuration(
                "You can only specify private IPv4 addresses for Network Load Balancers with scheme 'internal'."
            )
        for member, text in (
            ("i_pv6_address", "IPv6 addresses"),
            ("source_nat_ipv6_prefix", "Source NAT prefixes"),
        ):
            if mapping.get(member):
                raise invalid_configuration(f"{text} cannot be specified for load balancers of type 'application'")
        ids.append(mapping["subnet_id"])
    return ids


def _require_subnets(view: View, call: Call, ids: list[str], *, held: Iterable[str] = ()) -> list[Subnet]:
    """The subnets, fit for an application load balancer; those in `held` have their address already.

    Raises: ValidationError, SubnetNotFound, InvalidConfigurationRequest, InvalidSubnet.
    """
    ids = list(dict.fromkeys(ids))
    found = {id_: view.get(Subnet, call.account, call.region, id_) for id_ in ids}
    if missing := [id_ for id_, subnet in found.items() if subnet is None]:
        listed = ", ".join(missing)
        raise ApiError("SubnetNotFound", f"The subnet ID '{listed}' does not exist")
    subnets = [subnet for subnet in found.values() if subnet is not None]
    zones = [subnet.availability_zone for subnet in subnets]
    if len(set(zones)) < len(zones):
        raise invalid_configuration(
            "A load balancer cannot be attached to multiple subnets in the same Availability Zone"
        )
    if len(zones) < 2:
        raise validation_error("At least two subnets in two different Availability Zones must be specified")
    if len({subnet.vpc_id for subnet in subnets}) > 1:
        raise invalid_configuration("All subnets must belong to the same VPC")
    for subnet in subnets:
        if subnet.id not in held and addresses.available_address_count(view, subnet) < FREE_ADDRESSES_NEEDED:
            raise ApiError(
                "InvalidSubnet",
                f"Not enough IP space available in {subnet.id}. ELB requires at least {FREE_ADDRESSES_NEEDED} free "
                "IP addresses in each subnet.",
            )
    return subnets


def _require_gateway(view: View, call: Call, vpc_id: str) -> None:
    if not view.children(InternetGateway, call.account, call.region, vpc_id):
        raise ApiError("InvalidSubnet", f"VPC {vpc_id} has no internet gateway")


def _require_ip_address_type(type_: str, scheme: str, subnets: Iterable[Subnet]) -> None:
    """Raises: InvalidConfigurationRequest, InvalidSubnet (a subnet has no IPv6 CIDR block)."""
    if type_ == "dualstack-without-public-ipv4" and scheme == "internal":
        raise invalid_configuration(
            "The IP address type 'dualstack-without-public-ipv4' is only supported for internet-facing load balancers"
        )
    if type_ != "ipv4" and any(not subnet.ipv6_cidr_block for subnet in subnets):
        raise ApiError("InvalidSubnet", "You must specify subnets with an associated IPv6 CIDR block")


def _require_security_groups(view: View, call: Call, ids: Iterable[str], vpc_id: str) -> list[str]:
    """The ids, each once. Raises: InvalidSecurityGroup, InvalidConfigurationRequest."""
    ids = list(dict.fromkeys(ids))
    for id_ in ids:
        group = view.get(SecurityGroup, call.account, call.region, id_)
        if group is None:
            raise ApiError("InvalidSecurityGroup", f"The security group '{id_}' does not exist")
        if group.vpc_id != vpc_id:
            raise invalid_configuration("One or more security groups are invalid")
    if len(ids) > SECURITY_GROUPS_MOST:
        raise invalid_configuration(f"A load balancer can have at most {SECURITY_GROUPS_MOST} security groups")
    return ids


def _default_security_group(view: View, call: Call, vpc_id: str) -> list[str]:
    groups = view.children(SecurityGroup, call.account, call.region, vpc_id)
    return [group.id for group in groups if group.group_name == "default"]


def _require_built(type_: str) -> None:
    if type_ != "application":
        raise ApiError(
            "OperationNotPermitted", f"Load balancers of type '{type_}' are not built yet in Elba; 'application' is."
        )


def find_by_name(view: View, call: Call, name: str) -> LoadBalancer | None:
    """The load balancer of that name, of whatever type."""
    balancers = view.all(LoadBalancer, call.account, call.region)
    return next((balancer for balancer in balancers if balancer.load_balancer_name == name), None)


def _same_request(
    old: LoadBalancer, *, scheme: str, type_: str, subnets: list[str], groups: list[str], ip: str
) -> bool:
    return (
        old.scheme == scheme
        and old.type == type_
        and old.ip_address_type == ip
        and {zone.subnet_id for zone in old.zones} == set(subnets)
        and set(old.security_groups) == set(groups)
    )


def _allocate_zone(tx: Transaction, call: Call, balancer: LoadBalancer, subnet: Subnet) -> LoadBalancerZone:
    interface = addresses.allocate_interface(
        tx,
        call,
        subnet.id,
        owner=balancer.id,
        description=f"ELB {balancer.resource_id}",
        group_ids=balancer.security_groups,
        interface_type="interface",
        requester_managed=True,
        public=balancer.scheme == "internet-facing",
    )
    return LoadBalancerZone(
        zone_name=subnet.availability_zone,
        subnet_id=subnet.id,
        network_interface_id=interface.id,
        private_ip_address=interface.private_ip_address,
        host_address=interface.host_address,
    )


def create_load_balancer(tx: Transaction, call: Call, request: Request) -> Answer:
    """A load balancer, `provisioning`, with one address in each subnet. The same call again answers with the old one.

    Raises: ValidationError, SubnetNotFound, InvalidSubnet, InvalidSecurityGroup, InvalidConfigurationRequest,
    DuplicateLoadBalancerName, TooManyLoadBalancers, DuplicateTagKeys, TooManyTags.
    """
    name = request["name"]
    require_load_balancer_name(name)
    type_ = request.get("type") or "application"
    _require_built(type_)
    scheme = request.get("scheme") or "internet-facing"
    ip_address_type = request.get("ip_address_type") or "ipv4"
    ids = _requested_subnets(request)
    if ids is None:
        raise validation_error("You must specify either subnets or subnet mappings")
    subnets = _require_subnets(tx, call, ids, held=_held_subnets(tx, call, name))
    vpc_id = subnets[0].vpc_id
    given_groups = request.get("security_groups")
    groups = (
        _require_security_groups(tx, call, given_groups, vpc_id)
        if given_groups
        else _default_security_group(tx, call, vpc_id)
    )
    if request.get("enable_prefix_for_ipv6_source_nat") == "on":
        raise invalid_configuration(
            "'EnablePrefixForIpv6SourceNat' can only be specified for LoadBalancer type 'network'."
        )
    if pool := (request.get("ipam_pools") or {}).get("ipv4_ipam_pool_id"):
        raise invalid_configuration(f"The IPAM pool '{pool}' does not exist")
    if pool := request.get("customer_owned_ipv4_pool"):
        raise invalid_configuration(f"The customer-owned IPv4 pool '{pool}' does not exist")
    _require_ip_address_type(ip_address_type, scheme, subnets)
    if scheme == "internet-facing":
        _require_gateway(tx, call, vpc_id)
    tags = parse_tags(request.get("tags"))
    old = find_by_name(tx, call, name)
    if old is not None:
        wanted = [subnet.id for subnet in subnets]
        same = _same_request(old, scheme=scheme, type_=type_, subnets=wanted, groups=groups, ip=ip_address_type)
        if same and old.tags == tags:
            return {"load_balancers": [load_balancer_answer(old)]}
        raise ApiError(
            "DuplicateLoadBalancerName",
            f"A load balancer with the same name '{name}' exists, but with different settings",
        )
    existing = [b for b in tx.all(LoadBalancer, call.account, call.region) if b.type == type_]
    if len(existing) >= LIMITS[f"{type_}-load-balancers"]:
        raise ApiError("TooManyLoadBalancers", "The maximum number of load balancers has been reached for your account")
    resource_id = f"{arns.KIND_OF_TYPE[type_]}/{name}/{call.ids.hex(16)}"
    number = 100_000_000 + call.ids.random.randrange(1_900_000_000)
    prefix = "internal-" if scheme == "internal" else ""
    balancer = LoadBalancer(
        account=call.account,
        region=call.region,
        id=arns.load_balancer_arn(call, resource_id),
        load_balancer_name=name,
        resource_id=resource_id,
        dns_name=f"{prefix}{name}-{number}.{call.region}.{DNS_SUFFIX}",
        type=type_,
        scheme=scheme,
        ip_address_type=ip_address_type,
        vpc_id=vpc_id,
        security_groups=groups,
        canonical_hosted_zone_id=hosted_zone_id(call.region, type_),
        created_time=call.now,
        tags=tags,
    )
    zones = [_allocate_zone(tx, call, balancer, subnet) for subnet in subnets]
    balancer = msgspec.structs.replace(balancer, zones=zones)
    tx.put(balancer)
    tx.put(_new_cookie_keys(call, balancer))
    return {"load_balancers": [load_balancer_answer(balancer)]}


def _held_subnets(view: View, call: Call, name: str) -> list[str]:
    """Subnets in which the load balancer of that name has an address: creating it again needs no more."""
    old = find_by_name(view, call, name)
    return [zone.subnet_id for zone in old.zones] if old else []


def _new_cookie_keys(call: Call, balancer: LoadBalancer) -> CookieKeys:
    secret = base64.b64encode(bytes.fromhex(call.ids.hex(64))).decode()
    return CookieKeys(
        account=balancer.account,
        region=balancer.region,
        id=balancer.id,
        keys=[(call.ids.hex(8), secret)],
        identity_keys=[(call.ids.uuid(), new_identity_key(call.ids.hex(96)))],
    )


def delete_load_balancer(tx: Transaction, call: Call, request: Request) -> Answer:
    """Deletes it with its listeners and rules and gives its addresses back; one that is gone counts as deleted.

    Raises: ValidationError (malformed ARN), OperationNotPermitted (deletion protection).
    """
    arn = request["load_balancer_arn"]
    require_arn(arns.LOAD_BALANCER, arn, "load balancer")
    balancer = tx.get(LoadBalancer, call.account, call.region, arn)
    if balancer is None:
        return {}
    if balancer.attributes.get("deletion_protection.enabled") == "true":
        raise ApiError(
            "OperationNotPermitted",
            f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled",
        )
    for listener in tx.children(Listener, balancer.account, balancer.region, balancer.id):
        delete_listener_resources(tx, balancer, listener)
    for zone in balancer.zones:
        addresses.release_interface(tx, call, zone.network_interface_id)
    keys = tx.get(CookieKeys, balancer.account, balancer.region, balancer.id)
    if keys is not None:
        tx.delete(keys)
    tx.delete(balancer)
    return {}


def set_subnets(tx: Transaction, call: Call, request: Request) -> Answer:
    """Replaces the load balancer's subnets; a subnet that stays keeps its address."""
    balancer = require_load_balancer(tx, call, request["load_balancer_arn"])
    ids = _requested_subnets(request)
    if ids is None:
        raise validation_error("You must specify either subnets or subnet mappings")
    held = {zone.subnet_id: zone for zone in balancer.zones}
    subnets = _require_subnets(tx, call, ids, held=held)
    if subnets[0].vpc_id != balancer.vpc_id:
        raise invalid_configuration("The subnets must belong to the load balancer's VPC")
    ip_address_type = request.get("ip_address_type") or balancer.ip_address_type
    if request.get("enable_prefix_for_ipv6_source_nat") == "on":
        raise invalid_configuration(
            "'EnablePrefixForIpv6SourceNat' can only be specified for LoadBalancer type 'network'."
        )
    _require_ip_address_type(ip_address_type, balancer.scheme, subnets)
    kept = {subnet.id for subnet in subnets}
    for zone in balancer.zones:
        if zone.subnet_id not in kept:
            addresses.release_interface(tx, call, zone.network_interface_id)
    zones = [held.get(subnet.id) or _allocate_zone(tx, call, balancer, subnet) for subnet in subnets]
    forget_health_in_zones(tx, balancer, {z.zone_name for z in balancer.zones} - {z.zone_name for z in zones})
    tx.put(msgspec.structs.replace(balancer, zones=zones, ip_address_type=ip_address_type))
    return {"availability_zones": zones_answer(zones), "ip_address_type": ip_address_type}


def set_security_groups(tx: Transaction, call: Call, request: Request) -> Answer:
    """Replaces the load balancer's security groups, on its network interfaces too."""
    balancer = require_load_balancer(tx, call, request["load_balancer_arn"])
    if request.get("enforce_security_group_inbound_rules_on_private_link_traffic"):
        raise invalid_configuration(
            "Inbound rules on PrivateLink traffic are not supported for load balancers of type 'application'"
        )
    if not request["security_groups"]:
        raise invalid_configuration("A load balancer of type 'application' must have at least one security group")
    groups = _require_security_groups(tx, call, request["security_groups"], balancer.vpc_id)
    tx.put(msgspec.structs.replace(balancer, security_groups=groups))
    for zone in balancer.zones:
        interface = tx.get(NetworkInterface, balancer.account, balancer.region, zone.network_interface_id)
        if interface is not None:
            tx.put(msgspec.structs.replace(interface, group_ids=groups))
    return {"security_group_ids": groups}


def set_ip_address_type(tx: Transaction, call: Call, request: Request) -> Answer:
    """Changes the IP address type. Raises: InvalidConfigurationRequest, InvalidSubnet (no IPv6 CIDR block)."""
    balancer = require_load_balancer(tx, call, request["load_balancer_arn"])
    type_ = request["ip_address_type"]
    if type_ != balancer.ip_address_type:
        found = (tx.get(Subnet, balancer.account, balancer.region, zone.subnet_id) for zone in balancer.zones)
        _require_ip_address_type(type_, balancer.scheme, [subnet for subnet in found if subnet is not None])
        for arn in groups_of_load_balancer(tx, balancer):
            group = tx.get(TargetGroup, balancer.account, balancer.region, arn)
            if group is not None and group.ip_address_type == "ipv6":
                raise invalid_configuration(
                    "The IP address type cannot be 'ipv4' while target groups with IP address type 'ipv6' are attached"
                )
        tx.put(msgspec.structs.replace(balancer, ip_address_type=type_))
    return {"ip_address_type": type_}


def modify_ip_pools(tx: Transaction, call: Call, request: Request) -> Answer:
    """Takes IPAM pools away (there are none here). Raises: ValidationError for a pool that does not exist."""
    require_load_balancer(tx, call, request["load_balancer_arn"])
    if pool := (request.get("ipam_pools") or {}).get("ipv4_ipam_pool_id"):
        raise validation_error(f"The IPAM pool '{pool}' does not exist")
    if not request.get("remove_ipam_pools"):
        raise validation_error("You must specify either IPAM pools or IPAM pools to remove")
    return {"ipam_pools": {}}


def modify_capacity_reservation(tx: Transaction, call: Call, request: Request) -> Answer:
    """Reserves capacity units or gives them back. Nodes here have what the host has: it is kept and shown only.

    Raises: ValidationError, InvalidConfigurationRequest, CapacityUnitsLimitExceeded,
    CapacityDecreaseRequestLimitExceeded, OperationNotPermitted.
    """
    balancer = require_load_balancer(tx, call, request["load_balancer_arn"])
    units = (request.get("minimum_load_balancer_capacity") or {}).get("capacity_units")
    reset = bool(request.get("reset_capacity_reservation"))
    if units is None and not reset:
        raise validation_error("You must specify either MinimumLoadBalancerCapacity or ResetCapacityReservation")
    if units is not None and reset:
        raise validation_error("You cannot specify both MinimumLoadBalancerCapacity and ResetCapacityReservation")
    if units is not None and units < CAPACITY_UNITS_LEAST:
        raise invalid_configuration(f"The minimum capacity is {CAPACITY_UNITS_LEAST} capacity units")
    if units is not None and units > CAPACITY_UNITS_MOST:
        raise ApiError("CapacityUnitsLimitExceeded", f"The limit is {CAPACITY_UNITS_MOST} capacity units")
    recent = [at for at in balancer.capacity_decreases if call.now - at < 86400]
    wanted = 0 if units is None else units
    if 0 < wanted < balancer.capacity_units:
        if len(recent) >= CAPACITY_DECREASES_PER_DAY:
            raise ApiError(
                "CapacityDecreaseRequestLimitExceeded",
                f"A reservation can be lowered {CAPACITY_DECREASES_PER_DAY} times a day",
            )
        recent.append(call.now)
    changed = msgspec.structs.replace(
        balancer, capacity_units=wanted, capacity_modified_time=call.now, capacity_decreases=recent
    )
    tx.put(changed)
    return capacity_answer(changed, call.now, CAPACITY_DECREASES_PER_DAY)


def set_load_balancer_state(tx: Transaction, call: Call, request: Request) -> Answer:
    """What the zone nodes say of load balancers: `load_balancer_arns`, `state_code`, `state_reason`.

    From `provisioning` one becomes `active` or `failed`; from then on only `active` and `active_impaired` alternate.
    """
    after = ("active", "failed"), ("active", "active_impaired")
    for arn in request["load_balancer_arns"]:
        balancer = tx.get(LoadBalancer, call.account, call.region, arn)
        if balancer is None or balancer.state_code == "failed":
            continue
        if request["state_code"] in after[balancer.state_code != "provisioning"]:
            tx.put(
                msgspec.structs.replace(
                    balancer, state_code=request["state_code"], state_reason=request.get("state_reason", "")
                )
            )
    return {}
