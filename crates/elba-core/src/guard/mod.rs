//! What stands before a rule's routing action: authenticate-oidc (authenticate-cognito on the same code) and
//! jwt-validation. Nothing here waits: whoever needs an identity provider is told what to ask it, and comes back with
//! the answer. Source: alb.md sections 5.4 and 5.5.

pub mod jwt;
pub mod oidc;
pub mod session;

use std::sync::Arc;

use crate::protocol;

/// What a request has to have before its rule's routing action is carried out.
#[derive(Debug, Clone)]
pub enum Guard {
    Oidc(Arc<oidc::Oidc>),
    Jwt(Arc<protocol::JwtValidation>),
    /// an action that this node cannot carry out: 500, for letting the request pass could open what it guards
    Impossible,
}

/// What an unauthenticated request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnauthenticated {
    Authenticate,
    Allow,
    Deny,
}

/// Why authentication came to nothing: the answer's status, and `error_reason` of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    pub status: u16,
    pub reason: &'static str,
}

impl Failure {
    pub const fn new(status: u16, reason: &'static str) -> Failure {
        Failure { status, reason }
    }
}

/// The guard of a rule, from the actions before its routing action. `scale` divides [scaled] durations.
pub fn compile(rule: &protocol::Rule, scale: f64, problems: &mut Vec<String>) -> Option<Guard> {
    rule.actions.iter().find_map(|action| {
        let guard = match (action.kind.as_str(), &action.authenticate, &action.jwt) {
            ("authenticate-oidc" | "authenticate-cognito", Some(source), _) => {
                match oidc::Oidc::compile(source, scale) {
                    Ok(oidc) => Guard::Oidc(Arc::new(oidc)),
                    Err(reason) => {
                        problems.push(format!("rule {}: {reason}", rule.arn));
                        Guard::Impossible
                    }
                }
            }
            ("jwt-validation", _, Some(source)) => Guard::Jwt(Arc::new(source.clone())),
            ("authenticate-oidc" | "authenticate-cognito" | "jwt-validation", _, _) => {
                problems.push(format!(
                    "rule {}: {} cannot be carried out",
                    rule.arn, action.kind
                ));
                Guard::Impossible
            }
            _ => return None,
        };
        Some(guard)
    })
}
