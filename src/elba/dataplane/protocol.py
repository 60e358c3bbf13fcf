"""The control protocol between the control plane and a zone node.

Frames on a stream (Unix socket, later mTLS TCP): a 32-bit big-endian length, then that many bytes of JSON, an
object whose `type` names the message. The node listens, the control plane connects: a node outlives any control
plane. Down: `Snapshot`, `Delta`, `GetSnapshot`, `Shutdown`. Up: `Hello` (once, first), `Ack`/`Nack` per version,
`Current` (answer to GetSnapshot), `Report` each second.

The same types in Rust: `crates/elba-core/src/protocol.rs`. The golden files in `tests/golden/protocol` are read
by the tests of both. Unknown fields are ignored, absent ones take their default: either side may be newer.

Durations are seconds. Fields marked [scaled] pass in clock time: the node divides them by `clock.scale`;
all others are the world's time.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from elba.log import Discreet

PROTOCOL_VERSION = 1
MAX_FRAME_BYTES = 64 * 1024 * 1024


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of everything inside a message."""


# ── configuration ────────────────────────────────────────────────────────────────────────────────────


class NodeClock(Part, frozen=True, kw_only=True, omit_defaults=True):
    """Maps world time to clock time: clock = origin + (world - origin) * scale."""

    scale: float = 1.0
    origin: float = 0.0


class Peer(Part, frozen=True, kw_only=True, omit_defaults=True):
    """Another zone's node, probed each second so that DNS leaves out zones whose node is down."""

    zone: str
    address: str  # "127.0.0.1:port" of its liveness listener


class Node(Part, frozen=True, kw_only=True, omit_defaults=True):
    """What the node needs to know of itself. `front_door`: address on which every listener's port is also served,
    the load balancer chosen by Host header (or SNI); empty = none. `dns`: "address:port" list to answer DNS on."""

    id: str  # "us-east-1a"
    zone: str
    region: str
    clock: NodeClock = NodeClock()
    liveness: str = ""
    dns: list[str] = []
    front_door: str = "127.0.0.1"
    peers: list[Peer] = []
    workers: int = 0  # 0 = one per core
    report_interval_seconds: float = 1.0
    log_directory: str = ""
    functions_url: str = ""  # where functions are invoked: `<functions_url><function ARN>/invocations`; "" = nowhere
    functions_secret: str = ""
    identity_authorities: str = ""  # PEM: whose certificates identity providers may have, besides the system's


class HealthCheck(Part, frozen=True, kw_only=True, omit_defaults=True):
    enabled: bool = True
    protocol: str = "HTTP"  # HTTP, HTTPS, TCP
    port: int | None = None  # None = the target's traffic port
    path: str = "/"
    interval_seconds: float = 30  # [scaled]
    timeout_seconds: float = 5
    healthy_threshold: int = 5
    unhealthy_threshold: int = 2
    matcher: str = "200"  # HTTP codes, or gRPC codes for a GRPC group
    grpc: bool = False


class Target(Part, frozen=True, kw_only=True, omit_defaults=True):
    """`key` identifies it in reports: `<id>:<port>`. `state`: "active", or "draining" = no new requests.

    A draining target that leaves its (still existing) group has its in-flight requests cut (AWS: 502).
    `known_health`: last health the control plane knows, taken by a node that has no own yet ("" = none)."""

    id: str
    port: int
    address: str  # where the node connects: host address of the instance, or the ip target's address
    zone: str = ""  # "" or "all" = any
    state: str = "active"
    known_health: str = ""
    host_header: str = ""  # address:port as AWS's health check would show it in Host (private address)
    refused: bool = False  # security groups keep the load balancer from its port
    check_refused: bool = False  # … from its health check port
    shifted: bool = False  # a zonal shift keeps new requests from its zone

    @property
    def key(self) -> str:
        return f"{self.id}:{self.port}"


class TargetGroup(Part, frozen=True, kw_only=True, omit_defaults=True):
    arn: str
    name: str
    resource_id: str  # "targetgroup/<name>/<id>" as in metrics and logs
    protocol: str = "HTTP"
    protocol_version: str = "HTTP1"
    target_type: str = "instance"
    algorithm: str = "round_robin"
    anomaly_mitigation: bool = False
    cross_zone: bool = True
    slow_start_seconds: float = 0  # [scaled]
    stickiness_enabled: bool = False
    stickiness_type: str = "lb_cookie"
    stickiness_seconds: float = 86400  # [scaled]
    app_cookie_name: str = ""
    routing_minimum_healthy_count: int = 1
    routing_minimum_healthy_percentage: float | None = None
    dns_minimum_healthy_count: int | None = 1
    dns_minimum_healthy_percentage: float | None = None
    health_check: HealthCheck = HealthCheck()
    multi_value_headers: bool = False
    targets: list[Target] = []


class KeyValue(Part, frozen=True, kw_only=True, omit_defaults=True):
    key: str = ""  # "" = any key
    value: str = ""


