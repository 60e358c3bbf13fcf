//! Target health: what a check's outcome makes of a target. Pure; the node does the checking.
//!
//! ```text
//!                  one Pass                    unhealthy_threshold failures in a row
//!   initial ───────────────────────► healthy ──────────────────────────────────────► unhealthy
//!      │                                ▲                                                │
//!      │ unhealthy_threshold failures   └──────── healthy_threshold passes in a row ─────┘
//!      └────────────────────────────────────────────────────────────────────────────────►
//!   unavailable: checks are disabled; traffic flows as if healthy
//! ```
//! Source: Elastic Load Balancing user guide, "Health checks for Application Load Balancer target groups".

use crate::protocol::{HealthCheck, Target, TargetGroup};

/// States as DescribeTargetHealth names them, as far as a node decides them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    Initial,
    Healthy,
    Unhealthy,
    Unavailable,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Initial => "initial",
            State::Healthy => "healthy",
            State::Unhealthy => "unhealthy",
            State::Unavailable => "unavailable",
        }
    }

    /// The state of that name; None for those that only the control plane decides (unused, draining …).
    pub fn parse(name: &str) -> Option<State> {
        match name {
            "initial" => Some(State::Initial),
            "healthy" => Some(State::Healthy),
            "unhealthy" => Some(State::Unhealthy),
            "unavailable" => Some(State::Unavailable),
            _ => None,
        }
    }

    /// Whether the target counts as healthy for thresholds: unchecked targets do.
    pub fn counts_as_healthy(self) -> bool {
        matches!(self, State::Healthy | State::Unavailable)
    }
}

/// Reason codes with the descriptions AWS returns beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    None,
    RegistrationInProgress,
    InitialHealthChecking,
    ResponseCodeMismatch(u16),
    Timeout,
    FailedHealthChecks,
    InternalError,
    HealthCheckDisabled,
}

impl Reason {
    pub fn code(self) -> &'static str {
        match self {
            Reason::None => "",
            Reason::RegistrationInProgress => "Elb.RegistrationInProgress",
            Reason::InitialHealthChecking => "Elb.InitialHealthChecking",
            Reason::ResponseCodeMismatch(_) => "Target.ResponseCodeMismatch",
            Reason::Timeout => "Target.Timeout",
            Reason::FailedHealthChecks => "Target.FailedHealthChecks",
            Reason::InternalError => "Elb.InternalError",
            Reason::HealthCheckDisabled => "Target.HealthCheckDisabled",
        }
    }

    pub fn description(self) -> String {
        match self {
            Reason::None => String::new(),
            Reason::RegistrationInProgress => "Target registration is in progress".into(),
            Reason::InitialHealthChecking => "Initial health checks in progress".into(),
            Reason::ResponseCodeMismatch(code) => format!("Health checks failed with these codes: [{code}]"),
            Reason::Timeout => "Request timed out".into(),
            Reason::FailedHealthChecks => "Health checks failed".into(),
            Reason::InternalError => "Health checks failed due to an internal error".into(),
            Reason::HealthCheckDisabled => "Health checks are disabled".into(),
        }
    }

    /// The reason with that code and description; None if unknown to this version.
    pub fn parse(code: &str, description: &str) -> Option<Reason> {
        Some(match code {
            "" => Reason::None,
            "Elb.RegistrationInProgress" => Reason::RegistrationInProgress,
            "Elb.InitialHealthChecking" => Reason::InitialHealthChecking,
            "Target.ResponseCodeMismatch" => {
                let digits: String = description.chars().filter(char::is_ascii_digit).collect();
                Reason::ResponseCodeMismatch(digits.parse().ok()?)
            }
            "Target.Timeout" => Reason::Timeout,
            "Target.FailedHealthChecks" => Reason::FailedHealthChecks,
            "Elb.InternalError" => Reason::InternalError,
            "Target.HealthCheckDisabled" => Reason::HealthCheckDisabled,
            _ => return None,
        })
    }
}

