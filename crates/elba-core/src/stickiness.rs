//! Stickiness cookies: what is in them, and how they are sealed. Source: alb.md section 8.
//!
//! A value is base64 of nonce and AES-256-GCM ciphertext, bound to its load balancer and cookie name: a client can
//! neither read nor make one, and one of another load balancer or kind does not open. What it holds: when it was
//! issued, and a target group or a target in one.

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use ring::aead::{Aad, LessSafeKey, Nonce, UnboundKey, AES_256_GCM, NONCE_LEN};

use crate::http1::{trim, Field, Name};
use crate::protocol;

/// All of them expire for the client after 7 days; the configured duration counts from the time inside.
pub const EXPIRES_SECONDS: u64 = 7 * 86_400;
/// A value longer than this is not ours.
const MAX_VALUE: usize = 4096;
/// Application cookies have up to four shards; our values fit into one.
pub const APP_SHARDS: usize = 4;

/// The first key encrypts, all decrypt.
#[derive(Default)]
pub struct CookieKeys {
    keys: Vec<LessSafeKey>,
}

impl std::fmt::Debug for CookieKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CookieKeys({} ***)", self.keys.len())
    }
}

/// What a cookie remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    pub issued_seconds: u64,
    /// `group_id` of the target group
    pub group: u64,
    /// the target's key; "" in a target group cookie
    pub target: String,
}

/// A short name for a target group's ARN inside a cookie (FNV-1a; nobody can choose what goes into a sealed value).
pub fn group_id(arn: &str) -> u64 {
    arn.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl CookieKeys {
    pub fn parse(keys: &[protocol::CookieKey], problems: &mut Vec<String>) -> CookieKeys {
        let mut parsed = Vec::with_capacity(keys.len());
        for key in keys {
            let bytes = STANDARD.decode(&key.secret).unwrap_or_default();
            match UnboundKey::new(&AES_256_GCM, &bytes) {
                Ok(key) => parsed.push(LessSafeKey::new(key)),
                Err(_) => problems.push(format!("cookie key {}: not 32 bytes in base64", key.id)),
            }
        }
        CookieKeys { keys: parsed }
    }

    /// The cookie's value, or None without a key. `nonce` is random and never used again.
    pub fn seal(&self, scope: &str, cookie: &str, memory: &Memory, nonce: [u8; NONCE_LEN]) -> Option<String> {
        let mut content = Vec::with_capacity(16 + memory.target.len());
        content.extend_from_slice(&memory.issued_seconds.to_be_bytes());
        content.extend_from_slice(&memory.group.to_be_bytes());
        content.extend_from_slice(memory.target.as_bytes());
        Some(STANDARD.encode(self.seal_bytes(scope, cookie, &content, nonce)?))
    }

    /// Nonce and ciphertext of any content, bound to scope and name; None without a key. `nonce` as for `seal`.
    pub fn seal_bytes(
        &self,
        scope: &str,
        name: &str,
        content: &[u8],
        nonce: [u8; NONCE_LEN],
    ) -> Option<Vec<u8>> {
        let key = self.keys.first()?;
        let mut sealed = Vec::with_capacity(NONCE_LEN + content.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(content);
        let tag = key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(bound_to(scope, name)),
                &mut sealed[NONCE_LEN..],
            )
            .ok()?;
        sealed.extend_from_slice(tag.as_ref());
        Some(sealed)
    }

    /// What `seal_bytes` sealed for the same scope and name with one of the keys.
    pub fn open_bytes(&self, scope: &str, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        self.keys.iter().find_map(|key| {
            let mut content = sealed.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let opened = key
                .open_in_place(nonce, Aad::from(bound_to(scope, name)), &mut content)
                .ok()?;
            Some(opened.to_vec())
        })
    }

    /// What a value remembers; None if it was not sealed by one of the keys for this load balancer and cookie.
    pub fn open(&self, scope: &str, cookie: &str, value: &[u8]) -> Option<Memory> {
        if value.len() > MAX_VALUE {
            return None;
        }
        let opened = self.open_bytes(scope, cookie, &STANDARD.decode(value).ok()?)?;
        let (issued, rest) = opened.split_first_chunk::<8>()?;
        let (group, target) = rest.split_first_chunk::<8>()?;
        Some(Memory {
            issued_seconds: u64::from_be_bytes(*issued),
            group: u64::from_be_bytes(*group),
            target: String::from_utf8(target.to_vec()).ok()?,
        })
    }
}

fn bound_to(scope: &str, cookie: &str) -> Vec<u8> {
    [scope.as_bytes(), b"\n", cookie.as_bytes()].concat()
}

/// The value of the first cookie of this name in the Cookie fields, as received.
pub fn find_cookie<'a>(buffer: &'a [u8], fields: &[Field], name: &str) -> Option<&'a [u8]> {
    let values = fields
        .iter()
        .filter(|field| field.kind == Name::Cookie)
        .map(|field| field.value.of(buffer));
    values
        .flat_map(|value| value.split(|byte| *byte == b';'))
        .find_map(|pair| {
            let pair = trim(pair);
            let equals = memchr::memchr(b'=', pair)?;
            (trim(&pair[..equals]) == name.as_bytes()).then(|| trim(&pair[equals + 1..]))
        })
}

