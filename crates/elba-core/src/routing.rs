//! Which rule of a listener a request meets, and what its actions are. Source: alb.md sections 2 to 5.

use std::borrow::Cow;
use std::net::IpAddr;

use regex::bytes::{Regex, RegexBuilder};

use crate::compile::Cidr;
use crate::forwarded::is_host;
use crate::http1::{push_number, Field};
use crate::protocol;
use crate::wildcard::Pattern;

/// A regex of a rule may take this much memory once compiled.
const REGEX_SIZE_LIMIT: usize = 1 << 20;
/// A Location longer than this: 507.
pub const MAX_LOCATION: usize = 8 * 1024;

/// What conditions look at.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub method: &'a [u8],
    /// without port
    pub host: &'a [u8],
    /// normalised (`normalised_path`)
    pub path: &'a [u8],
    /// without its question mark
    pub query: &'a [u8],
    pub client: IpAddr,
    pub buffer: &'a [u8],
    pub fields: &'a [Field],
}

/// The path as conditions see it: escapes of letters, digits and `-._~` decoded, dot segments taken away.
pub fn normalised_path(path: &[u8]) -> Cow<'_, [u8]> {
    let plain = memchr::memchr(b'%', path).is_none() && !path.windows(2).any(|pair| pair == b"/.");
    if plain {
        return Cow::Borrowed(path);
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut at = 0;
    while at < path.len() {
        let escaped = match path.get(at..at + 3) {
            Some([b'%', high, low]) => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        match escaped {
            Some(byte) if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') => {
                decoded.push(byte);
                at += 3;
            }
            _ => {
                decoded.push(path[at]);
                at += 1;
            }
        }
    }
    let mut out: Vec<u8> = Vec::with_capacity(decoded.len());
    let mut segments = decoded.split(|byte| *byte == b'/').peekable();
    // what comes before the first slash is empty in a path that begins with one
    let leading = segments.next().unwrap_or(&[]);
    out.extend_from_slice(leading);
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"." if last => out.push(b'/'),
            b"." => {}
            b".." => {
                let parent = memchr::memrchr(b'/', &out).unwrap_or(0);
                out.truncate(parent);
                if last {
                    out.push(b'/');
                }
            }
            other => {
                out.push(b'/');
                out.extend_from_slice(other);
            }
        }
    }
    Cow::Owned(out)
}

fn hex(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|digit| digit as u8)
}

#[derive(Debug)]
enum Text {
    Wild(Pattern),
    Regex(Regex),
}

impl Text {
    fn matches(&self, text: &[u8]) -> bool {
        match self {
            Text::Wild(pattern) => pattern.matches(text),
            Text::Regex(regex) => regex.is_match(text),
        }
    }
}

#[derive(Debug)]
enum Condition {
    Host(Vec<Text>),
    Path(Vec<Text>),
    Header {
        name: String,
        values: Vec<Text>,
    },
    Method(Vec<String>),
    Query(Vec<(Option<Pattern>, Pattern)>),
    SourceIp(Vec<Cidr>),
    /// cannot be understood: matches nothing, so that its rule takes no traffic it was not meant for
    Never,
}

impl Condition {
    fn compile(source: &protocol::Condition, rule: &str, problems: &mut Vec<String>) -> Condition {
        let mut texts = |ignore_case: bool| -> Vec<Text> {
            let wild = source
                .values
                .iter()
                .map(|value| Text::Wild(Pattern::new(value, ignore_case, false)));
            let mut texts: Vec<Text> = wild.collect();
            for value in &source.regex_values {
                match compile_regex(value, ignore_case) {
                    Ok(regex) => texts.push(Text::Regex(regex)),
                    Err(error) => problems.push(format!("rule {rule}: regex {value:?}: {error}")),
                }
            }
            texts
        };
        match source.field.as_str() {
            "host-header" => Condition::Host(texts(true)),
            "path-pattern" => Condition::Path(texts(false)),
            "http-header" => Condition::Header {
                name: source.header_name.to_ascii_lowercase(),
                values: texts(true),
            },
            "http-request-method" => Condition::Method(source.values.clone()),
            "query-string" => Condition::Query(
                source
                    .query
                    .iter()
                    .map(|pair| {
                        let key = (!pair.key.is_empty()).then(|| Pattern::new(&pair.key, true, true));
                        (key, Pattern::new(&pair.value, true, true))
                    })
                    .collect(),
            ),
            "source-ip" => Condition::SourceIp(
                source
                    .values
                    .iter()
                    .filter_map(|value| {
                        let parsed = Cidr::parse(value);
                        if parsed.is_none() {
                            problems.push(format!("rule {rule}: {value:?} is not a CIDR"));
                        }
                        parsed
                    })
                    .collect(),
            ),
            other => {
                problems.push(format!(
                    "rule {rule}: condition {other:?} is not known, it never matches"
                ));
                Condition::Never
            }
        }
    }

