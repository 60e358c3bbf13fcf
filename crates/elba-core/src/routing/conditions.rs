//! What a rule looks at in a request.

use std::borrow::Cow;
use std::net::IpAddr;

use regex::bytes::{Regex, RegexBuilder};

use crate::compile::Cidr;
use crate::http1::Field;
use crate::protocol;
use crate::wildcard::Pattern;

/// A regex of a rule may take this much memory once compiled.
const REGEX_SIZE_LIMIT: usize = 1 << 20;

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
pub(super) enum Text {
    Wild(Pattern),
    Regex(Regex),
}

impl Text {
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        match self {
            Text::Wild(pattern) => pattern.matches(text),
            Text::Regex(regex) => regex.is_match(text),
        }
    }
}

#[derive(Debug)]
pub(super) enum Condition {
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
    pub(super) fn compile(source: &protocol::Condition, rule: &str, problems: &mut Vec<String>) -> Condition {
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

    pub(super) fn holds(&self, facts: &Facts) -> bool {
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

pub(super) fn compile_regex(text: &str, ignore_case: bool) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text)
        .unicode(false)
        .case_insensitive(ignore_case)
        .size_limit(REGEX_SIZE_LIMIT)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
