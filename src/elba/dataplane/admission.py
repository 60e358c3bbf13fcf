"""What security groups let through, at load balancers and at their targets. Pure.

A load balancer lets in whom any of its groups lets in on the listener's port. The node knows a client by the address
it connects from on this machine, so that rules are told in such addresses:

- a CIDR as it is (`0.0.0.0/0` is everybody; `127.0.0.1/32` is a program of this machine that is no instance), and the
  part of it that lies in the VPC also as the host addresses of that part;
- a group as the host addresses of its members' network interfaces;
- a prefix list as its entries; those of AWS's own are not known.

A target is refused where its own groups let in neither the load balancer's groups nor the private addresses of its
nodes, or the load balancer's groups do not let it out.

A default group whose rules are still those it was made with lets in everybody: on AWS it would be its members only,
but here "everybody" is one machine, and a stack made without a thought for groups should work.
Source: VPC user guide, "Security group rules"; ELB user guide, "Security groups for your Application Load Balancer".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence, Set
from functools import lru_cache

from msgspec.structs import replace

from elba.ec2.addresses import host_address, ipv4_blocks
from elba.ec2.edge_resources import PrefixList
from elba.ec2.resources import Instance, NetworkInterface, Permission, PrivateAddress, SecurityGroup, Subnet, Vpc
from elba.elbv2.resources import LoadBalancer, Target, TargetGroup
from elba.resource import Key
from elba.store.interface import View

_TCP = ("tcp", "6", "-1", "all")
EVERYBODY = ("0.0.0.0/0", "::/0")


@lru_cache(maxsize=4096)
def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(text, strict=False)


def is_as_made(group: SecurityGroup) -> bool:
    """Whether it is a VPC's default group that lets in its own members and nobody else."""
    if group.group_name != "default":
        return False
    incoming = [rule for rule in group.permissions if not rule.egress]
    return len(incoming) == 1 and incoming[0].group_id == group.id and incoming[0].ip_protocol == "-1"


def _groups(view: View, account: str, region: str, ids: Iterable[str]) -> list[SecurityGroup]:
    found = (view.get(SecurityGroup, account, region, group_id) for group_id in ids)
    return [_with_prefix_lists(view, group) for group in found if group is not None]


def _with_prefix_lists(view: View, group: SecurityGroup) -> SecurityGroup:
    """The group with a rule for each entry of the prefix lists that its rules name."""
    if not any(rule.prefix_list_id for rule in group.permissions):
        return group
    rules: list[Permission] = []
    for rule in group.permissions:
        found = view.get(PrefixList, group.account, group.region, rule.prefix_list_id) if rule.prefix_list_id else None
        if found is None:
            rules.append(rule)
            continue
        for entry in found.history[-1]:
            v6 = ":" in entry.cidr
            rules.append(replace(rule, **{"cidr_ipv6" if v6 else "cidr_ipv4": entry.cidr}))
    return replace(group, permissions=rules)


def _rules(groups: Iterable[SecurityGroup], port: int, *, egress: bool) -> Iterator[Permission]:
    for group in groups:
        for rule in group.permissions:
            if rule.egress != egress or rule.ip_protocol not in _TCP:
                continue
            # "All traffic" has no ports; -1 is also how the API writes "all".
            if rule.ip_protocol in ("-1", "all") or rule.from_port == -1 or rule.from_port <= port <= rule.to_port:
                yield rule


# ── at the load balancer ─────────────────────────────────────────────────────────────────────────────


def allowed_sources(view: View, balancer: LoadBalancer, port: int) -> list[str] | None:
    """The networks from which clients may come to this port; None = no group has a say."""
    if not balancer.security_groups:
        return None
    groups = _groups(view, balancer.account, balancer.region, balancer.security_groups)
    if any(is_as_made(group) for group in groups):
        return None
    vpc = view.get(Vpc, balancer.account, balancer.region, balancer.vpc_id)
    sources: dict[str, None] = {}
    for rule in _rules(groups, port, egress=False):
        if rule.group_id:
            sources |= dict.fromkeys(_members(view, balancer, rule.group_id))
        elif cidr := rule.cidr_ipv4 or rule.cidr_ipv6:
            sources[str(_network(cidr))] = None
            if rule.cidr_ipv4 and vpc is not None:
                sources |= dict.fromkeys(_in_vpc(vpc, cidr))
    everything = all(cidr in sources for cidr in EVERYBODY)
    return None if everything else list(sources)


