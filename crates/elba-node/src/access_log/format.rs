//! A record as a line.

use std::borrow::Cow;
use std::time::Instant;

use elba_core::access_log::{push_line, Line, Second};
use elba_core::http1::push_number;
use elba_core::http1::request::Version;
use elba_core::lines::Lines;

use crate::proxy::logging::{Batch, Record};

/// Appends the line of a record. `target` is room for its target's name.
pub(super) fn format_record(
    out: &mut Lines,
    target: &mut Vec<u8>,
    second: &mut Second,
    batch: &Batch,
    record: &Record,
    at: impl Fn(Instant) -> u64,
) {
    let compiled = &batch.compiled;
    let text = &batch.text;
    let balancer = compiled.load_balancer_at(record.place);
    let listener = compiled.listener_at(record.place);
    let group = record.group.and_then(|slot| compiled.group_in_slot(slot));
    let chosen = group
        .zip(record.target)
        .and_then(|(group, index)| group.targets.get(index as usize));
    if let Some(chosen) = chosen {
        // the private address, as far as it is known; the port is the traffic's, not the health check's
        let private = chosen.source.host_header.as_str();
        match private.rsplit_once(':') {
            Some((address, _)) => target.extend_from_slice(address.as_bytes()),
            None if private.is_empty() => target.extend_from_slice(chosen.source.address.as_bytes()),
            None => target.extend_from_slice(private.as_bytes()),
        }
        target.push(b':');
        push_number(target, u64::from(chosen.source.port));
    }
    let between =
        |from: Instant, to: Instant| to.saturating_duration_since(from).as_micros().min(1 << 60) as u64;
    let was_answered = record.target_status != 0;
    // what the target or its silence spoilt has no times; a client that left has the one that had passed
    let has_request_time = was_answered || matches!(record.status, 400 | 408 | 460);
    let request_time = record
        .dispatched
        .filter(|_| has_request_time)
        .map(|dispatched| between(record.created, dispatched));
    let target_time = record
        .dispatched
        .zip(record.answered)
        .filter(|_| was_answered)
        .map(|(dispatched, answered)| between(dispatched, answered));
    let is_tls = listener.protocol == "HTTPS";
    let kind = match (record.is_websocket, is_tls) {
        (false, false) => "http",
        (false, true) => "https",
        (true, false) => "ws",
        (true, true) => "wss",
    };
    let scheme = kind;
    let to_grpc = group.is_some_and(|group| group.source.protocol_version == "GRPC");
    let kind = match (record.is_http2, to_grpc) {
        (true, true) => "grpcs",
        (true, false) => "h2",
        (false, _) => kind,
    };
    let actions = match (record.guard, record.actions) {
        ("", actions) => Cow::Borrowed(actions),
        (guard, "") => Cow::Borrowed(guard),
        (guard, actions) => Cow::Owned(format!("{guard},{actions}")),
    };
    let line = Line {
        kind,
        time: at(record.ended),
        created: at(record.created),
        load_balancer: &balancer.source.resource_id,
        client: record.client,
        target: target.as_slice(),
        request_time,
        target_time,
        // the head of a response goes on in the same step in which it came
        response_time: target_time.map(|_| 0),
        status: (record.status != 0).then_some(record.status),
        target_status: was_answered.then_some(record.target_status),
        received_bytes: record.received,
        sent_bytes: record.sent,
        method: record.method.of(text),
        scheme,
        host: record.host.of(text),
        port: listener.port,
        uri: record.uri.of(text),
        version: match record.version {
            _ if record.is_http2 => "HTTP/2.0",
            Version::Http09 => "HTTP/0.9",
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        },
        user_agent: record.agent.of(text),
        ssl_cipher: record.tls.map_or("", |(_, cipher)| cipher),
        ssl_protocol: record.tls.map_or("", |(version, _)| version),
        target_group_arn: group.map_or("", |group| group.source.arn.as_str()),
        trace_id: record.trace.of(text),
        domain_name: record.domain.of(text),
        certificate_arn: record.certificate.of(text),
        rule_priority: record.priority,
        actions: &actions,
        redirect_url: record.redirect.of(text),
        error_reason: record.error_reason,
        classification: record.classification.reason(),
        connection_trace: record.connection_trace,
        transformed_host: record.new_host.of(text),
        transformed_uri: record.new_uri.of(text),
        transform_status: record.transform_status,
    };
    push_line(out, second, &line);
}
