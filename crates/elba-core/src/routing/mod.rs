//! Which rule of a listener a request meets, and what its actions are. Source: alb.md sections 2 to 5.

mod actions;
mod conditions;
mod transforms;

pub use actions::{Action, FixedResponse, Forward, ForwardTo, Original, Redirect, MAX_LOCATION};
pub use conditions::{normalised_path, Facts};
pub use transforms::BadTransform;

use std::sync::Arc;

use conditions::Condition;
use transforms::Rewrite;

use crate::forwarded::is_host;
use crate::guard::oidc::Oidc;
use crate::guard::{self, Guard};
use crate::protocol;

#[derive(Debug)]
pub struct Rule {
    pub arn: String,
    /// 0 = the default rule
    pub priority: u32,
    conditions: Vec<Condition>,
    pub action: Action,
    /// what a request has to have before the action is carried out
    pub guard: Option<Guard>,
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
                guard: guard::compile(source, scale, problems),
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

    /// The authenticate action that a client comes back from.
    pub fn oidc(&self, id: u64) -> Option<&Arc<Oidc>> {
        self.oidcs().find(|oidc| oidc.id == id)
    }

    pub fn has_oidc(&self) -> bool {
        self.oidcs().next().is_some()
    }

    fn oidcs(&self) -> impl Iterator<Item = &Arc<Oidc>> {
        self.rules.iter().filter_map(|rule| match &rule.guard {
            Some(Guard::Oidc(oidc)) => Some(oidc),
            _ => None,
        })
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
        let compiled = |kind: &str| {
            let listener = protocol::Listener {
                rules: vec![protocol::Rule {
                    actions: vec![
                        protocol::Action {
                            kind: kind.into(),
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
            assert_eq!(problems.len(), 1);
            router
        };
        assert!(matches!(
            compiled("unheard-of").rules[0].action,
            Action::Impossible
        ));
        // its endpoints are missing
        let guarded = compiled("authenticate-oidc");
        assert!(matches!(guarded.rules[0].guard, Some(Guard::Impossible)));
    }
}
