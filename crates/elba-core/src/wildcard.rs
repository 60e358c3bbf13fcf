//! Patterns with `*` (any run of characters, `/` and `.` included) and `?` (exactly one), anchored at both ends.
//! Control characters never match a wildcard: only visible text takes part. Source: alb.md section 3.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Byte(u8),
    One,
    Any,
}

/// A compiled pattern. Literals, prefixes and suffixes are compared without backtracking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
    ignore_case: bool,
    literal: Option<Vec<u8>>,
}

impl Pattern {
    /// `escapes`: `\*` and `\?` stand for the characters themselves (query-string conditions).
    pub fn new(text: &str, ignore_case: bool, escapes: bool) -> Pattern {
        let mut parts = Vec::with_capacity(text.len());
        let mut bytes = text.bytes().peekable();
        while let Some(byte) = bytes.next() {
            let part = match byte {
                b'\\' if escapes && matches!(bytes.peek(), Some(b'*' | b'?' | b'\\')) => {
                    Part::Byte(bytes.next().unwrap_or(byte))
                }
                b'*' => Part::Any,
                b'?' => Part::One,
                other if ignore_case => Part::Byte(other.to_ascii_lowercase()),
                other => Part::Byte(other),
            };
            if part != Part::Any || parts.last() != Some(&Part::Any) {
                parts.push(part);
            }
        }
        let literal = parts
            .iter()
            .map(|part| match part {
                Part::Byte(byte) => Some(*byte),
                _ => None,
            })
            .collect();
        Pattern {
            parts,
            ignore_case,
            literal,
        }
    }

    pub fn matches(&self, text: &[u8]) -> bool {
        if let Some(literal) = &self.literal {
            return if self.ignore_case {
                literal.eq_ignore_ascii_case(text)
            } else {
                literal == text
            };
        }
        let mut part = 0;
        let mut at = 0;
        // where to go on if the run of the latest `*` has to be one longer
        let mut retry: Option<(usize, usize)> = None;
        loop {
            match self.parts.get(part) {
                None if at == text.len() => return true,
                Some(Part::Any) => {
                    part += 1;
                    retry = Some((part, at));
                    continue;
                }
                Some(single) if at < text.len() && self.fits(*single, text[at]) => {
                    part += 1;
                    at += 1;
                    continue;
                }
                _ => {}
            }
            match retry {
                Some((after, from)) if from < text.len() && is_visible(text[from]) => {
                    part = after;
                    at = from + 1;
                    retry = Some((after, at));
                }
                _ => return false,
            }
        }
    }

    fn fits(&self, part: Part, byte: u8) -> bool {
        match part {
            Part::Byte(wanted) if self.ignore_case => wanted == byte.to_ascii_lowercase(),
            Part::Byte(wanted) => wanted == byte,
            Part::One => is_visible(byte),
            Part::Any => false,
        }
    }
}

fn is_visible(byte: u8) -> bool {
    byte >= 0x20 && byte != 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern, false, false).matches(text.as_bytes())
    }

    #[test]
    fn anchored_at_both_ends() {
        assert!(matches("/img/*", "/img/") && matches("/img/*", "/img/a/b"));
        assert!(!matches("/img/*", "/img") && !matches("/img", "/img/") && !matches("img", "/img"));
        assert!(matches("*.example.com", "a.b.example.com") && !matches("*.example.com", "example.com"));
        assert!(matches("/a?c", "/abc") && !matches("/a?c", "/ac") && !matches("/a?c", "/abbc"));
        assert!(matches("*", "") && matches("**", "x") && matches("", "") && !matches("", "x"));
    }

    #[test]
    fn case_and_escapes() {
        assert!(Pattern::new("A*b", true, false).matches(b"aXB"));
        assert!(!matches("A*b", "aXB"));
        assert!(Pattern::new("A", true, false).matches(b"a"));
        let star = Pattern::new("a\\*\\?", true, true);
        assert!(star.matches(b"a*?") && !star.matches(b"abc"));
        assert!(Pattern::new("a\\b*", true, true).matches(b"a\\bc"));
    }

    #[test]
    fn control_characters_match_no_wildcard() {
        assert!(!matches("a*c", "a\u{1}c") && !matches("a?c", "a\u{7f}c"));
    }

    #[test]
    fn no_exponential_time() {
        assert!(!matches(
            &"*a".repeat(60),
            &"a".repeat(4000).replace("aaaa", "aaab")[..3999]
                .to_owned()
                .add("c")
        ));
    }

    use std::ops::Add;

    /// Plain recursion over the definition.
    fn oracle(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                oracle(rest, text) || text.split_first().is_some_and(|(_, tail)| oracle(pattern, tail))
            }
            (Some((b'?', rest)), Some((_, tail))) => oracle(rest, tail),
            (Some((byte, rest)), Some((other, tail))) => byte == other && oracle(rest, tail),
            _ => false,
        }
    }

    #[test]
    fn agrees_with_the_slow_oracle() {
        let mut seed = 0x2545_f491_4f6c_dd1du64;
        let mut next = |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        let mut matched = 0;
        for _ in 0..200_000 {
            let pattern: String = (0..next(7)).map(|_| b"ab*?"[next(4) as usize] as char).collect();
            let text: String = (0..next(8)).map(|_| b"ab"[next(2) as usize] as char).collect();
            let wanted = oracle(pattern.as_bytes(), text.as_bytes());
            matched += u32::from(wanted);
            assert_eq!(matches(&pattern, &text), wanted, "{pattern:?} {text:?}");
        }
        assert!(matched > 10_000);
    }
}
