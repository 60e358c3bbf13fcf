"""Operations of VPCs and all that hangs on them."""

from __future__ import annotations

from elba.ec2.commands import (
    blocks,
    elastic_ips,
    gateways,
    interfaces,
    nat_gateways,
    network_acls,
    routes,
    security_groups,
    vpcs,
)
from elba.ec2.operations.making import mutating, reading
from elba.ec2.queries import elastic_ips as show_elastic_ips
from elba.ec2.queries import interfaces as show_interfaces
from elba.ec2.queries import nat_gateways as show_nat_gateways
from elba.ec2.queries import network, nothing
from elba.ec2.queries import routes as show_routes
from elba.ec2.queries import security_groups as show_security_groups

create_vpc = mutating(vpcs.create_vpc)
create_default_vpc = mutating(vpcs.create_default_vpc)
delete_vpc = mutating(vpcs.delete_vpc)
modify_vpc_attribute = mutating(vpcs.modify_vpc_attribute)
describe_vpcs = reading(network.describe_vpcs)
describe_vpc_attribute = reading(network.describe_vpc_attribute)

associate_vpc_cidr_block = mutating(blocks.associate_vpc_cidr_block)
disassociate_vpc_cidr_block = mutating(blocks.disassociate_vpc_cidr_block)
associate_subnet_cidr_block = mutating(blocks.associate_subnet_cidr_block)
disassociate_subnet_cidr_block = mutating(blocks.disassociate_subnet_cidr_block)

create_subnet = mutating(vpcs.create_subnet)
create_default_subnet = mutating(vpcs.create_default_subnet)
delete_subnet = mutating(vpcs.delete_subnet)
modify_subnet_attribute = mutating(vpcs.modify_subnet_attribute)
describe_subnets = reading(network.describe_subnets)

create_internet_gateway = mutating(gateways.create_internet_gateway)
attach_internet_gateway = mutating(gateways.attach_internet_gateway)
detach_internet_gateway = mutating(gateways.detach_internet_gateway)
delete_internet_gateway = mutating(gateways.delete_internet_gateway)
describe_internet_gateways = reading(network.describe_internet_gateways)

create_route_table = mutating(routes.create_route_table)
delete_route_table = mutating(routes.delete_route_table)
create_route = mutating(routes.create_route)
replace_route = mutating(routes.replace_route)
delete_route = mutating(routes.delete_route)
associate_route_table = mutating(routes.associate_route_table)
disassociate_route_table = mutating(routes.disassociate_route_table)
replace_route_table_association = mutating(routes.replace_route_table_association)
describe_route_tables = reading(show_routes.describe_route_tables)

create_network_acl = mutating(network_acls.create_network_acl)
delete_network_acl = mutating(network_acls.delete_network_acl)
create_network_acl_entry = mutating(network_acls.create_network_acl_entry)
replace_network_acl_entry = mutating(network_acls.replace_network_acl_entry)
delete_network_acl_entry = mutating(network_acls.delete_network_acl_entry)
replace_network_acl_association = mutating(network_acls.replace_network_acl_association)
describe_network_acls = reading(network.describe_network_acls)


create_nat_gateway = mutating(nat_gateways.create_nat_gateway)
delete_nat_gateway = mutating(nat_gateways.delete_nat_gateway)
describe_nat_gateways = reading(show_nat_gateways.describe_nat_gateways)

create_security_group = mutating(security_groups.create_security_group)
delete_security_group = mutating(security_groups.delete_security_group)
authorize_security_group_ingress = mutating(security_groups.authorize_security_group_ingress)
authorize_security_group_egress = mutating(security_groups.authorize_security_group_egress)
revoke_security_group_ingress = mutating(security_groups.revoke_security_group_ingress)
revoke_security_group_egress = mutating(security_groups.revoke_security_group_egress)
modify_security_group_rules = mutating(security_groups.modify_security_group_rules)
update_security_group_rule_descriptions_ingress = mutating(
    security_groups.update_security_group_rule_descriptions_ingress
)
update_security_group_rule_descriptions_egress = mutating(
    security_groups.update_security_group_rule_descriptions_egress
)
describe_security_groups = reading(show_security_groups.describe_security_groups)
describe_security_group_rules = reading(show_security_groups.describe_security_group_rules)

create_network_interface = mutating(interfaces.create_network_interface)
delete_network_interface = mutating(interfaces.delete_network_interface)
attach_network_interface = mutating(interfaces.attach_network_interface)
detach_network_interface = mutating(interfaces.detach_network_interface)
modify_network_interface_attribute = mutating(interfaces.modify_network_interface_attribute)
assign_private_ip_addresses = mutating(interfaces.assign_private_ip_addresses)
unassign_private_ip_addresses = mutating(interfaces.unassign_private_ip_addresses)
describe_network_interfaces = reading(show_interfaces.describe_network_interfaces)
describe_network_interface_attribute = reading(show_interfaces.describe_network_interface_attribute)

allocate_address = mutating(elastic_ips.allocate_address)
associate_address = mutating(elastic_ips.associate_address)
disassociate_address = mutating(elastic_ips.disassociate_address)
release_address = mutating(elastic_ips.release_address)
describe_addresses = reading(show_elastic_ips.describe_addresses)
describe_addresses_attribute = reading(show_elastic_ips.describe_addresses_attribute)

describe_transit_gateways = reading(nothing.describe_transit_gateways)
describe_capacity_reservations = reading(nothing.describe_capacity_reservations)