/// What one check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Pass,
    /// Answered, with a code that the matcher does not have.
    CodeMismatch(u16),
    /// No (complete) answer in time, connecting included.
    Timeout,
    /// Connection refused or reset, TLS failure, malformed answer.
    Failed,
    /// The node could not make the check: no fault of the target. Counts for neither side.
    Internal,
}

impl Outcome {
    fn reason(self) -> Reason {
        match self {
            Outcome::Pass => Reason::None,
            Outcome::CodeMismatch(code) => Reason::ResponseCodeMismatch(code),
            Outcome::Timeout => Reason::Timeout,
            Outcome::Failed => Reason::FailedHealthChecks,
            Outcome::Internal => Reason::InternalError,
        }
    }
}

/// Consecutive results that it takes to change state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    pub healthy: u32,
    pub unhealthy: u32,
}

/// One target's health.
///
/// # Invariants
/// At most one of `passes` and `failures` is not zero.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetHealth {
    pub state: State,
    pub reason: Reason,
    /// World time, seconds, of the last change of state.
    pub since: f64,
    passes: u32,
    failures: u32,
}

impl TargetHealth {
    /// A target just registered.
    pub fn registered(now: f64) -> Self {
        Self::known(State::Initial, Reason::RegistrationInProgress, now)
    }

    /// A target of a group whose checks are off.
    pub fn unchecked(now: f64) -> Self {
        Self::known(State::Unavailable, Reason::HealthCheckDisabled, now)
    }

    /// A target whose health somebody remembered: it changes only by the thresholds.
    pub fn known(state: State, reason: Reason, since: f64) -> Self {
        TargetHealth {
            state,
            reason,
            since,
            passes: 0,
            failures: 0,
        }
    }

    /// The start of a target with nothing remembered by this node: the control plane's knowledge, if it is of use.
    pub fn from_control_plane(known_health: &str, now: f64) -> Self {
        match State::parse(known_health) {
            Some(State::Healthy) => Self::known(State::Healthy, Reason::None, now),
            Some(State::Unhealthy) => Self::known(State::Unhealthy, Reason::FailedHealthChecks, now),
            _ => Self::registered(now),
        }
    }

    /// A first check is under way. True if what is reported changed.
    pub fn handle_started(&mut self) -> bool {
        if self.state == State::Initial && self.reason == Reason::RegistrationInProgress {
            self.reason = Reason::InitialHealthChecking;
            return true;
        }
        false
    }

    /// The check's settings changed: counting starts again, the state stays.
    pub fn handle_settings_changed(&mut self) {
        self.passes = 0;
        self.failures = 0;
    }

    /// Takes a check's outcome; true if what is reported (state or reason) changed.
    pub fn handle_outcome(&mut self, outcome: Outcome, thresholds: Thresholds, now: f64) -> bool {
        let before = (self.state, self.reason);
        match outcome {
            Outcome::Pass => {
                self.failures = 0;
                self.passes = self.passes.saturating_add(1);
                let needed = match self.state {
                    State::Unhealthy => thresholds.healthy,
                    _ => 1,
                };
                if self.passes >= needed {
                    self.state = State::Healthy;
                    self.reason = Reason::None;
                }
            }
            Outcome::Internal => {
                if self.state != State::Healthy {
                    self.reason = Reason::InternalError;
                }
            }
            failure => {
                self.passes = 0;
                self.failures = self.failures.saturating_add(1);
                if self.state == State::Unhealthy || self.failures >= thresholds.unhealthy {
                    self.state = State::Unhealthy;
                    self.reason = failure.reason();
                }
            }
        }
        if self.state != before.0 {
            self.since = now;
        }
        (self.state, self.reason) != before
    }
}

/// Codes that count as success: "200", "200,202", "200-299", and mixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher(Vec<(u16, u16)>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("health check matcher {0:?} is not a list of codes and ranges such as 200,202-204")]
pub struct MatcherError(String);

