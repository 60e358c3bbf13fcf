"""EC2's stored resources. Types only.

`id` is the EC2 id unless said otherwise. Field names are those of the API's answers in snake_case, so that
an answer is mostly the resource itself.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from elba.resource import Resource

Tags = dict[str, str]


class AddressPool(Resource, frozen=True, kw_only=True):
    """Which parts of 127.0.0.0/8 this store hands out: one, account and region "elba", id "slices".

    VPCs get slices `first` to `last`; Elastic IP addresses come from slice `elastic`. Absent = the defaults.
    `zone_letters` says which zones each region has: those for which there is a zone node.
    """

    KIND: ClassVar[str] = "ec2.address_pool"

    first: int = 16
    last: int = 254
    elastic: int = 15
    zone_letters: tuple[str, ...] = ("a", "b", "c")


class AccountDefaults(Resource, frozen=True, kw_only=True):
    """Says that (account, region) has been given its default VPC: one that is deleted does not come back.

    `id` is "defaults".
    """

    KIND: ClassVar[str] = "ec2.account_defaults"

    dhcp_options_id: str = ""
    default_credit_specification: dict[str, str] = {}


class VpcBlock(msgspec.Struct, frozen=True, kw_only=True):
    """A block besides a VPC's first: IPv4 with a slice of its own, or IPv6 (data: nothing carries it)."""

    association_id: str
    cidr_block: str
    slice: int = 0


class Vpc(Resource, frozen=True, kw_only=True):
    """`slice`: the second octet of the 127.0.0.0/8 addresses under which the host reaches this VPC's addresses."""

    KIND: ClassVar[str] = "ec2.vpc"

    cidr_block: str
    slice: int
    is_default: bool = False
    instance_tenancy: str = "default"
    dhcp_options_id: str = ""
    association_id: str = ""
    enable_dns_support: bool = True
    enable_dns_hostnames: bool = False
    enable_network_address_usage_metrics: bool = False
    blocks: list[VpcBlock] = []
    create_time: float = 0.0
    tags: Tags = {}


class Subnet(Resource, frozen=True, kw_only=True):
    KIND: ClassVar[str] = "ec2.subnet"

    vpc_id: str
    cidr_block: str
    availability_zone: str
    availability_zone_id: str
    default_for_az: bool = False
    map_public_ip_on_launch: bool = False
    assign_ipv6_address_on_creation: bool = False
    enable_dns64: bool = False
    ipv6_cidr_block: str = ""
    ipv6_association_id: str = ""
    hostname_type: str = "ip-name"
    enable_resource_name_dns_a_record: bool = False
    enable_resource_name_dns_aaaa_record: bool = False
    tags: Tags = {}

    def parent_id(self) -> str:
        return self.vpc_id


class SubnetAddresses(Resource, frozen=True, kw_only=True):
    """Where the search for a subnet's next address starts, and how many are taken. `id` is the subnet's.

    `next_offset` only moves on (and round), so that a freed address is the last to be used again.
    """

    KIND: ClassVar[str] = "ec2.subnet_addresses"

    next_offset: int
    used: int = 0


class PrivateAddress(Resource, frozen=True, kw_only=True):
    """One taken address. `id` is `<subnet id>/<address>`."""

    KIND: ClassVar[str] = "ec2.private_address"

    network_interface_id: str


class NetworkInterface(Resource, frozen=True, kw_only=True):
    """Holds one private address of a subnet: an instance's, or a load balancer's in one zone.

    `owner` is the instance id or load balancer ARN that uses it; `host_address` where the host reaches it.
    """

    KIND: ClassVar[str] = "ec2.network_interface"

    subnet_id: str
    vpc_id: str
    availability_zone: str
    private_ip_address: str
    host_address: str
    mac_address: str = ""
    description: str = ""
    owner: str = ""
    interface_type: str = "interface"
    requester_managed: bool = False
    group_ids: list[str] = []
    public: bool = False
    """True if `host_address` is shown as its public address."""
    attachment_id: str = ""
    delete_on_termination: bool = True
    source_dest_check: bool = True
    status: str = "available"
    create_time: float = 0.0
    device_index: int = 0
    attach_time: float = 0.0
    secondary_private_ip_addresses: list[str] = []
    allocation_id: str = ""
    """Of the Elastic IP address associated with it."""
    association_id: str = ""
    elastic_ip: str = ""
    tags: Tags = {}

    def parent_id(self) -> str:
        return self.subnet_id