    fn holds(&self, facts: &Facts) -> bool {
        match self {
            Condition::Host(values) => values.iter().any(|value| value.matches(facts.host)),
            Condition::Path(values) => values.iter().any(|value| value.matches(facts.path)),
            Condition::Header { name, values } => facts.fields.iter().any(|field| {
                !field.unsafe_to_pass
                    && field.name.of(facts.buffer).eq_ignore_ascii_case(name.as_bytes())
                    && {
                        let text = field.value.of(facts.buffer);
                        values.iter().any(|value| value.matches(text))
                    }
            }),
            Condition::Method(methods) => methods.iter().any(|method| method.as_bytes() == facts.method),
            Condition::Query(wanted) => {
                let pairs = facts
                    .query
                    .split(|byte| *byte == b'&')
                    .filter(|pair| !pair.is_empty());
                pairs.into_iter().any(|pair| {
                    let equals = memchr::memchr(b'=', pair).unwrap_or(pair.len());
                    let key = &pair[..equals];
                    let value = pair.get(equals + 1..).unwrap_or(&[]);
                    wanted.iter().any(|(wanted_key, wanted_value)| {
                        wanted_key.as_ref().is_none_or(|pattern| pattern.matches(key))
                            && wanted_value.matches(value)
                    })
                })
            }
            Condition::SourceIp(networks) => networks.iter().any(|network| network.contains(facts.client)),
            Condition::Never => false,
        }
    }
}

fn compile_regex(text: &str, ignore_case: bool) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text)
        .unicode(false)
        .case_insensitive(ignore_case)
        .size_limit(REGEX_SIZE_LIMIT)
        .build()
}

/// A target group of a forward action. `slot` is None if the snapshot lacks the group (503).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardTo {
    pub arn: String,
    pub slot: Option<u32>,
    pub weight: u32,
}

#[derive(Debug)]
pub struct Forward {
    pub groups: Vec<ForwardTo>,
    total_weight: u64,
    /// real seconds; None = off
    pub stickiness_seconds: Option<f64>,
}