/// Whether a response sets a cookie of this name.
pub fn sets_cookie(buffer: &[u8], fields: &[Field], name: &str) -> bool {
    fields
        .iter()
        .filter(|field| field.kind == Name::SetCookie)
        .any(|field| {
            let value = field.value.of(buffer);
            let equals = memchr::memchr(b'=', value).unwrap_or(value.len());
            trim(&value[..equals]) == name.as_bytes()
        })
}

/// Appends a whole Set-Cookie line. `cross_site` marks the twin that browsers also send from other sites.
pub fn push_set_cookie(
    out: &mut Vec<u8>,
    name: &str,
    value: &str,
    expires: &str,
    cross_site: bool,
    https: bool,
) {
    for part in [
        "Set-Cookie: ",
        name,
        "=",
        value,
        "; Expires=",
        expires,
        "; Path=/",
    ] {
        out.extend_from_slice(part.as_bytes());
    }
    if cross_site {
        out.extend_from_slice(b"; SameSite=None");
        if https {
            out.extend_from_slice(b"; Secure");
        }
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::request::RequestHead;

    fn keys(first_bytes: &[u8]) -> CookieKeys {
        let keys: Vec<protocol::CookieKey> = first_bytes
            .iter()
            .map(|byte| protocol::CookieKey {
                id: byte.to_string(),
                secret: STANDARD.encode([*byte; 32]),
            })
            .collect();
        CookieKeys::parse(&keys, &mut Vec::new())
    }

    fn memory() -> Memory {
        Memory {
            issued_seconds: 1_700_000_000,
            group: group_id("tg"),
            target: "i-1:80".into(),
        }
    }

    #[test]
    fn opens_with_any_key_but_only_for_its_scope_and_name() {
        let value = keys(&[1]).seal("lb", "AWSALB", &memory(), [7; 12]).unwrap();
        assert!(value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)));
        assert_eq!(
            keys(&[2, 1]).open("lb", "AWSALB", value.as_bytes()),
            Some(memory())
        );
        assert_eq!(keys(&[2]).open("lb", "AWSALB", value.as_bytes()), None);
        assert_eq!(keys(&[1]).open("other", "AWSALB", value.as_bytes()), None);
        assert_eq!(keys(&[1]).open("lb", "AWSALBTG", value.as_bytes()), None);
        assert_eq!(keys(&[]).seal("lb", "AWSALB", &memory(), [7; 12]), None);
    }

    #[test]
    fn tampered_values_do_not_open() {
        let value = keys(&[1]).seal("lb", "AWSALB", &memory(), [7; 12]).unwrap();
        for at in 0..value.len() {
            let mut bytes = value.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(keys(&[1]).open("lb", "AWSALB", &bytes), None, "{at}");
        }
        for bad in [&b""[..], b"%2B", b"AAAA", b"_remove_"] {
            assert_eq!(keys(&[1]).open("lb", "AWSALB", bad), None);
        }
    }

    #[test]
    fn bad_keys_are_said() {
        let mut problems = Vec::new();
        let key = protocol::CookieKey {
            id: "short".into(),
            secret: "AAAA".into(),
        };
        CookieKeys::parse(&[key], &mut problems);
        assert_eq!(problems, ["cookie key short: not 32 bytes in base64"]);
    }

    #[test]
    fn cookies_are_found_by_exact_name() {
        let text = "GET / HTTP/1.1\r\nCookie: XAWSALB=1; AWSALB=abc=; b\r\nCookie: AWSALBCORS = d\r\n\r\n";
        let mut head = RequestHead::default();
        head.parse(text.as_bytes()).unwrap();
        assert_eq!(
            find_cookie(text.as_bytes(), &head.fields, "AWSALB"),
            Some(&b"abc="[..])
        );
        assert_eq!(
            find_cookie(text.as_bytes(), &head.fields, "AWSALBCORS"),
            Some(&b"d"[..])
        );
        assert_eq!(find_cookie(text.as_bytes(), &head.fields, "b"), None);
    }

    #[test]
    fn lines() {
        let mut out = Vec::new();
        push_set_cookie(&mut out, "AWSALBCORS", "v", "D", true, true);
        push_set_cookie(&mut out, "AWSALB", "v", "D", false, true);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "Set-Cookie: AWSALBCORS=v; Expires=D; Path=/; SameSite=None; Secure\r\n\
             Set-Cookie: AWSALB=v; Expires=D; Path=/\r\n"
        );
    }
}
