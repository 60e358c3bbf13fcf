//! One line of an Application Load Balancer's health check log, as AWS writes it. Source: alb.md section 19.3.

use crate::access_log::{push_plain, Second};
use crate::health::Outcome;
use crate::lines::Lines;

/// A check that was made. What was not there is None or empty: `-` in the line.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// http, https, h2, grpc, lambda
    pub kind: &'a str,
    /// microseconds since the epoch: its end
    pub time: u64,
    /// nanoseconds
    pub latency: u64,
    /// "address:port"
    pub target: &'a str,
    /// the target group's name
    pub target_group: &'a str,
    pub outcome: Outcome,
    /// what the target answered
    pub code: Option<u16>,
}

/// Fields of a line.
pub const FIELDS: usize = 8;

/// Appends the line with its line end.
pub fn push_line(out: &mut Lines, second: &mut Second, line: &Line) {
    push_plain(out, line.kind);
    second.push_time(&mut out.text, line.time);
    out.end_field();
    let latency = format!(
        "{}.{:09}",
        line.latency / 1_000_000_000,
        line.latency % 1_000_000_000
    );
    push_plain(out, &latency);
    push_plain(out, line.target);
    push_plain(out, line.target_group);
    push_plain(
        out,
        if line.outcome == Outcome::Pass {
            "PASS"
        } else {
            "FAIL"
        },
    );
    push_plain(out, &line.code.map_or(String::new(), |code| code.to_string()));
    push_plain(out, reason(line));
    out.end_line();
}

fn reason(line: &Line) -> &'static str {
    match line.outcome {
        Outcome::Pass => "",
        Outcome::CodeMismatch(_) if line.kind == "grpc" => "GRPCUnexpectedStatus",
        Outcome::CodeMismatch(_) => "ResponseCodeMismatch",
        Outcome::Timeout => "RequestTimedOut",
        Outcome::Failed => "TargetError",
        Outcome::Internal => "InternalError",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_aws_shows_them() {
        let line = Line {
            kind: "http",
            time: 1_761_915_299_875_678,
            latency: 19_584_011,
            target: "172.31.20.97:80",
            target_group: "my-tg",
            outcome: Outcome::Pass,
            code: Some(200),
        };
        let written = |line: &Line| {
            let mut out = Lines::new(FIELDS);
            push_line(&mut out, &mut Second::default(), line);
            String::from_utf8_lossy(out.fresh()).into_owned()
        };
        assert_eq!(
            written(&line),
            "http 2025-10-31T12:54:59.875678Z 0.019584011 172.31.20.97:80 my-tg PASS 200 -\n"
        );
        let late = Line {
            outcome: Outcome::Timeout,
            code: None,
            ..line
        };
        assert!(written(&late).ends_with(" my-tg FAIL - RequestTimedOut\n"));
        let wrong = Line {
            kind: "grpc",
            outcome: Outcome::CodeMismatch(3),
            code: Some(3),
            ..line
        };
        assert!(written(&wrong).ends_with(" my-tg FAIL 3 GRPCUnexpectedStatus\n"));
    }
}