impl Matcher {
    /// # Errors
    /// `MatcherError` for anything but a comma separated list of codes and ascending ranges of codes.
    pub fn parse(text: &str) -> Result<Matcher, MatcherError> {
        let error = || MatcherError(text.to_owned());
        let number = |s: &str| -> Result<u16, MatcherError> {
            let s = s.trim();
            if s.is_empty() || s.len() > 3 || !s.bytes().all(|b| b.is_ascii_digit()) {
                return Err(error());
            }
            s.parse().map_err(|_| error())
        };
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let (low, high) = match part.split_once('-') {
                Some((low, high)) => (number(low)?, number(high)?),
                None => {
                    let code = number(part)?;
                    (code, code)
                }
            };
            if low > high {
                return Err(error());
            }
            ranges.push((low, high));
        }
        Ok(Matcher(ranges))
    }

    pub fn matches(&self, code: u16) -> bool {
        self.0.iter().any(|&(low, high)| low <= code && code <= high)
    }
}

/// The port to check: the group's own health check port, or the target's traffic port.
pub fn check_port(check: &HealthCheck, target: &Target) -> u16 {
    check.port.unwrap_or(target.port)
}

/// The request of a check, ready to send.
///
/// `Host` is the private address AWS would show, with the port unless it is 80 (443 for HTTPS).
pub fn check_request(check: &HealthCheck, target: &Target) -> Vec<u8> {
    let port = check_port(check, target);
    let shown = if target.host_header.is_empty() {
        target.address.as_str()
    } else {
        strip_port(&target.host_header)
    };
    let host = match port {
        80 if check.protocol != "HTTPS" => shown.to_owned(),
        443 if check.protocol == "HTTPS" => shown.to_owned(),
        port => format!("{shown}:{port}"),
    };
    let path = if check.path.is_empty() { "/" } else { &check.path };
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\
         Accept-Encoding: gzip, compressed\r\n\r\n"
    )
    .into_bytes()
}

