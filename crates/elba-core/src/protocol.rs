//! The control protocol between the control plane and a zone node: `src/elba/dataplane/protocol.py` in Rust.
//!
//! Frames on a stream: a 32-bit big-endian length, then that many bytes of JSON, an object whose `type` names the
//! message. The golden files in `tests/golden/protocol` are read by the tests of both sides.
//! Durations are seconds; fields marked [scaled] pass in clock time: divide them by `NodeClock::scale`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub const PROTOCOL_VERSION: u32 = 1;
pub const MAX_FRAME_BYTES: u32 = 64 * 1024 * 1024;

/// Maps world time to clock time: clock = origin + (world - origin) * scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeClock {
    pub scale: f64,
    pub origin: f64,
}

impl Default for NodeClock {
    fn default() -> Self {
        NodeClock {
            scale: 1.0,
            origin: 0.0,
        }
    }
}

/// Another zone's node, probed each second so that DNS leaves out zones whose node is down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Peer {
    pub zone: String,
    /// "127.0.0.1:port" of its liveness listener
    pub address: String,
}

/// What the node needs to know of itself. `front_door`: address on which every listener's port is also served,
/// the load balancer chosen by Host header (or SNI); empty = none. `dns`: "address:port" list to answer DNS on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// "us-east-1a"
    pub id: String,
    pub zone: String,
    pub region: String,
    pub clock: NodeClock,
    pub liveness: String,
    pub dns: Vec<String>,
    pub front_door: String,
    pub peers: Vec<Peer>,
    /// 0 = one per core
    pub workers: u32,
    pub report_interval_seconds: f64,
    pub log_directory: String,
    /// where functions are invoked: `<functions_url><function ARN>/invocations`; "" = nowhere
    pub functions_url: String,
    pub functions_secret: String,
    /// PEM: authorities that identity providers' and key sets' certificates may come from, besides the system's
    pub identity_authorities: String,
}