impl Forward {
    /// The group for this request, by weight; None when all weights are 0 (503). `random` is uniform.
    pub fn choose(&self, random: u64) -> Option<&ForwardTo> {
        if let [only] = self.groups.as_slice() {
            return (only.weight > 0).then_some(only);
        }
        if self.total_weight == 0 {
            return None;
        }
        // weights are at most 5 x 999: the bias of the remainder is below 2^-51
        let mut point = random % self.total_weight;
        self.groups.iter().find(|group| {
            let weight = u64::from(group.weight);
            let found = point < weight;
            point = point.saturating_sub(weight);
            found
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placeholder {
    Protocol,
    Host,
    Port,
    Path,
    Query,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(Placeholder),
}

fn compile_template(template: &str) -> Vec<Piece> {
    const PLACES: [(&str, Placeholder); 5] = [
        ("#{protocol}", Placeholder::Protocol),
        ("#{host}", Placeholder::Host),
        ("#{port}", Placeholder::Port),
        ("#{path}", Placeholder::Path),
        ("#{query}", Placeholder::Query),
    ];
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = template;
    while !rest.is_empty() {
        if let Some((name, place)) = PLACES.iter().find(|(name, _)| rest.starts_with(name)) {
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(Piece::Place(*place));
            rest = &rest[name.len()..];
        } else {
            let mut letters = rest.chars();
            text.extend(letters.next());
            rest = letters.as_str();
        }
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    pieces
}

#[derive(Debug)]
pub struct Redirect {
    pub status: u16,
    protocol: Vec<Piece>,
    host: Vec<Piece>,
    port: Vec<Piece>,
    path: Vec<Piece>,
    query: Vec<Piece>,
}

/// The request's own parts, which the placeholders stand for.
#[derive(Debug, Clone, Copy)]
pub struct Original<'a> {
    pub https: bool,
    /// without port
    pub host: &'a [u8],
    pub port: u16,
    /// as received, with its slash
    pub path: &'a [u8],
    pub query: &'a [u8],
}

impl Redirect {
    fn compile(source: &protocol::Redirect) -> Redirect {
        Redirect {
            status: source.status,
            protocol: compile_template(&source.protocol.to_ascii_lowercase()),
            host: compile_template(&source.host),
            port: compile_template(&source.port),
            path: compile_template(&source.path),
            query: compile_template(&source.query),
        }
    }

    /// The Location: scheme, host and port always named. None if it is longer than 8K (507).
    pub fn location(&self, original: &Original) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(128);
        fill(&mut out, &self.protocol, original);
        out.extend_from_slice(b"://");
        fill(&mut out, &self.host, original);
        out.push(b':');
        fill(&mut out, &self.port, original);
        fill(&mut out, &self.path, original);
        let before_query = out.len();
        out.push(b'?');
        fill(&mut out, &self.query, original);
        if out.len() == before_query + 1 {
            out.pop();
        }
        if out.len() > MAX_LOCATION {
            return None;
        }
        // what desync modes may let through must not break the head
        out.retain(|byte| *byte > b' ' && *byte != 0x7f);
        Some(out)
    }
}

fn fill(out: &mut Vec<u8>, pieces: &[Piece], original: &Original) {
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
            Piece::Place(Placeholder::Protocol) => {
                out.extend_from_slice(if original.https { b"https" } else { b"http" })
            }
            Piece::Place(Placeholder::Host) => out.extend_from_slice(original.host),
            Piece::Place(Placeholder::Port) => push_number(out, u64::from(original.port)),
            Piece::Place(Placeholder::Path) => {
                out.extend_from_slice(original.path.strip_prefix(b"/").unwrap_or(original.path))
            }
            Piece::Place(Placeholder::Query) => out.extend_from_slice(original.query),
        }
    }
}

#[derive(Debug)]
pub struct FixedResponse {
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

#[derive(Debug)]
pub enum Action {
    Forward(Forward),
    Redirect(Redirect),
    Fixed(FixedResponse),
    /// the rule has an action that this node cannot carry out: 500, for letting the request pass could open what an
    /// authenticate action guards
    Impossible,
}

impl Action {
    fn compile(
        rule: &protocol::Rule,
        scale: f64,
        resolve: &mut dyn FnMut(&str) -> Option<u32>,
        problems: &mut Vec<String>,
    ) -> Action {
        let mut routing = Action::Impossible;
        for action in &rule.actions {
            match (action.kind.as_str(), &action.redirect, &action.fixed_response) {
                ("forward", _, _) => {
                    let groups = action.target_groups.iter().map(|group| ForwardTo {
                        arn: group.arn.clone(),
                        slot: resolve(&group.arn),
                        weight: group.weight,
                    });
                    let groups: Vec<ForwardTo> = groups.collect();
                    routing = Action::Forward(Forward {
                        total_weight: groups.iter().map(|group| u64::from(group.weight)).sum(),
                        groups,
                        stickiness_seconds: action.group_stickiness_seconds.map(|seconds| {
                            if scale > 0.0 {
                                seconds / scale
                            } else {
                                seconds
                            }
                        }),
                    });
                }
                ("redirect", Some(redirect), _) => routing = Action::Redirect(Redirect::compile(redirect)),
                ("fixed-response", _, Some(fixed)) => {
                    routing = Action::Fixed(FixedResponse {
                        status: fixed.status,
                        content_type: match fixed.content_type.as_str() {
                            "" => "text/plain; charset=utf-8".into(),
                            // as observed: the type with its charset
                            kind => format!("{kind}; charset=utf-8"),
                        },
                        body: fixed.body.clone(),
                    })
                }
                (other, _, _) => {
                    problems.push(format!(
                        "rule {}: action {other:?} cannot be carried out, requests get 500",
                        rule.arn
                    ));
                    return Action::Impossible;
                }
            }
        }
        routing
    }
}

#[derive(Debug)]
struct Rewrite {
    regex: Regex,
    replace: Vec<u8>,
}

impl Rewrite {
    fn compile(source: &protocol::Rewrite) -> Result<Rewrite, regex::Error> {
        Ok(Rewrite {
            regex: compile_regex(&source.regex, false)?,
            replace: braced(&source.replace).into_bytes(),
        })
    }

