"""The network every account starts with in a region, and what every new VPC is born with.

Source: VPC user guide, "Default VPCs".
"""

from __future__ import annotations

from msgspec.structs import replace

from elba.call import Call
from elba.ec2 import zones
from elba.ec2.addresses import allocate_slice
from elba.ec2.resources import (
    AccountDefaults,
    InternetGateway,
    NetworkAcl,
    NetworkAclEntry,
    Permission,
    Route,
    RouteTable,
    RouteTableAssociation,
    SecurityGroup,
    Subnet,
    Tags,
    Vpc,
)
from elba.errors import ApiError
from elba.store.interface import Transaction, View

DEFAULT_CIDR = "172.31.0.0/16"


def account_defaults(view: View, call: Call) -> AccountDefaults | None:
    return view.get(AccountDefaults, call.account, call.region, "defaults")


def default_vpc(view: View, call: Call) -> Vpc | None:
    """The account's default VPC in the region, unless it was deleted."""
    return next((v for v in view.all(Vpc, call.account, call.region) if v.is_default), None)


def default_security_group(view: View, call: Call, vpc_id: str) -> SecurityGroup | None:
    groups = view.children(SecurityGroup, call.account, call.region, vpc_id)
    return next((g for g in groups if g.group_name == "default"), None)


def default_acl(view: View, call: Call, vpc_id: str) -> NetworkAcl | None:
    acls = view.children(NetworkAcl, call.account, call.region, vpc_id)
    return next((a for a in acls if a.is_default), None)


def main_route_table(view: View, call: Call, vpc_id: str) -> RouteTable | None:
    tables = view.children(RouteTable, call.account, call.region, vpc_id)
    return next((t for t in tables if any(a.main for a in t.associations)), None)


def ensure_defaults(tx: Transaction, call: Call) -> None:
    """Give (account, region) its default VPC if it never had one. Doing it again changes nothing.

    A region for which no slice is left stays without: requests that name their own subnets still say why.
    """
    if account_defaults(tx, call) is not None:
        return
    marker = AccountDefaults(
        account=call.account, region=call.region, id="defaults", dhcp_options_id=call.ids.ec2("dopt")
    )
    try:
        number = allocate_slice(tx)
    except ApiError:
        return
    tx.put(marker)
    make_default_vpc(tx, call, number)


def make_default_vpc(tx: Transaction, call: Call, number: int) -> Vpc:
    """The default VPC with its gateway and one subnet in each zone."""
    vpc = make_vpc(tx, call, cidr_block=DEFAULT_CIDR, number=number, is_default=True, enable_dns_hostnames=True)
    gateway = InternetGateway(account=call.account, region=call.region, id=call.ids.ec2("igw"), vpc_id=vpc.id)
    tx.put(gateway)
    table = main_route_table(tx, call, vpc.id)
    assert table is not None
    route = Route(destination="0.0.0.0/0", target="gateway_id", target_id=gateway.id)
    tx.put(replace(table, routes=[*table.routes, route]))
    for zone in zones.zone_names(tx, call.region):
        make_default_subnet(tx, call, vpc, zone)
    return vpc


def make_default_subnet(tx: Transaction, call: Call, vpc: Vpc, zone: str) -> Subnet:
    """The zone's default subnet: the first free /20 of the default VPC."""
    taken = {s.cidr_block for s in tx.children(Subnet, call.account, call.region, vpc.id)}
    cidr = next(c for c in (f"172.31.{16 * n}.0/20" for n in range(16)) if c not in taken)
    return make_subnet(tx, call, vpc, cidr, zone, default_for_az=True, map_public_ip_on_launch=True)


def make_vpc(
    tx: Transaction,
    call: Call,
    *,
    cidr_block: str,
    number: int,
    is_default: bool = False,
    enable_dns_hostnames: bool = False,
    instance_tenancy: str = "default",
    tags: Tags | None = None,
) -> Vpc:
    """A VPC with its main route table, default network ACL and default security group."""
    account, region, ids = call.account, call.region, call.ids
    defaults = account_defaults(tx, call)
    vpc = Vpc(
        account=account,
        region=region,
        id=ids.ec2("vpc"),
        cidr_block=cidr_block,
        slice=number,
        is_default=is_default,
        instance_tenancy=instance_tenancy,
        dhcp_options_id=defaults.dhcp_options_id if defaults else "",
        association_id=ids.ec2("vpc-cidr-assoc"),
        enable_dns_hostnames=enable_dns_hostnames,
        create_time=call.now,
        tags=tags or {},
    )
    tx.put(vpc)
    tx.put(
        RouteTable(
            account=account,
            region=region,
            id=ids.ec2("rtb"),
            vpc_id=vpc.id,
            routes=local_routes(vpc),
            associations=[RouteTableAssociation(association_id=ids.ec2("rtbassoc"), main=True)],
        )
    )
    tx.put(
        NetworkAcl(
            account=account,
            region=region,
            id=ids.ec2("acl"),
            vpc_id=vpc.id,
            is_default=True,
            entries=[
                NetworkAclEntry(rule_number=number, egress=egress, rule_action=action, cidr_block="0.0.0.0/0")
                for egress in (True, False)
                for number, action in ((100, "allow"), (32767, "deny"))
            ],
        )
    )
    group_id = ids.ec2("sg")
    tx.put(
        SecurityGroup(
            account=account,
            region=region,
            id=group_id,
            group_name="default",
            description="default VPC security group",
            vpc_id=vpc.id,
            permissions=[
                Permission(
                    rule_id=ids.ec2("sgr"),
                    egress=False,
                    ip_protocol="-1",
                    group_id=group_id,
                    group_owner_id=account,
                ),
                allow_all_egress(call),
            ],
        )
    )
    return vpc


def local_routes(vpc: Vpc) -> list[Route]:
    """What every route table of the VPC has: a route for each of its blocks."""
    return [local_route(block) for block in (vpc.cidr_block, *(b.cidr_block for b in vpc.blocks))]


def local_route(block: str) -> Route:
    return Route(destination=block, target="gateway_id", target_id="local", origin="CreateRouteTable")


def allow_all_egress(call: Call) -> Permission:
    """The rule every new security group starts with."""
    return Permission(rule_id=call.ids.ec2("sgr"), egress=True, ip_protocol="-1", cidr_ipv4="0.0.0.0/0")


def make_subnet(
    tx: Transaction,
    call: Call,
    vpc: Vpc,
    cidr_block: str,
    zone: str,
    *,
    default_for_az: bool = False,
    map_public_ip_on_launch: bool = False,
    tags: Tags | None = None,
) -> Subnet:
    """A subnet, associated with the VPC's default network ACL."""
    subnet = Subnet(
        account=call.account,
        region=call.region,
        id=call.ids.ec2("subnet"),
        vpc_id=vpc.id,
        cidr_block=cidr_block,
        availability_zone=zone,
        availability_zone_id=zones.zone_id(zone),
        default_for_az=default_for_az,
        map_public_ip_on_launch=map_public_ip_on_launch,
        tags=tags or {},
    )
    tx.put(subnet)
    acl = default_acl(tx, call, vpc.id)
    if acl is not None:
        tx.put(replace(acl, associations={**acl.associations, subnet.id: call.ids.ec2("aclassoc")}))
    return subnet