impl Default for Node {
    fn default() -> Self {
        Node {
            id: Default::default(),
            zone: Default::default(),
            region: Default::default(),
            clock: Default::default(),
            liveness: String::new(),
            dns: Default::default(),
            front_door: "127.0.0.1".into(),
            peers: Default::default(),
            workers: 0,
            report_interval_seconds: 1.0,
            log_directory: String::new(),
            functions_url: String::new(),
            functions_secret: String::new(),
            identity_authorities: String::new(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheck {
    pub enabled: bool,
    /// HTTP, HTTPS, TCP
    pub protocol: String,
    /// None = the target's traffic port
    pub port: Option<u16>,
    pub path: String,
    /// [scaled]
    pub interval_seconds: f64,
    pub timeout_seconds: f64,
    pub healthy_threshold: u32,
    pub unhealthy_threshold: u32,
    /// HTTP codes, or gRPC codes for a GRPC group
    pub matcher: String,
    pub grpc: bool,
}

impl Default for HealthCheck {
    fn default() -> Self {
        HealthCheck {
            enabled: true,
            protocol: "HTTP".into(),
            port: None,
            path: "/".into(),
            interval_seconds: 30.0,
            timeout_seconds: 5.0,
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            matcher: "200".into(),
            grpc: false,
        }
    }
}

/// `key` identifies it in reports: `<id>:<port>`. `state`: "active", or "draining" = no new requests.
///
/// A draining target that leaves its (still existing) group has its in-flight requests cut (AWS: 502).
/// `known_health`: last health the control plane knows, taken by a node that has no own yet ("" = none).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Target {
    pub id: String,
    pub port: u16,
    /// where the node connects: host address of the instance, or the ip target's address
    pub address: String,
    /// "" or "all" = any
    pub zone: String,
    pub state: String,
    pub known_health: String,
    /// address:port as AWS's health check would show it in Host (private address)
    pub host_header: String,
    /// security groups keep the load balancer from its port
    pub refused: bool,
    /// … from its health check port
    pub check_refused: bool,
    /// a zonal shift keeps new requests from its zone
    pub shifted: bool,
}

impl Default for Target {
    fn default() -> Self {
        Target {
            id: Default::default(),
            port: Default::default(),
            address: Default::default(),
            zone: String::new(),
            state: "active".into(),
            known_health: String::new(),
            host_header: String::new(),
            refused: false,
            check_refused: false,
            shifted: false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetGroup {
    pub arn: String,
    pub name: String,
    /// "targetgroup/<name>/<id>" as in metrics and logs
    pub resource_id: String,
    pub protocol: String,
    pub protocol_version: String,
    pub target_type: String,
    pub algorithm: String,
    pub anomaly_mitigation: bool,
    pub cross_zone: bool,
    /// [scaled]
    pub slow_start_seconds: f64,
    pub stickiness_enabled: bool,
    pub stickiness_type: String,
    /// [scaled]
    pub stickiness_seconds: f64,
    pub app_cookie_name: String,
    pub routing_minimum_healthy_count: u32,
    pub routing_minimum_healthy_percentage: Option<f64>,
    pub dns_minimum_healthy_count: Option<u32>,
    pub dns_minimum_healthy_percentage: Option<f64>,
    pub health_check: HealthCheck,
    pub multi_value_headers: bool,
    pub targets: Vec<Target>,
}

impl Default for TargetGroup {
    fn default() -> Self {
        TargetGroup {
            arn: Default::default(),
            name: Default::default(),
            resource_id: Default::default(),
            protocol: "HTTP".into(),
            protocol_version: "HTTP1".into(),
            target_type: "instance".into(),
            algorithm: "round_robin".into(),
            anomaly_mitigation: false,
            cross_zone: true,
            slow_start_seconds: 0.0,
            stickiness_enabled: false,
            stickiness_type: "lb_cookie".into(),
            stickiness_seconds: 86400.0,
            app_cookie_name: String::new(),
            routing_minimum_healthy_count: 1,
            routing_minimum_healthy_percentage: None,
            dns_minimum_healthy_count: Some(1),
            dns_minimum_healthy_percentage: None,
            health_check: Default::default(),
            multi_value_headers: false,
            targets: Default::default(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct KeyValue {
    /// "" = any key
    pub key: String,
    pub value: String,
}

/// `field` as AWS names it; the member that goes with it is filled, the others are empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Condition {
    pub field: String,
    /// host-header, path-pattern, http-request-method, source-ip, http-header values
    pub values: Vec<String>,
    pub regex_values: Vec<String>,
    pub header_name: String,
    pub query: Vec<KeyValue>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WeightedTargetGroup {
    pub arn: String,
    pub weight: u32,
}

impl Default for WeightedTargetGroup {
    fn default() -> Self {
        WeightedTargetGroup {
            arn: Default::default(),
            weight: 1,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Redirect {
    /// {protocol}"
    pub protocol: String,
    /// {host}"
    pub host: String,
    /// {port}"
    pub port: String,
    /// {path}"
    pub path: String,
    /// {query}"
    pub query: String,
    pub status: u16,
}

impl Default for Redirect {
    fn default() -> Self {
        Redirect {
            protocol: "#{protocol}".into(),
            host: "#{host}".into(),
            port: "#{port}".into(),
            path: "/#{path}".into(),
            query: "#{query}".into(),
            status: 301,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FixedResponse {
    pub status: u16,
    pub body: String,
    pub content_type: String,
}

impl Default for FixedResponse {
    fn default() -> Self {
        FixedResponse {
            status: Default::default(),
            body: String::new(),
            content_type: "text/plain".into(),
        }
    }
}

/// authenticate-oidc and, with its endpoints derived by the control plane, authenticate-cognito.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Authenticate {
    pub issuer: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    pub user_info_endpoint: String,
    pub client_id: String,
    pub client_secret: String,
    pub session_cookie_name: String,
    pub scope: String,
    /// [scaled]
    pub session_timeout_seconds: f64,
    pub extra_parameters: Vec<KeyValue>,
    pub on_unauthenticated: String,
}

impl Default for Authenticate {
    fn default() -> Self {
        Authenticate {
            issuer: Default::default(),
            authorization_endpoint: Default::default(),
            token_endpoint: Default::default(),
            user_info_endpoint: Default::default(),
            client_id: Default::default(),
            client_secret: Default::default(),
            session_cookie_name: "AWSELBAuthSessionCookie".into(),
            scope: "openid".into(),
            session_timeout_seconds: 604800.0,
            extra_parameters: Default::default(),
            on_unauthenticated: "authenticate".into(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct JwtClaim {
    pub name: String,
    pub format: String,
    pub values: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct JwtValidation {
    pub jwks_endpoint: String,
    pub issuer: String,
    pub claims: Vec<JwtClaim>,
}

/// `kind`: forward, redirect, fixed-response, authenticate-oidc, authenticate-cognito, jwt-validation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Action {
    pub kind: String,
    pub target_groups: Vec<WeightedTargetGroup>,
    /// [scaled]; None = off
    pub group_stickiness_seconds: Option<f64>,
    pub redirect: Option<Redirect>,
    pub fixed_response: Option<FixedResponse>,
    pub authenticate: Option<Authenticate>,
    pub jwt: Option<JwtValidation>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Rewrite {
    pub regex: String,
    pub replace: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Transform {
    /// url-rewrite, host-header-rewrite
    pub kind: String,
    pub rewrites: Vec<Rewrite>,
}

/// `priority` 0 = the default rule (as the access log shows it). Sorted, default last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Rule {
    pub arn: String,
    pub priority: u32,
    pub conditions: Vec<Condition>,
    pub actions: Vec<Action>,
    pub transforms: Vec<Transform>,
}

/// PEM chain and key. `names`: the DNS names it covers, lower case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Certificate {
    pub arn: String,
    pub chain: String,
    pub private_key: String,
    pub names: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MutualTls {
    pub mode: String,
    pub trust_store_arn: String,
    pub ca_bundle: String,
    pub crls: Vec<String>,
    pub ignore_expiry: bool,
    pub advertise_names: bool,
}

impl Default for MutualTls {
    fn default() -> Self {
        MutualTls {
            mode: "off".into(),
            trust_store_arn: String::new(),
            ca_bundle: String::new(),
            crls: Default::default(),
            ignore_expiry: false,
            advertise_names: false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listener {
    pub arn: String,
    pub port: u16,
    pub protocol: String,
    pub rules: Vec<Rule>,
    /// the default first
    pub certificates: Vec<Certificate>,
    pub ssl_policy: String,
    pub mutual_tls: Option<MutualTls>,
    /// keys and values as AWS names them
    pub attributes: BTreeMap<String, String>,
    /// CIDRs that security groups let in here; None = everybody
    pub allowed_sources: Option<Vec<String>>,
}

impl Default for Listener {
    fn default() -> Self {
        Listener {
            arn: Default::default(),
            port: Default::default(),
            protocol: "HTTP".into(),
            rules: Default::default(),
            certificates: Default::default(),
            ssl_policy: String::new(),
            mutual_tls: None,
            attributes: Default::default(),
            allowed_sources: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct ZoneAddress {
    pub zone: String,
    pub address: String,
}

/// A key for the stickiness and session cookies, from the store; the first encrypts, all decrypt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct CookieKey {
    pub id: String,
    /// 32 bytes, base64
    pub secret: String,
}

/// Signs what the load balancer says of users to targets. `private_key`: P-256, PKCS #8, base64.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct IdentityKey {
    pub id: String,
    pub private_key: String,
}

/// `addresses`: one per enabled zone; the node binds its own zone's. `attributes`: AWS's keys and values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadBalancer {
    pub arn: String,
    pub name: String,
    /// "app/<name>/<id>"
    pub resource_id: String,
    pub dns_name: String,
    /// application, network, gateway, classic
    pub kind: String,
    pub account: String,
    pub addresses: Vec<ZoneAddress>,
    pub listeners: Vec<Listener>,
    pub attributes: BTreeMap<String, String>,
    pub cookie_keys: Vec<CookieKey>,
    pub identity_key: Option<IdentityKey>,
    /// PEM: authorities that identity providers may have their certificates from, beside the system's
    pub trusted_roots: String,
    /// the zone that a zonal shift takes out of DNS
    pub shifted_zone: String,
}

impl Default for LoadBalancer {
    fn default() -> Self {
        LoadBalancer {
            arn: Default::default(),
            name: Default::default(),
            resource_id: Default::default(),
            dns_name: Default::default(),
            kind: "application".into(),
            account: String::new(),
            addresses: Default::default(),
            listeners: Default::default(),
            attributes: Default::default(),
            cookie_keys: Default::default(),
            identity_key: None,
            trusted_roots: String::new(),
            shifted_zone: String::new(),
        }
    }
}

/// Everything. Replaces what the node has; what is equal is left undisturbed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Snapshot {
    pub version: u64,
    pub node: Node,
    pub load_balancers: Vec<LoadBalancer>,
    pub target_groups: Vec<TargetGroup>,
}

/// Targets of one group put (added or replaced by key) and removed (keys).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct TargetChange {
    pub target_group: String,
    pub put: Vec<Target>,
    pub removed: Vec<String>,
}

/// Changes from `base` to `version`, applied whole or not at all; Nack "base" asks for a Snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Delta {
    pub base: u64,
    pub version: u64,
    pub put_load_balancers: Vec<LoadBalancer>,
    pub removed_load_balancers: Vec<String>,
    pub put_target_groups: Vec<TargetGroup>,
    pub removed_target_groups: Vec<String>,
    pub targets: Vec<TargetChange>,
    pub node: Option<Node>,
}

/// Asks for what is really loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct GetSnapshot {}

/// Close listeners, finish what is in flight for so long, then exit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Shutdown {
    pub drain_seconds: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Hello {
    pub protocol: u32,
    pub node_id: String,
    pub pid: u32,
    pub program_version: String,
    /// 0 = none loaded
    pub config_version: u64,
    /// world time
    pub started_at: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Ack {
    pub version: u64,
}

/// The old configuration stays. `reason` "base" = send a Snapshot; else what was wrong, for a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Nack {
    pub version: u64,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Current {
    pub snapshot: Snapshot,
}

/// Seconds in log-linear buckets: `buckets` holds [index, count]; see `bucket_value`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Histogram {
    pub count: u64,
    pub sum: f64,
    pub buckets: Vec<(u32, u64)>,
}

/// Counts since the last report, by AWS metric name (RequestCount, HTTPCode_ELB_5XX_Count, ProcessedBytes …);
/// zeros are left out. The node's zone is the AvailabilityZone dimension.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct LoadBalancerReport {
    pub load_balancer: String,
    pub counters: BTreeMap<String, f64>,
    /// ELBAuthLatency
    pub authentication_time: Histogram,
}

/// Counts since the last report for one target of one group behind one load balancer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct TargetReport {
    pub load_balancer: String,
    pub target_group: String,
    /// Target.key
    pub target: String,
    pub counters: BTreeMap<String, f64>,
    pub response_time: Histogram,
    /// gauge
    pub outstanding: u32,
}

/// State as DescribeTargetHealth names it (initial, healthy, unhealthy, unavailable) as this node sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct HealthReport {
    pub target_group: String,
    pub target: String,
    pub state: String,
    pub reason: String,
    pub description: String,
    /// world time
    pub since: f64,
    /// it fails more than its siblings
    pub anomalous: bool,
    /// … and gets less traffic for it
    pub mitigated: bool,
}

/// Each `report_interval_seconds`. `health` holds every target in the first report of a connection
/// (`full_health`), later only what changed; a change of health is reported at once, not at the interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Report {
    pub sequence: u64,
    /// world time at the end of the interval
    pub time: f64,
    pub interval_seconds: f64,
    pub load_balancers: Vec<LoadBalancerReport>,
    pub targets: Vec<TargetReport>,
    pub health: Vec<HealthReport>,
    pub full_health: bool,
    pub zones_up: Vec<String>,
    /// cumulative, of the node process
    pub cpu_seconds: f64,
    pub open_connections: u32,
    pub problems: Vec<String>,
}

/// What the control plane sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Down {
    Snapshot(Snapshot),
    Delta(Delta),
    GetSnapshot(GetSnapshot),
    Shutdown(Shutdown),
}

/// What the node sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Up {
    Hello(Hello),
    Ack(Ack),
    Nack(Nack),
    Current(Current),
    Report(Report),
}

/// Buckets per power of two of microseconds: a bucket is at most 1/32 = 3.1 % wide.
pub const SUB_BUCKETS: u32 = 32;

/// The histogram bucket of a duration in microseconds; `bucket_value` in Python gives its middle back.
pub fn bucket_index(micros: u64) -> u32 {
    if micros < u64::from(SUB_BUCKETS) {
        return micros as u32;
    }
    let power = 58 - micros.leading_zeros();
    SUB_BUCKETS + power * SUB_BUCKETS + ((micros >> power) as u32 - SUB_BUCKETS)
}
