//! What a rule writes anew in a request: its target and its host.

use std::borrow::Cow;

use regex::bytes::Regex;

use super::conditions::compile_regex;
use crate::protocol;

#[derive(Debug)]
pub(super) struct Rewrite {
    regex: Regex,
    replace: Vec<u8>,
}

impl Rewrite {
    pub(super) fn compile(source: &protocol::Rewrite) -> Result<Rewrite, regex::Error> {
        Ok(Rewrite {
            regex: compile_regex(&source.regex, false)?,
            replace: braced(&source.replace).into_bytes(),
        })
    }

    /// None if the regex does not match.
    pub(super) fn apply(&self, text: &[u8]) -> Option<Vec<u8>> {
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
