//! The keys of the stickiness cookies.

use base64::Engine;

use crate::protocol;

/// The first key encrypts, all decrypt.
#[derive(Clone, Default)]
pub struct CookieKeys {
    keys: Vec<(String, [u8; 32])>,
}

impl std::fmt::Debug for CookieKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CookieKeys({} ***)", self.keys.len())
    }
}

impl CookieKeys {
    pub fn parse(keys: &[protocol::CookieKey], problems: &mut Vec<String>) -> CookieKeys {
        let mut parsed = Vec::with_capacity(keys.len());
        for key in keys {
            let secret = base64::engine::general_purpose::STANDARD
                .decode(&key.secret)
                .ok()
                .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            match secret {
                Some(secret) => parsed.push((key.id.clone(), secret)),
                None => problems.push(format!("cookie key {}: not 32 bytes in base64", key.id)),
            }
        }
        CookieKeys { keys: parsed }
    }
}