class InternetGateway(Resource, frozen=True, kw_only=True):
    """`vpc_id` is "" while it is detached."""

    KIND: ClassVar[str] = "ec2.internet_gateway"

    vpc_id: str = ""
    tags: Tags = {}

    def parent_id(self) -> str:
        return self.vpc_id


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One destination and one target: `target` names the API's member (`gateway_id`, `network_interface_id` …)."""

    destination: str
    """An IPv4 or IPv6 CIDR block or a prefix list id."""
    target: str
    target_id: str
    origin: str = "CreateRoute"


class RouteTableAssociation(msgspec.Struct, frozen=True, kw_only=True):
    """`subnet_id` and `gateway_id` are "" in the main association."""

    association_id: str
    subnet_id: str = ""
    gateway_id: str = ""
    main: bool = False


class RouteTable(Resource, frozen=True, kw_only=True):
    KIND: ClassVar[str] = "ec2.route_table"

    vpc_id: str
    routes: list[Route] = []
    associations: list[RouteTableAssociation] = []
    tags: Tags = {}

    def parent_id(self) -> str:
        return self.vpc_id


class NetworkAclEntry(msgspec.Struct, frozen=True, kw_only=True):
    rule_number: int
    egress: bool
    rule_action: str
    protocol: str = "-1"
    cidr_block: str = ""
    ipv6_cidr_block: str = ""
    from_port: int | None = None
    to_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None


class NetworkAcl(Resource, frozen=True, kw_only=True):
    """Subnets name the ACL they use only by being associated here; `associations` maps subnet id to association id."""

    KIND: ClassVar[str] = "ec2.network_acl"

    vpc_id: str
    is_default: bool = False
    entries: list[NetworkAclEntry] = []
    associations: dict[str, str] = {}
    tags: Tags = {}

    def parent_id(self) -> str:
        return self.vpc_id


class Address(Resource, frozen=True, kw_only=True):
    """An Elastic IP address; `id` is the allocation id. `network_interface_id` is "" while it is not associated."""

    KIND: ClassVar[str] = "ec2.address"

    public_ip: str
    association_id: str = ""
    network_interface_id: str = ""
    instance_id: str = ""
    private_ip_address: str = ""
    network_border_group: str = ""
    tags: Tags = {}


class NatGateway(Resource, frozen=True, kw_only=True):
    """Data only: instances reach the outside whatever it says. `state`: available or deleted."""

    KIND: ClassVar[str] = "ec2.nat_gateway"

    subnet_id: str
    vpc_id: str
    network_interface_id: str
    private_ip_address: str
    allocation_id: str = ""
    public_ip: str = ""
    connectivity_type: str = "public"
    state: str = "available"
    create_time: float = 0.0
    delete_time: float = 0.0
    tags: Tags = {}

    def parent_id(self) -> str:
        return self.vpc_id


class PlacementGroup(Resource, frozen=True, kw_only=True):
    """`id` is the group id; names are unique per owner."""

    KIND: ClassVar[str] = "ec2.placement_group"

    group_name: str
    strategy: str = "cluster"
    partition_count: int | None = None
    spread_level: str = ""
    tags: Tags = {}


class Volume(Resource, frozen=True, kw_only=True):
    """A volume of an instance's: it holds nothing of its own, the instance's directory is its content."""

    KIND: ClassVar[str] = "ec2.volume"

    instance_id: str
    device: str
    availability_zone: str
    size: int = 8
    volume_type: str = "gp3"
    iops: int | None = None
    throughput: int | None = None
    encrypted: bool = False
    kms_key_id: str = ""
    snapshot_id: str = ""
    delete_on_termination: bool = True
    attach_time: float = 0.0
    create_time: float = 0.0
    impaired_since: float = 0.0
    """Since when its I/O is stalled, as far as the operator who stalled it is concerned; 0: it is not."""
    tags: Tags = {}

    def parent_id(self) -> str:
        return self.instance_id