def _members(view: View, balancer: LoadBalancer, group_id: str) -> Iterator[str]:
    for interface in members(view, balancer, {group_id}):
        if interface.host_address:
            yield f"{interface.host_address}/32"


def members(view: View, balancer: LoadBalancer, group_ids: Set[str]) -> list[NetworkInterface]:
    """The network interfaces in any of these groups."""
    interfaces = view.all(NetworkInterface, balancer.account, balancer.region)
    return [interface for interface in interfaces if not group_ids.isdisjoint(interface.group_ids)]


def _in_vpc(vpc: Vpc, cidr: str) -> Iterator[str]:
    """The host addresses of what `cidr` has in common with the VPC."""
    given = _network(cidr)
    if given.prefixlen == 0:
        return
    for block in ipv4_blocks(vpc):
        yield from _in_block(vpc, given, _network(block.cidr_block))


def _in_block(
    vpc: Vpc,
    given: ipaddress.IPv4Network | ipaddress.IPv6Network,
    whole: ipaddress.IPv4Network | ipaddress.IPv6Network,
) -> Iterator[str]:
    if given.version == 4 and whole.version == 4 and given.overlaps(whole):
        common = given if given.prefixlen > whole.prefixlen else whole
        bits = max(16, common.prefixlen)
        first = host_address(vpc, str(common.network_address))
        yield str(ipaddress.ip_network(f"{first}/{bits}", strict=False))


def groups_referred_to(view: View, balancer: LoadBalancer) -> set[str]:
    """The groups whose members its own groups let in."""
    own = _groups(view, balancer.account, balancer.region, balancer.security_groups)
    return {rule.group_id for group in own for rule in group.permissions if rule.group_id and not rule.egress}


# ── at the targets ───────────────────────────────────────────────────────────────────────────────────


class TargetAdmission:
    """What targets of one group let in from the load balancers that use it."""

    def __init__(self, view: View, group: TargetGroup) -> None:
        self._view = view
        self._group = group
        self._check_port = None if group.health_check_port in (None, "traffic-port") else int(group.health_check_port)
        found = (view.get(LoadBalancer, group.account, group.region, arn) for arn in group.load_balancer_arns)
        self._sides = [self._side(balancer) for balancer in found if balancer is not None]
        self._own_groups = frozenset(group_id for ids, _, _ in self._sides for group_id in ids)

    def _side(self, balancer: LoadBalancer) -> tuple[frozenset[str], list[SecurityGroup], list[str]]:
        groups = _groups(self._view, balancer.account, balancer.region, balancer.security_groups)
        addresses = [zone.private_ip_address for zone in balancer.zones]
        return frozenset(balancer.security_groups), groups, addresses

    def of(self, target: Target) -> tuple[bool, bool, frozenset[str]]:
        """Whether the target's port is refused, and its health check port; the security groups that say so."""
        holder = self._holder(target)
        if holder is None or not holder.group_ids:
            return False, False, frozenset()
        ids, private = frozenset(holder.group_ids), holder.private_ip_address
        groups = _groups(self._view, target.account, target.region, ids)
        refused = self._refused(groups, ids, private, target.port)
        check = self._check_port
        check_refused = refused if check is None else self._refused(groups, ids, private, check)
        return refused, check_refused, ids | self._own_groups

    def _holder(self, target: Target) -> Instance | NetworkInterface | None:
        """Who has the target's address; None if nobody is known to."""
        if self._group.target_type == "instance":
            return self._view.get(Instance, target.account, target.region, target.target_id)
        if self._group.target_type != "ip" or not self._group.vpc_id or ":" in target.target_id:
            return None
        interface_id = self._interface_at(target.account, target.region, self._group.vpc_id, target.target_id)
        return self._view.get(NetworkInterface, target.account, target.region, interface_id)

    def _interface_at(self, account: str, region: str, vpc_id: str, address: str) -> str:
        ip = ipaddress.ip_address(address)
        for subnet in self._view.children(Subnet, account, region, vpc_id):
            if ip in _network(subnet.cidr_block):
                taken = self._view.get(PrivateAddress, account, region, f"{subnet.id}/{address}")
                return taken.network_interface_id if taken else ""
        return ""

    def _refused(self, groups: Sequence[SecurityGroup], ids: frozenset[str], private: str, port: int) -> bool:
        """Whether no load balancer gets through to this port."""
        if not self._sides:
            return False
        as_made = any(is_as_made(group) for group in groups)
        for own_ids, own_groups, addresses in self._sides:
            lets_in = as_made or _match(_rules(groups, port, egress=False), own_ids, addresses)
            # A load balancer without groups is not held back by any.
            lets_out = not own_groups or _match(_rules(own_groups, port, egress=True), ids, [private])
            if lets_in and lets_out:
                return False
        return True


