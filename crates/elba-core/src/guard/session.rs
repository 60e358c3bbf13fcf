//! Sessions of clients that have logged in: what is in their cookies. A session is sealed like a stickiness cookie and
//! cut into shards that browsers take.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use ring::aead::NONCE_LEN;
use serde::{Deserialize, Serialize};

use crate::http1::{Field, Name};
use crate::stickiness::{find_cookie, CookieKeys};

/// What one cookie holds of a sealed session.
const SHARD: usize = 4000;
const MAX_SHARDS: usize = 4;
/// Claims and access token together. Source: alb.md section 5.4.
pub const MAX_CLAIMS: usize = 11 * 1024;

/// A client that has logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// `Oidc::id` of where it logged in
    pub guard: u64,
    /// world time of the login
    pub since: u64,
    pub subject: String,
    #[serde(skip)]
    pub access_token: String,
    /// what the user info endpoint said: a JSON object
    #[serde(skip)]
    pub claims: String,
    pub refresh_token: Option<String>,
    /// world time from which the access token is no longer good
    pub renew_at: Option<u64>,
}

impl Session {
    pub fn is_too_large(&self) -> bool {
        self.claims.len() + self.access_token.len() > MAX_CLAIMS
    }

    /// Appends Set-Cookie lines; `expires` is an HTTP date. False if it does not fit into the shards there are, or no
    /// key is there.
    pub fn push_cookies(
        &self,
        out: &mut Vec<u8>,
        keys: &CookieKeys,
        scope: &str,
        name: &str,
        expires: &str,
        nonce: [u8; NONCE_LEN],
    ) -> bool {
        let Ok(mut text) = serde_json::to_vec(self) else {
            return false;
        };
        // what is long goes as it is: quoted, the claims that AWS takes would not fit
        for long in [&self.access_token, &self.claims] {
            text.push(0);
            text.extend_from_slice(long.as_bytes());
        }
        let Some(sealed) = keys.seal_bytes(scope, name, &text, nonce) else {
            return false;
        };
        let value = URL_SAFE_NO_PAD.encode(sealed);
        if value.len() > SHARD * MAX_SHARDS {
            return false;
        }
        for (number, shard) in value.as_bytes().chunks(SHARD).enumerate() {
            out.extend_from_slice(format!("Set-Cookie: {name}-{number}=").as_bytes());
            out.extend_from_slice(shard);
            out.extend_from_slice(format!("; Expires={expires}; Path=/; Secure; HttpOnly\r\n").as_bytes());
        }
        true
    }

    /// The session in a request's cookies, if there is one that this load balancer made.
    pub fn find(
        buffer: &[u8],
        fields: &[Field],
        keys: &CookieKeys,
        scope: &str,
        name: &str,
    ) -> Option<Session> {
        if !fields.iter().any(|field| field.kind == Name::Cookie) {
            return None;
        }
        let mut value = Vec::new();
        for number in 0..MAX_SHARDS {
            match find_cookie(buffer, fields, &format!("{name}-{number}")) {
                Some(shard) => {
                    value.extend_from_slice(shard);
                    // what follows a short one is left from a longer session
                    if shard.len() < SHARD {
                        break;
                    }
                }
                None => break,
            }
        }
        if value.is_empty() {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(value).ok()?;
        let text = String::from_utf8(keys.open_bytes(scope, name, &sealed)?).ok()?;
        let mut parts = text.splitn(3, '\0');
        let mut session: Session = serde_json::from_str(parts.next()?).ok()?;
        session.access_token = parts.next()?.to_owned();
        session.claims = parts.next()?.to_owned();
        Some(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::request::RequestHead;
    use crate::protocol;

    fn keys() -> CookieKeys {
        let key = protocol::CookieKey {
            id: "1".into(),
            secret: base64::engine::general_purpose::STANDARD.encode([7; 32]),
        };
        CookieKeys::parse(&[key], &mut Vec::new())
    }

    fn session(claims: usize) -> Session {
        Session {
            guard: 1,
            since: 1_700_000_000,
            subject: "me".into(),
            access_token: "token".into(),
            claims: format!("{{\"a\":\"{}\"}}", "x".repeat(claims)),
            refresh_token: Some("again".into()),
            renew_at: None,
        }
    }

    fn request(cookies: &str) -> (String, RequestHead) {
        let text = format!("GET / HTTP/1.1\r\nHost: h\r\nCookie: {cookies}\r\n\r\n");
        let mut head = RequestHead::default();
        head.parse(text.as_bytes()).unwrap().unwrap();
        (text, head)
    }

    fn cookies_of(session: &Session) -> Option<Vec<String>> {
        let mut out = Vec::new();
        session
            .push_cookies(&mut out, &keys(), "lb", "S", "soon", [3; NONCE_LEN])
            .then(|| {
                String::from_utf8(out)
                    .unwrap()
                    .lines()
                    .map(|line| {
                        let pair = line.strip_prefix("Set-Cookie: ").unwrap();
                        assert!(pair.ends_with("; Expires=soon; Path=/; Secure; HttpOnly"));
                        pair.split(';').next().unwrap().to_owned()
                    })
                    .collect()
            })
    }

    fn found(cookies: &[String]) -> Option<Session> {
        let (text, head) = request(&cookies.join("; "));
        Session::find(text.as_bytes(), &head.fields, &keys(), "lb", "S")
    }

    #[test]
    fn comes_back_from_its_shards() {
        for (size, shards) in [(10, 1), (2600, 1), (9000, 4)] {
            let session = session(size);
            let cookies = cookies_of(&session).unwrap();
            assert_eq!(cookies.len(), shards, "{size}");
            assert_eq!(found(&cookies), Some(session));
        }
        assert_eq!(cookies_of(&session(20_000)), None);
        let (short, long) = (session(10), cookies_of(&session(9000)).unwrap());
        let with_left = [&cookies_of(&short).unwrap()[..], &long[1..]].concat();
        assert_eq!(found(&with_left), Some(short));
        let largest = Session {
            access_token: "t".repeat(1000),
            claims: "\"".repeat(MAX_CLAIMS - 1000),
            ..session(0)
        };
        assert!(!largest.is_too_large());
        let cookies = cookies_of(&largest).unwrap();
        assert_eq!(cookies.len(), 4);
        assert_eq!(found(&cookies), Some(largest));
    }

    #[test]
    fn what_was_changed_or_is_missing_is_no_session() {
        let cookies = cookies_of(&session(9000)).unwrap();
        assert_eq!(found(&cookies[..2]), None);
        assert_eq!(found(&cookies[1..]), None);
        let mut swapped = cookies.clone();
        swapped.swap(0, 1);
        let renamed: Vec<String> = swapped
            .iter()
            .enumerate()
            .map(|(number, pair)| format!("S-{number}={}", pair.split_once('=').unwrap().1))
            .collect();
        assert_eq!(found(&renamed), None);
        let small = cookies_of(&session(10)).unwrap();
        for at in "S-0=".len()..small[0].len() {
            let mut bytes = small[0].clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(found(&[changed]), None, "{at}");
        }
    }
}
