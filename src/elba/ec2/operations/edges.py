"""Operations of what hangs on a VPC besides its subnets."""

from __future__ import annotations

from elba.ec2.commands import dhcp_options, edge_gateways, endpoints, flow_logs, peering, prefix_lists
from elba.ec2.operations.making import mutating, reading
from elba.ec2.queries import dhcp_options as show_dhcp_options
from elba.ec2.queries import edge_gateways as show_edge_gateways
from elba.ec2.queries import endpoints as show_endpoints
from elba.ec2.queries import peering as show_peering
from elba.ec2.queries import prefix_lists as show_prefix_lists

create_dhcp_options = mutating(dhcp_options.create_dhcp_options)
associate_dhcp_options = mutating(dhcp_options.associate_dhcp_options)
delete_dhcp_options = mutating(dhcp_options.delete_dhcp_options)
describe_dhcp_options = reading(show_dhcp_options.describe_dhcp_options)

create_managed_prefix_list = mutating(prefix_lists.create_managed_prefix_list)
modify_managed_prefix_list = mutating(prefix_lists.modify_managed_prefix_list)
delete_managed_prefix_list = mutating(prefix_lists.delete_managed_prefix_list)
describe_managed_prefix_lists = reading(show_prefix_lists.describe_managed_prefix_lists)
describe_prefix_lists = reading(show_prefix_lists.describe_prefix_lists)
get_managed_prefix_list_entries = reading(show_prefix_lists.get_managed_prefix_list_entries)

create_vpc_endpoint = mutating(endpoints.create_vpc_endpoint)
modify_vpc_endpoint = mutating(endpoints.modify_vpc_endpoint)
delete_vpc_endpoints = mutating(endpoints.delete_vpc_endpoints)
describe_vpc_endpoints = reading(show_endpoints.describe_vpc_endpoints)
describe_vpc_endpoint_services = reading(show_endpoints.describe_vpc_endpoint_services)

create_egress_only_internet_gateway = mutating(edge_gateways.create_egress_only_internet_gateway)
delete_egress_only_internet_gateway = mutating(edge_gateways.delete_egress_only_internet_gateway)
describe_egress_only_internet_gateways = reading(show_edge_gateways.describe_egress_only_internet_gateways)
create_vpn_gateway = mutating(edge_gateways.create_vpn_gateway)
attach_vpn_gateway = mutating(edge_gateways.attach_vpn_gateway)
detach_vpn_gateway = mutating(edge_gateways.detach_vpn_gateway)
delete_vpn_gateway = mutating(edge_gateways.delete_vpn_gateway)
enable_vgw_route_propagation = mutating(edge_gateways.enable_vgw_route_propagation)
disable_vgw_route_propagation = mutating(edge_gateways.disable_vgw_route_propagation)
describe_vpn_gateways = reading(show_edge_gateways.describe_vpn_gateways)
create_customer_gateway = mutating(edge_gateways.create_customer_gateway)
delete_customer_gateway = mutating(edge_gateways.delete_customer_gateway)
describe_customer_gateways = reading(show_edge_gateways.describe_customer_gateways)

create_vpc_peering_connection = mutating(peering.create_vpc_peering_connection)
accept_vpc_peering_connection = mutating(peering.accept_vpc_peering_connection)
reject_vpc_peering_connection = mutating(peering.reject_vpc_peering_connection)
delete_vpc_peering_connection = mutating(peering.delete_vpc_peering_connection)
modify_vpc_peering_connection_options = mutating(peering.modify_vpc_peering_connection_options)
describe_vpc_peering_connections = reading(show_peering.describe_vpc_peering_connections)

create_flow_logs = mutating(flow_logs.create_flow_logs)
delete_flow_logs = mutating(flow_logs.delete_flow_logs)
describe_flow_logs = reading(show_peering.describe_flow_logs)
