"""EC2's stored resources. Types only.

`id` is the EC2 id unless said otherwise. Field names are those of the API's answers in snake_case, so that
an answer is mostly the resource itself.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from elba.resource import Resource

Tags = dict[str, str]


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
    tags: Tags = {}

    def parent_id(self) -> str:
        return self.vpc_id


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
    tags: Tags = {}

    def parent_id(self) -> str:
        return self.subnet_id


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
    root_volume_id: str = ""
    cpu_credits: str = ""
    lifecycle: str = ""
    """"spot", or "" for On-Demand."""
    spot_instance_request_id: str = ""
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


class ClientToken(Resource, frozen=True, kw_only=True):
    """Remembers an idempotency token: `id` is `<operation>:<token>`, `digest` that of the parameters."""

    KIND: ClassVar[str] = "ec2.client_token"

    digest: str
    result: list[str] = []
    created_at: float = 0.0