    /// None if the regex does not match.
    fn apply(&self, text: &[u8]) -> Option<Vec<u8>> {
        match self.regex.replace(text, self.replace.as_slice()) {
            Cow::Borrowed(_) => None,
            Cow::Owned(replaced) => Some(replaced),
        }
    }
}

/// `$1abc` with AWS is group 1 and then "abc"; the regex crate wants `${1}abc` for it.
fn braced(replace: &str) -> String {
    let mut out = String::with_capacity(replace.len() + 8);
    let mut letters = replace.chars().peekable();
    while let Some(letter) = letters.next() {
        out.push(letter);
        if letter == '$' {
            let mut digits = String::new();
            while let Some(digit) = letters.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            if digits.is_empty() {
                // a dollar sign that names no group stands for itself
                if letters.peek() != Some(&'{') {
                    out.push('$');
                }
            } else {
                out.push('{');
                out.push_str(&digits);
                out.push('}');
            }
        }
    }
    out
}

/// A transform's result could not be sent: 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a transform makes the request invalid")]
pub struct BadTransform;

#[derive(Debug)]
pub struct Rule {
    pub arn: String,
    /// 0 = the default rule
    pub priority: u32,
    conditions: Vec<Condition>,
    pub action: Action,
    url: Vec<Rewrite>,
    host: Vec<Rewrite>,
    transforms_are_broken: bool,
}

impl Rule {
    pub fn transforms(&self) -> bool {
        !self.url.is_empty() || !self.host.is_empty() || self.transforms_are_broken
    }

    /// Path and query rewritten; None = as received.
    ///
    /// # Errors
    /// `BadTransform`: what comes out is no request target.
    pub fn rewritten_target(&self, target: &[u8]) -> Result<Option<Vec<u8>>, BadTransform> {
        if self.transforms_are_broken {
            return Err(BadTransform);
        }
        let rewritten = self.url.iter().find_map(|rewrite| rewrite.apply(target));
        match &rewritten {
            Some(text)
                if !text.starts_with(b"/") || text.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) =>
            {
                Err(BadTransform)
            }
            _ => Ok(rewritten),
        }
    }

    /// # Errors
    /// `BadTransform`: what comes out is no host.
    pub fn rewritten_host(&self, host: &[u8]) -> Result<Option<Vec<u8>>, BadTransform> {
        let rewritten = self.host.iter().find_map(|rewrite| rewrite.apply(host));
        match &rewritten {
            Some(text) if text.is_empty() || !is_host(text) => Err(BadTransform),
            _ => Ok(rewritten),
        }
    }
}

/// The rules of one listener, the default last.
#[derive(Debug)]
pub struct Router {
    rules: Vec<Rule>,
}

impl Router {
    /// `resolve` finds a target group's slot by ARN; `scale` divides [scaled] durations.
    pub fn compile(
        listener: &protocol::Listener,
        scale: f64,
        resolve: &mut dyn FnMut(&str) -> Option<u32>,
        problems: &mut Vec<String>,
    ) -> Router {
        let mut rules: Vec<Rule> = Vec::with_capacity(listener.rules.len());
        for source in &listener.rules {
            let conditions = source
                .conditions
                .iter()
                .map(|condition| Condition::compile(condition, &source.arn, problems));
            let conditions = conditions.collect();
            let mut rule = Rule {
                arn: source.arn.clone(),
                priority: source.priority,
                conditions,
                action: Action::compile(source, scale, resolve, problems),
                url: Vec::new(),
                host: Vec::new(),
                transforms_are_broken: false,
            };
            for transform in &source.transforms {
                let list = match transform.kind.as_str() {
                    "url-rewrite" => &mut rule.url,
                    "host-header-rewrite" => &mut rule.host,
                    other => {
                        problems.push(format!("rule {}: transform {other:?} is not known", source.arn));
                        rule.transforms_are_broken = true;
                        continue;
                    }
                };
                for rewrite in &transform.rewrites {
                    match Rewrite::compile(rewrite) {
                        Ok(compiled) => list.push(compiled),
                        Err(error) => {
                            problems.push(format!("rule {}: regex {:?}: {error}", source.arn, rewrite.regex));
                            rule.transforms_are_broken = true;
                        }
                    }
                }
            }
            rules.push(rule);
        }
        rules.sort_by_key(|rule| (rule.priority == 0, rule.priority));
        Router { rules }
    }