class Condition(Part, frozen=True, kw_only=True, omit_defaults=True):
    """`field` as AWS names it; the member that goes with it is filled, the others are empty."""

    field: str
    values: list[str] = []  # host-header, path-pattern, http-request-method, source-ip, http-header values
    regex_values: list[str] = []
    header_name: str = ""
    query: list[KeyValue] = []


class WeightedTargetGroup(Part, frozen=True, kw_only=True, omit_defaults=True):
    arn: str
    weight: int = 1


class Redirect(Part, frozen=True, kw_only=True, omit_defaults=True):
    protocol: str = "#{protocol}"
    host: str = "#{host}"
    port: str = "#{port}"
    path: str = "/#{path}"
    query: str = "#{query}"
    status: int = 301


class FixedResponse(Part, frozen=True, kw_only=True, omit_defaults=True):
    status: int
    body: str = ""
    content_type: str = "text/plain"


class Authenticate(Discreet, Part, frozen=True, kw_only=True, omit_defaults=True):
    """authenticate-oidc and, with its endpoints derived by the control plane, authenticate-cognito."""

    SECRETS: ClassVar[frozenset[str]] = frozenset({"client_secret"})

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    user_info_endpoint: str
    client_id: str
    client_secret: str
    session_cookie_name: str = "AWSELBAuthSessionCookie"
    scope: str = "openid"
    session_timeout_seconds: float = 604800  # [scaled]
    extra_parameters: list[KeyValue] = []
    on_unauthenticated: str = "authenticate"


