//! What a rule does with a request.

use crate::http1::push_number;
use crate::protocol;

/// A Location longer than this: 507.
pub const MAX_LOCATION: usize = 8 * 1024;

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
    pub(super) fn compile(
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
                // what stands before the routing action is the rule's guard
                ("authenticate-oidc" | "authenticate-cognito" | "jwt-validation", _, _) => {}
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
