"""ELBv2's stored resources. Types only. `id` is the ARN unless said otherwise."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from elba.log import Discreet
from elba.resource import Resource

Tags = dict[str, str]


class LoadBalancerZone(msgspec.Struct, frozen=True, kw_only=True):
    """One enabled zone. `host_address` is what its zone node binds; `network_interface_id` holds it."""

    zone_name: str
    subnet_id: str
    network_interface_id: str
    private_ip_address: str
    host_address: str
    allocation_id: str = ""


class LoadBalancer(Resource, frozen=True, kw_only=True):
    """`state_code`: provisioning until every zone's node has acknowledged a snapshot holding it, then active.

    `attributes` holds only what differs from the defaults of its type (alb.md §17.1).
    """

    KIND: ClassVar[str] = "elbv2.load_balancer"

    load_balancer_name: str
    resource_id: str  # app/<name>/<16 hex>
    dns_name: str
    type: str = "application"
    scheme: str = "internet-facing"
    ip_address_type: str = "ipv4"
    vpc_id: str = ""
    zones: list[LoadBalancerZone] = []
    security_groups: list[str] = []
    canonical_hosted_zone_id: str = ""
    created_time: float = 0.0
    state_code: str = "provisioning"
    state_reason: str = ""
    attributes: dict[str, str] = {}
    capacity_units: int = 0
    """Reserved with ModifyCapacityReservation; 0 = none."""
    capacity_modified_time: float = 0.0
    capacity_decreases: list[float] = []
    """When the reservation was lowered within the last day."""
    tags: Tags = {}


class Listener(Resource, frozen=True, kw_only=True):
    """Its default actions are its default rule (`Rule.priority` "default")."""

    KIND: ClassVar[str] = "elbv2.listener"

    load_balancer_arn: str
    port: int = 0
    protocol: str = ""
    certificates: list[str] = []
    """ARNs, the default first."""
    ssl_policy: str = ""
    alpn_policy: list[str] = []
    mutual_authentication: dict[str, Any] = {}
    attributes: dict[str, str] = {}
    tags: Tags = {}

    def parent_id(self) -> str:
        return self.load_balancer_arn


class Rule(Resource, frozen=True, kw_only=True):
    """Conditions, actions and transforms as the API has them, in snake_case and normalised (both forms filled)."""

    KIND: ClassVar[str] = "elbv2.rule"

    listener_arn: str
    load_balancer_arn: str
    priority: str
    conditions: list[dict[str, Any]] = []
    actions: list[dict[str, Any]] = []
    transforms: list[dict[str, Any]] = []
    tags: Tags = {}

    @property
    def is_default(self) -> bool:
        return self.priority == "default"

    def parent_id(self) -> str:
        return self.listener_arn


class TargetGroup(Resource, frozen=True, kw_only=True):
    """`load_balancer_arns` is derived on write from the rules that name the group (at most one load balancer)."""

    KIND: ClassVar[str] = "elbv2.target_group"

    target_group_name: str
    resource_id: str  # targetgroup/<name>/<16 hex>
    protocol: str | None = None
    port: int | None = None
    vpc_id: str | None = None
    target_type: str = "instance"
    protocol_version: str | None = None
    ip_address_type: str | None = "ipv4"
    health_check_enabled: bool = True
    health_check_protocol: str | None = "HTTP"
    health_check_port: str | None = "traffic-port"
    health_check_path: str | None = "/"
    health_check_interval_seconds: int = 30
    health_check_timeout_seconds: int = 5
    healthy_threshold_count: int = 5
    unhealthy_threshold_count: int = 2
    matcher: dict[str, str] = {}
    target_control_port: int | None = None
    load_balancer_arns: list[str] = []
    attributes: dict[str, str] = {}
    created_time: float = 0.0
    tags: Tags = {}


class Target(Resource, frozen=True, kw_only=True):
    """A registered (id, port) of a target group; `id` of the resource is `<group arn>|<target id>:<port>`.

    `draining_since` > 0: deregistered at that time, gone when the deregistration delay has passed.
    """

    KIND: ClassVar[str] = "elbv2.target"

    target_group_arn: str
    target_id: str
    port: int
    availability_zone: str = ""
    registered_at: float = 0.0
    draining_since: float = 0.0

    def parent_id(self) -> str:
        return self.target_group_arn

    @property
    def target_key(self) -> str:
        return f"{self.target_id}:{self.port}"


class TargetHealth(Resource, frozen=True, kw_only=True):
    """Observed: what the zone nodes' reports add up to for one target; same `id` as its Target.

    Written on transitions only. `state`, `reason`, `description` as DescribeTargetHealth shows them
    (initial, healthy, unhealthy, unavailable); unused and draining follow from desired state, not from here.
    """

    KIND: ClassVar[str] = "elbv2.target_health"

    target_group_arn: str
    state: str = "initial"
    reason: str = ""
    description: str = ""
    since: float = 0.0
    anomalous: bool = False
    """It fails more than its siblings, as some node sees it; `mitigated`: it gets less traffic for it."""
    mitigated: bool = False

    def parent_id(self) -> str:
        return self.target_group_arn


class CookieKeys(Resource, frozen=True, kw_only=True):
    """Keys of cookies, newest first, and of what is signed; `id` is the load balancer's ARN."""

    KIND: ClassVar[str] = "elbv2.cookie_keys"

    keys: list[tuple[str, str]] = []  # (key id, 32 bytes base64)
    identity_keys: list[tuple[str, str]] = []
    """(key id, P-256 as PKCS #8 in base64): the first signs x-amzn-oidc-data."""


class TrustStore(Discreet, Resource, frozen=True, kw_only=True):
    """CA certificates by which clients are verified. `url_key` signs the addresses from which contents are read."""

    KIND: ClassVar[str] = "elbv2.trust_store"
    SECRETS: ClassVar[frozenset[str]] = frozenset({"url_key"})

    name: str
    ca_bundle: str
    """PEM."""
    ca_certificates: int
    url_key: str
    last_revocation_id: int = 0
    tags: Tags = {}


class TrustStoreRevocation(Resource, frozen=True, kw_only=True):
    """A revocation list (PEM) of a trust store; `id` is `<trust store ARN>|<revocation id>`."""

    KIND: ClassVar[str] = "elbv2.trust_store_revocation"

    trust_store_arn: str
    revocation_id: int
    content: str
    revoked_entries: int

    def parent_id(self) -> str:
        return self.trust_store_arn
