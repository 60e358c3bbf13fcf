//! Attributes of load balancers and listeners, parsed once per version.

use std::collections::BTreeMap;

use crate::access_log::Kind;
use crate::client_certificate::FIELDS;
use crate::desync::DesyncMode;
use crate::forwarded::{XffMode, TLS_FIELDS};

/// Attributes of a load balancer that the request path reads, parsed. Source: alb.md section 17.1.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadBalancerAttributes {
    pub idle_timeout_ms: u64,
    pub client_keep_alive_ms: u64,
    pub desync_mode: DesyncMode,
    pub drop_invalid_header_fields: bool,
    pub preserve_host_header: bool,
    pub xff_client_port: bool,
    pub xff_mode: XffMode,
    pub tls_headers: bool,
    pub http2: bool,
    /// None = off
    pub access_log: Option<AccessLog>,
    pub connection_log: Option<AccessLog>,
    pub health_check_log: Option<AccessLog>,
}

/// access_logs.s3.*, connection_logs.s3.*, health_check_logs.s3.*: where a log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    pub bucket: String,
    pub prefix: String,
}

impl LoadBalancerAttributes {
    pub fn log(&self, kind: Kind) -> Option<&AccessLog> {
        match kind {
            Kind::Access => self.access_log.as_ref(),
            Kind::Connection => self.connection_log.as_ref(),
            Kind::HealthCheck => self.health_check_log.as_ref(),
        }
    }

    pub(super) fn parse(attributes: &BTreeMap<String, String>, problems: &mut Vec<String>) -> Self {
        let mut flag = |key: &str, default: bool| match attributes.get(key).map(String::as_str) {
            Some("true") => true,
            Some("false") => false,
            None | Some("") => default,
            Some(other) => {
                problems.push(format!("attribute {key}={other} is neither true nor false"));
                default
            }
        };
        let drop_invalid_header_fields = flag("routing.http.drop_invalid_header_fields.enabled", false);
        let preserve_host_header = flag("routing.http.preserve_host_header.enabled", false);
        let xff_client_port = flag("routing.http.xff_client_port.enabled", false);
        let tls_headers = flag("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", false);
        let http2 = flag("routing.http2.enabled", true);
        let text = |key: &str| attributes.get(key).cloned().unwrap_or_default();
        let access_log = flag("access_logs.s3.enabled", false).then(|| AccessLog {
            bucket: text("access_logs.s3.bucket"),
            prefix: text("access_logs.s3.prefix"),
        });
        let connection_log = flag("connection_logs.s3.enabled", false).then(|| AccessLog {
            bucket: text("connection_logs.s3.bucket"),
            prefix: text("connection_logs.s3.prefix"),
        });
        let health_check_log = flag("health_check_logs.s3.enabled", false).then(|| AccessLog {
            bucket: text("health_check_logs.s3.bucket"),
            prefix: text("health_check_logs.s3.prefix"),
        });
        let mut seconds = |key: &str, default: u64| match attributes.get(key) {
            None => default,
            Some(text) => text.parse::<u64>().unwrap_or_else(|_| {
                problems.push(format!("attribute {key}={text} is not a number of seconds"));
                default
            }),
        };
        LoadBalancerAttributes {
            idle_timeout_ms: seconds("idle_timeout.timeout_seconds", 60).max(1) * 1000,
            client_keep_alive_ms: seconds("client_keep_alive.seconds", 3600).max(1) * 1000,
            desync_mode: DesyncMode::parse(
                attributes
                    .get("routing.http.desync_mitigation_mode")
                    .map(String::as_str)
                    .unwrap_or("defensive"),
            ),
            drop_invalid_header_fields,
            preserve_host_header,
            xff_client_port,
            xff_mode: XffMode::parse(
                attributes
                    .get("routing.http.xff_header_processing.mode")
                    .map(String::as_str)
                    .unwrap_or("append"),
            ),
            tls_headers,
            http2,
            access_log,
            connection_log,
            health_check_log,
        }
    }
}

/// As the fields of a request are called that tell targets of TLS and of the client's certificate.
#[derive(Debug)]
pub struct RequestNames {
    /// version, cipher suite
    pub tls: [String; 2],
    /// by `client_certificate::FIELDS`
    pub client_certificate: [String; 6],
}

impl RequestNames {
    pub(super) fn parse(attributes: &BTreeMap<String, String>) -> RequestNames {
        let name = |attribute: &str, default: &str| {
            attributes
                .get(&format!("routing.http.request.{attribute}.header_name"))
                .filter(|name| !name.is_empty() && name.bytes().all(crate::http1::is_token_byte))
                // the standard name may be told as the attribute's value
                .filter(|name| !name.eq_ignore_ascii_case(default))
                .map_or(default, String::as_str)
                .to_owned()
        };
        RequestNames {
            tls: [
                name("x_amzn_tls_version", TLS_FIELDS[0]),
                name("x_amzn_tls_cipher_suite", TLS_FIELDS[1]),
            ],
            client_certificate: FIELDS.map(|(attribute, default)| name(attribute, default)),
        }
    }
}

/// The listener's response-header attributes that are set. Source: alb.md section 17.3.
pub(super) fn response_headers(attributes: &BTreeMap<String, String>) -> Vec<(String, String, String)> {
    const NAMES: [(&str, &str); 10] = [
        ("strict_transport_security", "Strict-Transport-Security"),
        ("access_control_allow_origin", "Access-Control-Allow-Origin"),
        ("access_control_allow_methods", "Access-Control-Allow-Methods"),
        ("access_control_allow_headers", "Access-Control-Allow-Headers"),
        (
            "access_control_allow_credentials",
            "Access-Control-Allow-Credentials",
        ),
        ("access_control_expose_headers", "Access-Control-Expose-Headers"),
        ("access_control_max_age", "Access-Control-Max-Age"),
        ("content_security_policy", "Content-Security-Policy"),
        ("x_content_type_options", "X-Content-Type-Options"),
        ("x_frame_options", "X-Frame-Options"),
    ];
    NAMES
        .iter()
        .filter_map(|(attribute, name)| {
            let value = attributes.get(&format!("routing.http.response.{attribute}.header_value"))?;
            let safe = !value.is_empty() && value.bytes().all(|byte| byte >= 0x20 && byte != 0x7f);
            safe.then(|| ((*name).to_owned(), name.to_ascii_lowercase(), value.clone()))
        })
        .collect()
}