class JwtClaim(Part, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    format: str
    values: list[str] = []


class JwtValidation(Part, frozen=True, kw_only=True, omit_defaults=True):
    jwks_endpoint: str
    issuer: str
    claims: list[JwtClaim] = []


class Action(Part, frozen=True, kw_only=True, omit_defaults=True):
    """`kind`: forward, redirect, fixed-response, authenticate-oidc, authenticate-cognito, jwt-validation."""

    kind: str
    target_groups: list[WeightedTargetGroup] = []
    group_stickiness_seconds: float | None = None  # [scaled]; None = off
    redirect: Redirect | None = None
    fixed_response: FixedResponse | None = None
    authenticate: Authenticate | None = None
    jwt: JwtValidation | None = None


class Rewrite(Part, frozen=True, kw_only=True, omit_defaults=True):
    regex: str
    replace: str


class Transform(Part, frozen=True, kw_only=True, omit_defaults=True):
    kind: str  # url-rewrite, host-header-rewrite
    rewrites: list[Rewrite] = []


class Rule(Part, frozen=True, kw_only=True, omit_defaults=True):
    """`priority` 0 = the default rule (as the access log shows it). Sorted, default last."""

    arn: str
    priority: int
    conditions: list[Condition] = []
    actions: list[Action] = []
    transforms: list[Transform] = []


class Certificate(Discreet, Part, frozen=True, kw_only=True, omit_defaults=True):
    """PEM chain and key. `names`: the DNS names it covers, lower case."""

    SECRETS: ClassVar[frozenset[str]] = frozenset({"private_key"})

    arn: str
    chain: str
    private_key: str
    names: list[str] = []


class MutualTls(Part, frozen=True, kw_only=True, omit_defaults=True):
    mode: str = "off"
    trust_store_arn: str = ""
    ca_bundle: str = ""
    crls: list[str] = []
    ignore_expiry: bool = False
    advertise_names: bool = False


class Listener(Part, frozen=True, kw_only=True, omit_defaults=True):
    arn: str
    port: int
    protocol: str = "HTTP"
    rules: list[Rule] = []
    certificates: list[Certificate] = []  # the default first
    ssl_policy: str = ""
    mutual_tls: MutualTls | None = None
    attributes: dict[str, str] = {}  # keys and values as AWS names them
    allowed_sources: list[str] | None = None  # CIDRs that security groups let in here; None = everybody


class ZoneAddress(Part, frozen=True, kw_only=True, omit_defaults=True):
    zone: str
    address: str


class CookieKey(Discreet, Part, frozen=True, kw_only=True, omit_defaults=True):
    """A key for the stickiness and session cookies, from the store; the first encrypts, all decrypt."""

    SECRETS: ClassVar[frozenset[str]] = frozenset({"secret"})

    id: str
    secret: str  # 32 bytes, base64


class IdentityKey(Discreet, Part, frozen=True, kw_only=True, omit_defaults=True):
    """Signs what the load balancer says of users to targets."""

    SECRETS: ClassVar[frozenset[str]] = frozenset({"private_key"})

    id: str
    private_key: str  # P-256, PKCS #8, base64


class LoadBalancer(Part, frozen=True, kw_only=True, omit_defaults=True):
    """`addresses`: one per enabled zone; the node binds its own zone's. `attributes`: AWS's keys and values."""

    arn: str
    name: str
    resource_id: str  # "app/<name>/<id>"
    dns_name: str
    kind: str = "application"  # application, network, gateway, classic
    account: str = ""
    addresses: list[ZoneAddress] = []
    listeners: list[Listener] = []
    attributes: dict[str, str] = {}
    cookie_keys: list[CookieKey] = []
    identity_key: IdentityKey | None = None
    trusted_roots: str = ""  # PEM: authorities that identity providers may have their certificates from
    shifted_zone: str = ""  # the zone that a zonal shift takes out of DNS


# ── messages down ────────────────────────────────────────────────────────────────────────────────────


class Snapshot(Part, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="snapshot"):
    """Everything. Replaces what the node has; what is equal is left undisturbed."""

    version: int
    node: Node
    load_balancers: list[LoadBalancer] = []
    target_groups: list[TargetGroup] = []


class TargetChange(Part, frozen=True, kw_only=True, omit_defaults=True):
    """Targets of one group put (added or replaced by key) and removed (keys)."""

    target_group: str
    put: list[Target] = []
    removed: list[str] = []


class Delta(Part, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="delta"):
    """Changes from `base` to `version`, applied whole or not at all; Nack "base" asks for a Snapshot."""

    base: int
    version: int
    put_load_balancers: list[LoadBalancer] = []
    removed_load_balancers: list[str] = []
    put_target_groups: list[TargetGroup] = []
    removed_target_groups: list[str] = []
    targets: list[TargetChange] = []
    node: Node | None = None


class GetSnapshot(Part, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="get_snapshot"):
    """Asks for what is really loaded."""


class Shutdown(Part, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="shutdown"):
    """Close listeners, finish what is in flight for so long, then exit."""

    drain_seconds: float = 0


Down = Snapshot | Delta | GetSnapshot | Shutdown


# ── messages up ──────────────────────────────────────────────────────────────────────────────────────


class Hello(Part, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="hello"):
    protocol: int
    node_id: str
    pid: int
    program_version: str
    config_version: int = 0  # 0 = none loaded
    started_at: float = 0  # world time


class Ack(Part, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="ack"):
    version: int


class Nack(Part, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="nack"):
    """The old configuration stays. `reason` "base" = send a Snapshot; else what was wrong, for a person."""

    version: int
    reason: str


class Current(Part, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="current"):
    snapshot: Snapshot


class Histogram(Part, frozen=True, kw_only=True, omit_defaults=True):
    """Seconds in log-linear buckets: `buckets` holds [index, count]; see `bucket_value`."""

    count: int = 0
    sum: float = 0.0
    buckets: list[tuple[int, int]] = []


class LoadBalancerReport(Part, frozen=True, kw_only=True, omit_defaults=True):
    """Counts since the last report, by AWS metric name (RequestCount, HTTPCode_ELB_5XX_Count, ProcessedBytes …);
    zeros are left out. The node's zone is the AvailabilityZone dimension."""

    load_balancer: str
    counters: dict[str, float] = {}
    authentication_time: Histogram = Histogram()  # ELBAuthLatency


class TargetReport(Part, frozen=True, kw_only=True, omit_defaults=True):
    """Counts since the last report for one target of one group behind one load balancer."""

    load_balancer: str
    target_group: str
    target: str  # Target.key
    counters: dict[str, float] = {}
    response_time: Histogram = Histogram()
    outstanding: int = 0  # gauge


class HealthReport(Part, frozen=True, kw_only=True, omit_defaults=True):
    """State as DescribeTargetHealth names it (initial, healthy, unhealthy, unavailable) as this node sees it."""

    target_group: str
    target: str
    state: str
    reason: str = ""
    description: str = ""
    since: float = 0  # world time
    anomalous: bool = False  # it fails more than its siblings
    mitigated: bool = False  # … and gets less traffic for it


class Report(Part, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="report"):
    """Each `report_interval_seconds`. `health` holds every target in the first report of a connection
    (`full_health`), later only what changed; a change of health is reported at once, not at the interval."""

    sequence: int
    time: float  # world time at the end of the interval
    interval_seconds: float
    load_balancers: list[LoadBalancerReport] = []
    targets: list[TargetReport] = []
    health: list[HealthReport] = []
    full_health: bool = False
    zones_up: list[str] = []
    cpu_seconds: float = 0.0  # cumulative, of the node process
    open_connections: int = 0
    problems: list[str] = []
    """Standing problems, for people: "cannot bind 127.16.0.4:80: Address already in use"."""


Up = Hello | Ack | Nack | Current | Report

SUB_BUCKETS = 32
"""Buckets per power of two of microseconds: a bucket is at most 1/32 = 3.1 % wide."""


def bucket_value(index: int) -> float:
    """The middle of bucket `index`, in seconds: what a percentile of a histogram says.

    Buckets below SUB_BUCKETS are whole microseconds; above, each power of two has SUB_BUCKETS of them.
    """
    if index < SUB_BUCKETS:
        return (index + 0.5) * 1e-6
    power, sub = divmod(index - SUB_BUCKETS, SUB_BUCKETS)
    width = 1 << power
    return ((SUB_BUCKETS + sub) * width + width / 2) * 1e-6


def bucket_index(seconds: float) -> int:
    """The bucket of a duration; the node's Rust does the same."""
    micros = max(0, int(seconds * 1e6))
    if micros < SUB_BUCKETS:
        return micros
    power = micros.bit_length() - 6
    return SUB_BUCKETS + power * SUB_BUCKETS + ((micros >> power) - SUB_BUCKETS)