    /// The rule for a request and how many rules were evaluated before and with it, the default one not counted.
    /// None only for a listener without a default rule.
    pub fn route(&self, facts: &Facts) -> Option<(&Rule, u64)> {
        let mut evaluated = 0;
        for rule in &self.rules {
            evaluated += u64::from(rule.priority != 0);
            if rule.conditions.iter().all(|condition| condition.holds(facts)) {
                return Some((rule, evaluated));
            }
        }
        None
    }

    /// True if conditions are all that matters: only then is a normalised path needed.
    pub fn has_conditions(&self) -> bool {
        self.rules.iter().any(|rule| !rule.conditions.is_empty())
    }

    /// Whether a host-header condition of some rule matches this host (lower case, no port).
    pub fn names_host(&self, host: &[u8]) -> bool {
        self.rules
            .iter()
            .flat_map(|rule| &rule.conditions)
            .any(|condition| match condition {
                Condition::Host(values) => values.iter().any(|value| value.matches(host)),
                _ => false,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::request::RequestHead;

    fn condition(field: &str, values: &[&str]) -> protocol::Condition {
        protocol::Condition {
            field: field.into(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
            ..Default::default()
        }
    }

    fn fixed(status: u16) -> protocol::Action {
        protocol::Action {
            kind: "fixed-response".into(),
            fixed_response: Some(protocol::FixedResponse {
                status,
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn router(rules: Vec<(u32, Vec<protocol::Condition>)>) -> Router {
        let rules = rules.into_iter().map(|(priority, conditions)| protocol::Rule {
            arn: format!("rule-{priority}"),
            priority,
            conditions,
            actions: vec![fixed(200)],
            transforms: vec![],
        });
        let listener = protocol::Listener {
            rules: rules.collect(),
            ..Default::default()
        };
        let mut problems = Vec::new();
        let router = Router::compile(&listener, 1.0, &mut |_| None, &mut problems);
        assert_eq!(problems, Vec::<String>::new());
        router
    }

    fn priority(router: &Router, request: &str) -> u32 {
        let mut head = RequestHead::default();
        head.parse(request.as_bytes()).unwrap().unwrap();
        let target = head.target.of(request.as_bytes());
        let mark = target
            .iter()
            .position(|byte| *byte == b'?')
            .unwrap_or(target.len());
        let path = normalised_path(&target[..mark]);
        let facts = Facts {
            method: head.method.of(request.as_bytes()),
            host: crate::forwarded::without_port(head.host.map_or(&[], |host| host.of(request.as_bytes()))),
            path: &path,
            query: target.get(mark + 1..).unwrap_or(&[]),
            client: "10.1.2.3".parse().unwrap(),
            buffer: request.as_bytes(),
            fields: &head.fields,
        };
        router.route(&facts).map(|(rule, _)| rule.priority).unwrap()
    }

    fn request(target: &str, fields: &str) -> String {
        format!("GET {target} HTTP/1.1\r\nHost: WWW.example.com:8080\r\n{fields}\r\n")
    }

    #[test]
    fn first_rule_in_order_of_priority_wins_and_default_is_last() {
        let router = router(vec![
            (0, vec![]),
            (20, vec![condition("path-pattern", &["/a*"])]),
            (10, vec![condition("path-pattern", &["/ab*", "/x"])]),
        ]);
        assert_eq!(priority(&router, &request("/abc", "")), 10);
        assert_eq!(priority(&router, &request("/x", "")), 10);
        assert_eq!(priority(&router, &request("/ac?/ab", "")), 20);
        assert_eq!(priority(&router, &request("/", "")), 0);
    }

    #[test]
    fn every_kind_of_condition() {
        let header = |name: &str, values: &[&str]| protocol::Condition {
            header_name: name.into(),
            ..condition("http-header", values)
        };
        let query = |pairs: &[(&str, &str)]| protocol::Condition {
            query: pairs
                .iter()
                .map(|(key, value)| protocol::KeyValue {
                    key: (*key).into(),
                    value: (*value).into(),
                })
                .collect(),
            ..condition("query-string", &[])
        };
        let regex = |field: &str, text: &str| protocol::Condition {
            regex_values: vec![text.into()],
            ..condition(field, &[])
        };
        let table = [
            (condition("host-header", &["*.EXAMPLE.com"]), "/", "", true),
            (condition("host-header", &["example.com"]), "/", "", false),
            (condition("path-pattern", &["/A"]), "/a", "", false),
            (condition("path-pattern", &["/b"]), "/a/../%62", "", true),
            (condition("http-request-method", &["POST", "GET"]), "/", "", true),
            (condition("http-request-method", &["get"]), "/", "", false),
            (condition("source-ip", &["10.1.0.0/16"]), "/", "", true),
            (
                condition("source-ip", &["10.2.0.0/16", "::/0"]),
                "/",
                "X-Forwarded-For: 10.2.0.1\r\n",
                false,
            ),
            (
                header("x-kind", &["*Bar*"]),
                "/",
                "X-Kind: foo\r\nX-KIND: rebarred\r\n",
                true,
            ),
            (header("x-kind", &["*"]), "/", "", false),
            (query(&[("Version", "V1")]), "/?a=b&version=v1", "", true),
            (query(&[("version", "v1")]), "/?version=v2&x=v1", "", false),
            (query(&[("", "*ex\\*")]), "/?a=1&b=prex*", "", true),
            (query(&[("", "*ex\\*")]), "/?a=1&b=prexy", "", false),
            (query(&[("flag", "")]), "/?flag", "", true),
            (regex("path-pattern", "^/v[0-9]+/"), "/v12/x", "", true),
            (regex("path-pattern", "^/V[0-9]+/"), "/v12/x", "", false),
            (regex("host-header", "^WWW"), "/", "", true),
        ];
        for (condition, target, fields, wanted) in table {
            let described = format!("{condition:?} {target} {fields:?}");
            let router = router(vec![(1, vec![condition]), (0, vec![])]);
            assert_eq!(
                priority(&router, &request(target, fields)) == 1,
                wanted,
                "{described}"
            );
        }
    }

    #[test]
    fn all_conditions_of_a_rule_must_hold() {
        let both = vec![
            condition("path-pattern", &["/a"]),
            condition("host-header", &["*.com"]),
        ];
        let router = router(vec![(1, both), (0, vec![])]);
        assert_eq!(priority(&router, &request("/a", "")), 1);
        assert_eq!(priority(&router, &request("/b", "")), 0);
    }

    #[test]
    fn paths_are_normalised() {
        for (path, wanted) in [
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/../../a", "/a"),
            ("/a/..", "/"),
            ("/a/.", "/a/"),
            ("/%61%2f%2E%2e/c", "/a%2f../c"),
            ("/a/%2e%2e/c", "/c"),
            ("/.hidden", "/.hidden"),
            ("/a//b", "/a//b"),
            ("/%zz%4", "/%zz%4"),
            ("*", "*"),
        ] {
            assert_eq!(&*normalised_path(path.as_bytes()), wanted.as_bytes(), "{path}");
        }
    }

    #[test]
    fn redirects_fill_their_placeholders() {
        let original = Original {
            https: false,
            host: b"Example.com",
            port: 8080,
            path: b"/a/b",
            query: b"x=1",
        };
        let location = |change: &dyn Fn(&mut protocol::Redirect)| {
            let mut redirect = protocol::Redirect::default();
            change(&mut redirect);
            Redirect::compile(&redirect)
                .location(&original)
                .map(|bytes| String::from_utf8(bytes).unwrap())
        };
        assert_eq!(location(&|_| {}).unwrap(), "http://Example.com:8080/a/b?x=1");
        assert_eq!(
            location(&|redirect| {
                redirect.protocol = "HTTPS".into();
                redirect.port = "443".into();
            })
            .unwrap(),
            "https://Example.com:443/a/b?x=1"
        );
        assert_eq!(
            location(&|redirect| {
                redirect.host = "new.#{host}".into();
                redirect.path = "/p/#{path}/#{port}".into();
                redirect.query = "u=#{protocol}-#{query}#".into();
            })
            .unwrap(),
            "http://new.Example.com:8080/p/a/b/8080?u=http-x=1#"
        );
        assert_eq!(
            location(&|redirect| redirect.query = String::new()).unwrap(),
            "http://Example.com:8080/a/b"
        );
        assert_eq!(location(&|redirect| redirect.query = "q".repeat(9000)), None);
    }

    #[test]
    fn weights() {
        let to = |arn: &str, weight| ForwardTo {
            arn: arn.into(),
            slot: None,
            weight,
        };
        let forward = |groups: Vec<ForwardTo>| Forward {
            total_weight: groups.iter().map(|group| u64::from(group.weight)).sum(),
            groups,
            stickiness_seconds: None,
        };
        let split = forward(vec![to("a", 10), to("none", 0), to("b", 20)]);
        let counts = (0..3000u64).fold([0, 0], |mut counts, random| {
            counts[usize::from(split.choose(random).unwrap().arn == "b")] += 1;
            assert_ne!(split.choose(random).unwrap().arn, "none");
            counts
        });
        assert_eq!(counts, [1000, 2000]);
        assert!(forward(vec![to("a", 0), to("b", 0)]).choose(7).is_none());
        assert!(forward(vec![to("a", 0)]).choose(7).is_none());
    }

    #[test]
    fn transforms() {
        let mut rule = protocol::Rule {
            actions: vec![fixed(200)],
            transforms: vec![
                protocol::Transform {
                    kind: "url-rewrite".into(),
                    rewrites: vec![protocol::Rewrite {
                        regex: "^/old/([a-z]*)".into(),
                        replace: "/new$1x".into(),
                    }],
                },
                protocol::Transform {
                    kind: "host-header-rewrite".into(),
                    rewrites: vec![protocol::Rewrite {
                        regex: "^(.*)\\.com$".into(),
                        replace: "$1.org".into(),
                    }],
                },
            ],
            ..Default::default()
        };
        let compile = |rule: &protocol::Rule| {
            let listener = protocol::Listener {
                rules: vec![rule.clone()],
                ..Default::default()
            };
            Router::compile(&listener, 1.0, &mut |_| None, &mut Vec::new())
        };
        let router = compile(&rule);
        let compiled = &router.rules[0];
        assert_eq!(
            compiled.rewritten_target(b"/old/a?b=c"),
            Ok(Some(b"/newax?b=c".to_vec()))
        );
        assert_eq!(compiled.rewritten_target(b"/other"), Ok(None));
        assert_eq!(compiled.rewritten_host(b"a.com"), Ok(Some(b"a.org".to_vec())));
        rule.transforms[0].rewrites[0].replace = "no slash".into();
        assert_eq!(
            compile(&rule).rules[0].rewritten_target(b"/old/a"),
            Err(BadTransform)
        );
    }

    #[test]
    fn an_unknown_action_opens_nothing() {
        let listener = protocol::Listener {
            rules: vec![protocol::Rule {
                actions: vec![
                    protocol::Action {
                        kind: "authenticate-oidc".into(),
                        ..Default::default()
                    },
                    fixed(200),
                ],
                ..Default::default()
            }],
            ..Default::default()
        };
        let mut problems = Vec::new();
        let router = Router::compile(&listener, 1.0, &mut |_| None, &mut problems);
        assert!(matches!(router.rules[0].action, Action::Impossible));
        assert_eq!(problems.len(), 1);
    }
}