def _match(rules: Iterable[Permission], groups: frozenset[str], addresses: Sequence[str]) -> bool:
    """Whether a rule names one of these groups or addresses."""
    for rule in rules:
        if rule.group_id in groups:
            return True
        if rule.cidr_ipv4 == "0.0.0.0/0":
            return True
        cidr = rule.cidr_ipv4
        if cidr and any(ipaddress.ip_address(a) in _network(cidr) for a in addresses if a and ":" not in a):
            return True
    return False


# ── what hangs on what ───────────────────────────────────────────────────────────────────────────────


class SecurityIndex:
    """Which load balancers and target groups were compiled from which security groups and their members."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._balancers: dict[Key, set[Key]] = {}
        """Security group to the load balancers that have it."""
        self._referring: dict[Key, set[Key]] = {}
        """Security group to the load balancers whose groups let its members in."""
        self._members: dict[Key, frozenset[str]] = {}
        """Network interface to the groups it was in when a load balancer let it in."""
        self._target_groups: dict[Key, set[Key]] = {}
        """Security group to the target groups whose targets have it, or whose load balancers."""

    def note_balancer(self, balancer: LoadBalancer) -> None:
        """The load balancer is compiled now."""
        for group_id in balancer.security_groups:
            self._balancers.setdefault(_group_key(balancer.key, group_id), set()).add(balancer.key)
        referred = groups_referred_to(self._view, balancer)
        for group_id in referred:
            self._referring.setdefault(_group_key(balancer.key, group_id), set()).add(balancer.key)
        if referred:
            self._members = {
                key: ids for key, ids in self._members.items() if self._view.get(NetworkInterface, *key[1:])
            }
            for interface in members(self._view, balancer, referred):
                self._members[interface.key] = frozenset(interface.group_ids)

    def note_targets(self, target_group: Key, group_ids: Iterable[str]) -> None:
        """Targets of the group are compiled now, from these security groups."""
        for group_id in group_ids:
            self._target_groups.setdefault(_group_key(target_group, group_id), set()).add(target_group)

    def balancers(self, changed: Key) -> set[Key]:
        """The load balancers that a changed security group or network interface bears on."""
        if changed.kind == SecurityGroup.KIND:
            return set(self._balancers.get(changed, ()))
        if changed.kind == PrefixList.KIND:
            return {user for g in self._naming(changed) for user in self._balancers.get(g, ())}
        if changed.kind != NetworkInterface.KIND or not self._referring:
            return set()
        interface = self._view.get(NetworkInterface, changed.account, changed.region, changed.id)
        now = frozenset(interface.group_ids) if interface is not None else frozenset()
        before = self._members.get(changed, frozenset())
        return {user for g in now | before for user in self._referring.get(_group_key(changed, g), ())}

    def target_groups(self, changed: Key) -> set[Key]:
        """The target groups whose targets a changed security group bears on."""
        if changed.kind == PrefixList.KIND:
            return {user for g in self._naming(changed) for user in self._target_groups.get(g, ())}
        return set(self._target_groups.get(changed, ()))

    def _naming(self, prefix_list: Key) -> list[Key]:
        """The security groups with a rule for the prefix list."""
        groups = self._view.all(SecurityGroup, prefix_list.account, prefix_list.region)
        return [g.key for g in groups if any(p.prefix_list_id == prefix_list.id for p in g.permissions)]


def _group_key(beside: Key, group_id: str) -> Key:
    return beside._replace(kind=SecurityGroup.KIND, id=group_id)
