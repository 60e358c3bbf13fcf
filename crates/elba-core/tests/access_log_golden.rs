//! The access log's golden lines, as they are written; tests/unit/core/test_access_log_lines.py reads them.

// Clippy sees tests only in `#[test]` functions; here all is test.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use elba_core::access_log::{push_line, Line, Second, FIELDS};
use elba_core::desync::Reason;
use elba_core::lines::Lines;
use serde_json::Value;

#[test]
fn lines_are_as_in_the_golden_files() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/access_log");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let golden: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let mut second = Second::default();
        let record = &golden["record"];
        let text = |name: &str| record[name].as_str().unwrap_or("");
        let number = |name: &str| record[name].as_u64();
        let status = |name: &str| number(name).map(|status| status as u16);
        let line = Line {
            kind: text("kind"),
            time: number("time").unwrap(),
            created: number("created").unwrap(),
            load_balancer: text("load_balancer"),
            client: text("client").parse().unwrap(),
            target: text("target").as_bytes(),
            request_time: number("request_time"),
            target_time: number("target_time"),
            response_time: number("response_time"),
            status: status("status"),
            target_status: status("target_status"),
            received_bytes: number("received_bytes").unwrap(),
            sent_bytes: number("sent_bytes").unwrap(),
            method: text("method").as_bytes(),
            scheme: text("scheme"),
            host: text("host").as_bytes(),
            port: number("port").unwrap() as u16,
            uri: text("uri").as_bytes(),
            version: text("version"),
            user_agent: text("user_agent").as_bytes(),
            ssl_cipher: text("ssl_cipher"),
            ssl_protocol: text("ssl_protocol"),
            target_group_arn: text("target_group_arn"),
            trace_id: text("trace_id").as_bytes(),
            domain_name: text("domain_name").as_bytes(),
            certificate_arn: text("certificate_arn").as_bytes(),
            rule_priority: record["rule_priority"].as_i64().map(|number| number as i32),
            actions: text("actions"),
            redirect_url: text("redirect_url").as_bytes(),
            error_reason: text("error_reason"),
            classification: match text("classification") {
                "" => None,
                "BadContentLength" => Some(Reason::BadContentLength),
                "EmptyHeader" => Some(Reason::EmptyHeader),
                other => panic!("{other}"),
            },
            connection_trace: u128::from_str_radix(text("connection_trace"), 16).unwrap(),
            transformed_host: text("transformed_host").as_bytes(),
            transformed_uri: text("transformed_uri").as_bytes(),
            transform_status: text("transform_status"),
        };
        let mut out = Lines::new(FIELDS);
        push_line(&mut out, &mut second, &line);
        let wanted = format!("{}\n", golden["line"].as_str().unwrap());
        assert_eq!(String::from_utf8_lossy(out.fresh()), wanted, "{}", path.display());
        count += 1;
    }
    assert_eq!(count, 7);
}