class ReplaceRootVolumeTask(Resource, frozen=True, kw_only=True):
    """`state`: in-progress, succeeded or failed. `replaced`: the new volume is there, the instance has yet to boot."""

    KIND: ClassVar[str] = "ec2.replace_root_volume_task"

    instance_id: str
    image_id: str
    image_given: bool = False
    """It replaces the image of the instance; else that stays what it was."""
    snapshot_id: str = ""
    delete_replaced_root_volume: bool = False
    state: str = "in-progress"
    replaced: bool = False
    start_time: float = 0.0
    complete_time: float = 0.0
    tags: Tags = {}

    def parent_id(self) -> str:
        return self.instance_id


class Snapshot(Resource, frozen=True, kw_only=True):
    """The record of what CreateImage keeps; the files are the image's."""

    KIND: ClassVar[str] = "ec2.snapshot"

    volume_id: str
    volume_size: int = 8
    description: str = ""
    encrypted: bool = False
    start_time: float = 0.0
    tags: Tags = {}


class Permission(msgspec.Struct, frozen=True, kw_only=True):
    """One security group rule: exactly one of the four sources is set."""

    rule_id: str
    egress: bool
    ip_protocol: str
    from_port: int = -1
    to_port: int = -1
    cidr_ipv4: str = ""
    cidr_ipv6: str = ""
    prefix_list_id: str = ""
    group_id: str = ""
    group_owner_id: str = ""
    description: str = ""
    tags: Tags = {}


class SecurityGroup(Resource, frozen=True, kw_only=True):
    KIND: ClassVar[str] = "ec2.security_group"

    group_name: str
    description: str
    vpc_id: str
    permissions: list[Permission] = []
    tags: Tags = {}

    def parent_id(self) -> str:
        return self.vpc_id


class LaunchTemplateVersion(msgspec.Struct, frozen=True, kw_only=True):
    """`data` is LaunchTemplateData as the request gave it, in snake_case; `user_data` inside is base64 text."""

    version_number: int
    data: dict[str, object]
    version_description: str | None = None
    create_time: float = 0.0
    created_by: str = ""


class LaunchTemplate(Resource, frozen=True, kw_only=True):
    """Version numbers start at 1 and are never reused: `latest_version_number` survives deletions."""

    KIND: ClassVar[str] = "ec2.launch_template"

    launch_template_name: str
    default_version_number: int = 1
    latest_version_number: int = 1
    versions: list[LaunchTemplateVersion] = []
    create_time: float = 0.0
    created_by: str = ""
    tags: Tags = {}


class Image(Resource, frozen=True, kw_only=True):
    """An image of the user's own (CreateImage); the built-in ones are in `images`, not in the store."""

    KIND: ClassVar[str] = "ec2.image"

    name: str
    description: str = ""
    state: str = "available"
    architecture: str = "x86_64"
    creation_date: float = 0.0
    source_instance_id: str = ""
    snapshot_id: str = ""
    owner_alias: str = ""
    public: bool = False
    path: str = ""
    volume_size: int = 8
    root_device_name: str = "/dev/xvda"
    no_reboot: bool = False
    launch_permissions: list[str] = []
    """Account ids it is shared with; `public` says all."""
    deregistered: bool = False
    state_reason_message: str = ""
    tags: Tags = {}


class KeyPair(Resource, frozen=True, kw_only=True):
    """`id` is the key pair id; names are unique per owner."""

    KIND: ClassVar[str] = "ec2.key_pair"

    key_name: str
    key_fingerprint: str
    key_type: str = "rsa"
    public_key: str = ""
    create_time: float = 0.0
    tags: Tags = {}


STATE_CODES = {
    "pending": 0,
    "running": 16,
    "shutting-down": 32,
    "terminated": 48,
    "stopping": 64,
    "stopped": 80,
}