/// "10.0.0.1:80" without its port; bracketed IPv6 keeps its brackets.
fn strip_port(address: &str) -> &str {
    match address.rsplit_once(':') {
        Some((host, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (!host.contains(':') || host.ends_with(']')) =>
        {
            host
        }
        _ => address,
    }
}

/// The status code of an answer whose head has arrived so far in `bytes`: `Ok(None)` = more bytes needed.
///
/// Interim (1xx) answers are skipped.
///
/// # Errors
/// `Outcome::Failed` when the bytes are no HTTP/1.x answer.
pub fn parse_status(mut bytes: &[u8]) -> Result<Option<u16>, Outcome> {
    loop {
        // 96 fields are far more than a health page needs; a longer head is judged malformed.
        let mut headers = [httparse::EMPTY_HEADER; 96];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => match response.code {
                Some(code @ 100..=199) if code != 101 => bytes = &bytes[length..],
                Some(code) => return Ok(Some(code)),
                None => return Err(Outcome::Failed),
            },
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(Outcome::Failed),
        }
    }
}

/// Whether the group's targets are checked.
pub fn is_checked(group: &TargetGroup) -> bool {
    group.health_check.enabled
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE_TWO: Thresholds = Thresholds {
        healthy: 5,
        unhealthy: 2,
    };

    /// Plays `outcomes` ("p"ass, "f"ailed, "t"imeout, "m"ismatch, "i"nternal) and writes the states' initials.
    fn play(start: TargetHealth, thresholds: Thresholds, outcomes: &str) -> (TargetHealth, String) {
        let mut health = start;
        let mut states = String::new();
        for (second, letter) in outcomes.chars().enumerate() {
            let outcome = match letter {
                'p' => Outcome::Pass,
                'f' => Outcome::Failed,
                't' => Outcome::Timeout,
                'm' => Outcome::CodeMismatch(503),
                _ => Outcome::Internal,
            };
            health.handle_outcome(outcome, thresholds, second as f64 + 1.0);
            states.push(match health.state {
                State::Initial => 'I',
                State::Healthy => 'H',
                State::Unhealthy => 'U',
                State::Unavailable => 'V',
            });
        }
        (health, states)
    }

    #[test]
    fn states_follow_the_table() {
        let initial = || TargetHealth::registered(0.0);
        let healthy = || TargetHealth::known(State::Healthy, Reason::None, 0.0);
        let unhealthy = || TargetHealth::known(State::Unhealthy, Reason::Timeout, 0.0);
        for (start, outcomes, expected) in [
            (initial(), "p", "H"),
            (initial(), "fp", "IH"),
            (initial(), "ff", "IU"),
            (initial(), "fipf", "IIHH"),
            (initial(), "fif", "IIU"),
            (healthy(), "fpfpff", "HHHHHU"),
            (unhealthy(), "ppppp", "UUUUH"),
            (unhealthy(), "ppppfppppp", "UUUUUUUUUH"),
            (unhealthy(), "pppipp", "UUUUUH"),
            (healthy(), "iiii", "HHHH"),
        ] {
            assert_eq!(play(start, FIVE_TWO, outcomes).1, expected, "{outcomes}");
        }
    }

    #[test]
    fn reasons_and_texts_are_those_of_aws() {
        for (outcome, code, text) in [
            (
                'm',
                "Target.ResponseCodeMismatch",
                "Health checks failed with these codes: [503]",
            ),
            ('t', "Target.Timeout", "Request timed out"),
            ('f', "Target.FailedHealthChecks", "Health checks failed"),
        ] {
            let (health, _) = play(
                TargetHealth::registered(0.0),
                FIVE_TWO,
                &format!("{outcome}{outcome}"),
            );
            assert_eq!(health.reason.code(), code);
            assert_eq!(health.reason.description(), text);
            assert_eq!(Reason::parse(code, text), Some(health.reason));
        }
        let (health, _) = play(TargetHealth::registered(0.0), FIVE_TWO, "p");
        assert_eq!(
            (health.reason.code(), health.reason.description().as_str()),
            ("", "")
        );
    }

    #[test]
    fn an_unhealthy_targets_reason_is_that_of_its_last_failure() {
        let (health, _) = play(TargetHealth::registered(0.0), FIVE_TWO, "fft");
        assert_eq!(health.reason, Reason::Timeout);
        assert_eq!(health.since, 2.0, "only a change of state moves `since`");
    }

    #[test]
    fn starting_is_told_once() {
        let mut health = TargetHealth::registered(0.0);
        assert!(health.handle_started());
        assert!(!health.handle_started());
        assert_eq!(health.reason.code(), "Elb.InitialHealthChecking");
    }

    #[test]
    fn changed_settings_restart_the_counting() {
        let mut health = TargetHealth::known(State::Healthy, Reason::None, 0.0);
        health.handle_outcome(Outcome::Failed, FIVE_TWO, 1.0);
        health.handle_settings_changed();
        health.handle_outcome(Outcome::Failed, FIVE_TWO, 2.0);
        assert_eq!(health.state, State::Healthy);
    }

    #[test]
    fn known_health_is_believed_until_the_thresholds_say_otherwise() {
        assert_eq!(
            TargetHealth::from_control_plane("healthy", 1.0).state,
            State::Healthy
        );
        let sick = TargetHealth::from_control_plane("unhealthy", 1.0);
        assert_eq!(play(sick, FIVE_TWO, "ppppp").1, "UUUUH");
        for useless in ["", "draining", "unused", "initial"] {
            assert_eq!(
                TargetHealth::from_control_plane(useless, 1.0).state,
                State::Initial
            );
        }
    }

    /// Against an oracle that only looks at the last outcomes: healthy after `healthy` passes in a row, and so on.
    #[test]
    fn random_histories_agree_with_a_look_back_oracle() {
        let mut seed = 0x5eed_u64;
        let mut next = || {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (seed >> 33) as u32
        };
        for _ in 0..2000 {
            let thresholds = Thresholds {
                healthy: 2 + next() % 9,
                unhealthy: 2 + next() % 9,
            };
            let mut health = TargetHealth::registered(0.0);
            let mut history: Vec<bool> = Vec::new();
            let mut oracle = State::Initial;
            let bias = 1 + next() % 9;
            for step in 0..60 {
                let pass = next() % 10 < bias;
                history.push(pass);
                let outcome = if pass { Outcome::Pass } else { Outcome::Failed };
                let before = (health.state, health.reason);
                let changed = health.handle_outcome(outcome, thresholds, f64::from(step));
                assert_eq!(changed, before != (health.state, health.reason));
                let streak = history.iter().rev().take_while(|&&p| p == pass).count() as u32;
                oracle = match (oracle, pass) {
                    (State::Initial, true) => State::Healthy,
                    (State::Unhealthy, true) if streak >= thresholds.healthy => State::Healthy,
                    (_, false) if streak >= thresholds.unhealthy => State::Unhealthy,
                    (state, _) => state,
                };
                assert_eq!(health.state, oracle, "{thresholds:?} {history:?}");
                assert!(health.passes == 0 || health.failures == 0);
            }
        }
    }

    #[test]
    fn matchers() {
        for (text, yes, no) in [
            ("200", vec![200], vec![201, 199]),
            ("200,202", vec![200, 202], vec![201]),
            ("200-299", vec![200, 250, 299], vec![300]),
            ("200-204, 301,0-12", vec![204, 301, 0, 12], vec![205, 13]),
        ] {
            let matcher = Matcher::parse(text).unwrap();
            assert!(yes.iter().all(|&c| matcher.matches(c)), "{text}");
            assert!(!no.iter().any(|&c| matcher.matches(c)), "{text}");
        }
        for bad in [
            "",
            ",",
            "200,",
            "abc",
            "200-",
            "-200",
            "299-200",
            "2000",
            "200-201-202",
            "+20",
        ] {
            assert!(Matcher::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_request_is_that_of_aws() {
        let target = Target {
            address: "127.1.0.5".into(),
            port: 8080,
            host_header: "172.31.0.5:8080".into(),
            ..Target::default()
        };
        let check = HealthCheck {
            path: "/health?deep=1".into(),
            ..HealthCheck::default()
        };
        assert_eq!(
            String::from_utf8(check_request(&check, &target)).unwrap(),
            "GET /health?deep=1 HTTP/1.1\r\nHost: 172.31.0.5:8080\r\nConnection: close\r\n\
             User-Agent: ELB-HealthChecker/2.0\r\nAccept-Encoding: gzip, compressed\r\n\r\n"
        );
        let on_80 = HealthCheck {
            port: Some(80),
            ..HealthCheck::default()
        };
        assert!(String::from_utf8(check_request(&on_80, &target))
            .unwrap()
            .contains("Host: 172.31.0.5\r\n"));
        let unnamed = Target {
            address: "10.0.0.9".into(),
            port: 443,
            ..Target::default()
        };
        assert!(String::from_utf8(check_request(&check, &unnamed))
            .unwrap()
            .contains("Host: 10.0.0.9:443\r\n"));
    }

    #[test]
    fn statuses() {
        assert_eq!(parse_status(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"), Ok(Some(200)));
        assert_eq!(parse_status(b"HTTP/1.0 503 no\r\n\r\n"), Ok(Some(503)));
        assert_eq!(
            parse_status(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 N\r\n\r\n"),
            Ok(Some(204))
        );
        assert_eq!(parse_status(b"HTTP/1.1 20"), Ok(None));
        assert_eq!(parse_status(b""), Ok(None));
        assert_eq!(parse_status(b"SSH-2.0-x\r\n"), Err(Outcome::Failed));
    }
}