class Instance(Resource, frozen=True, kw_only=True):
    """Desired and observed in one: `desired` is what the last accepted request wants, `state` what is so.

    desired: running, stopped, terminated. The reconciler moves `state` (EC2's instance-state-name) towards it.
    `boots` counts how often a start or reboot was asked for; `boots_done` what the provider carried out.
    Source: EC2 user guide, "Instance lifecycle".
    """

    KIND: ClassVar[str] = "ec2.instance"

    image_id: str
    instance_type: str
    subnet_id: str
    vpc_id: str
    availability_zone: str
    private_ip_address: str
    host_address: str
    network_interface_id: str
    reservation_id: str
    launch_time: float
    desired: str = "running"
    state: str = "pending"
    state_transition_time: float = 0.0
    state_reason_code: str = ""
    state_reason_message: str = ""
    state_transition_reason: str = ""
    boots: int = 0
    boots_done: int = 0
    force_stop: bool = False
    recovery: str = ""
    """"stopping" while it is ended where it is, "starting" until it runs elsewhere; "" if it is not being recovered.

    "replacing" while it is ended to get a new root volume, with which it is then started: `root_task_id` says which.
    """
    root_task_id: str = ""
    public: bool = False
    public_ip_address: str = ""
    private_dns_name: str = ""
    public_dns_name: str = ""
    group_ids: list[str] = []
    key_name: str = ""
    ami_launch_index: int = 0
    user_data: str = ""
    """base64, as the API carries it."""
    client_token: str = ""
    iam_instance_profile_arn: str = ""
    iam_instance_profile_id: str = ""
    monitoring: bool = False
    disable_api_termination: bool = False
    disable_api_stop: bool = False
    instance_initiated_shutdown_behavior: str = "stop"
    ebs_optimized: bool = False
    source_dest_check: bool = True
    tenancy: str = "default"
    placement_group: str = ""
    partition_number: int | None = None
    root_volume_id: str = ""
    root_device_name: str = "/dev/xvda"
    architecture: str = "x86_64"
    secondary_network_interface_ids: list[str] = []
    hibernation: bool = False
    enclave: bool = False
    auto_recovery: str = "default"
    capacity_reservation_preference: str = "open"
    core_count: int = 0
    threads_per_core: int = 0
    hostname_type: str = "ip-name"
    enable_resource_name_dns_a_record: bool = False
    spot_interruption_behavior: str = ""
    """terminate, stop or hibernate; "" for On-Demand."""
    spot_instance_type: str = ""
    spot_max_price: str = ""
    """one-time or persistent; "" for On-Demand."""
    spot_request_cancelled: bool = False
    cpu_credits: str = ""
    lifecycle: str = ""
    """"spot", or "" for On-Demand."""
    spot_instance_request_id: str = ""
    spot_interruption_time: float = 0.0
    """When Spot takes it back (0 = it does not): set two minutes ahead, shown by the metadata service."""
    rebalance_recommendation_time: float = 0.0
    http_tokens: str = "optional"
    http_endpoint: str = "enabled"
    http_put_response_hop_limit: int = 1
    http_protocol_ipv6: str = "disabled"
    instance_metadata_tags: str = "disabled"
    launch_template_id: str = ""
    launch_template_version: int = 0
    instance_status: str = "initializing"
    system_status: str = "initializing"
    terminated_at: float = 0.0
    tags: Tags = {}


class CpuCredits(Resource, frozen=True, kw_only=True):
    """A burstable instance's credits; `id` is the instance's. `used` and `charged` are of the last five minutes."""

    KIND: ClassVar[str] = "ec2.cpu_credits"

    balance: float = 0.0
    surplus: float = 0.0
    charged: float = 0.0
    used: float = 0.0


class ClientToken(Resource, frozen=True, kw_only=True):
    """Remembers an idempotency token: `id` is `<operation>:<token>`, `digest` that of the parameters."""

    KIND: ClassVar[str] = "ec2.client_token"

    digest: str
    result: list[str] = []
    created_at: float = 0.0
