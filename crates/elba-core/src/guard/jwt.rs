//! JSON Web Tokens: verified as jwt-validation asks for (RS256), and made for targets (ES256). Source: alb.md
//! sections 5.4 and 5.5.

use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use base64::Engine;
use ring::rand::SystemRandom;
use ring::signature::{
    EcdsaKeyPair, RsaPublicKeyComponents, ECDSA_P256_SHA256_FIXED_SIGNING, RSA_PKCS1_2048_8192_SHA256,
};
use serde_json::{Map, Value};

use super::Failure;
use crate::protocol::{IdentityKey, JwtClaim, JwtValidation};

/// Source: alb.md section 5.5.
pub const MAX_KEY_SET: usize = 150 * 1024;
const MAX_KEYS: usize = 10;

const BAD_FORMAT: Failure = Failure::new(401, "JWTRequestFormatInvalid");
const BAD_SIGNATURE: Failure = Failure::new(401, "JWTSignatureValidationFailed");
const BAD_CLAIM: Failure = Failure::new(401, "JWTClaimValueInvalid");
const NO_CLAIM: Failure = Failure::new(401, "JWTClaimNotPresent");
const BAD_CLAIM_FORMAT: Failure = Failure::new(401, "JWTClaimFormatInvalid");

/// A public RSA key of a key set.
#[derive(Debug, Clone)]
struct PublicKey {
    id: String,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

/// The RSA keys of a JWKS document.
#[derive(Debug, Clone, Default)]
pub struct KeySet(Vec<PublicKey>);

impl KeySet {
    /// None if the document is none, or has more keys than are allowed.
    pub fn parse(document: &[u8]) -> Option<KeySet> {
        let document: Value = serde_json::from_slice(document).ok()?;
        let keys = document.get("keys")?.as_array()?;
        if keys.len() > MAX_KEYS {
            return None;
        }
        let text = |key: &Value, name: &str| key.get(name).and_then(Value::as_str).map(str::to_owned);
        let number = |key: &Value, name: &str| {
            let bytes = URL_SAFE_NO_PAD
                .decode(text(key, name)?.trim_end_matches('='))
                .ok()?;
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            Some(bytes[zeros..].to_vec())
        };
        let keys = keys
            .iter()
            .filter(|key| key.get("kty").and_then(Value::as_str) == Some("RSA"));
        Some(KeySet(
            keys.filter_map(|key| {
                Some(PublicKey {
                    id: text(key, "kid").unwrap_or_default(),
                    modulus: number(key, "n")?,
                    exponent: number(key, "e")?,
                })
            })
            .collect(),
        ))
    }

    pub fn has(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id == id)
    }

    fn verifies(&self, id: &str, message: &[u8], signature: &[u8]) -> bool {
        let named = self.0.iter().filter(|key| id.is_empty() || key.id == id);
        named.into_iter().any(|key| {
            let key = RsaPublicKeyComponents {
                n: &key.modulus,
                e: &key.exponent,
            };
            key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok()
        })
    }
}

/// A token taken apart; nothing of it is verified yet.
#[derive(Debug, Clone)]
pub struct Token<'a> {
    pub key_id: String,
    algorithm: String,
    signed: &'a [u8],
    signature: Vec<u8>,
    pub claims: Map<String, Value>,
}

fn object(segment: &[u8]) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(trim_padding(segment)).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn trim_padding(mut segment: &[u8]) -> &[u8] {
    while let [rest @ .., b'='] = segment {
        segment = rest;
    }
    segment
}

impl<'a> Token<'a> {
    /// None if it is no signed token.
    pub fn parse(text: &'a [u8]) -> Option<Token<'a>> {
        let mut segments = text.split(|byte| *byte == b'.');
        let (head, payload, signature) = (segments.next()?, segments.next()?, segments.next()?);
        if segments.next().is_some() {
            return None;
        }
        let header = object(head)?;
        let word = |name: &str| header.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Token {
            key_id: word("kid").unwrap_or_default(),
            algorithm: word("alg")?,
            signed: text.get(..head.len() + 1 + payload.len())?,
            signature: URL_SAFE_NO_PAD.decode(trim_padding(signature)).ok()?,
            claims: object(payload)?,
        })
    }
}

/// The token of an Authorization field.
///
/// # Errors
/// JWTHeaderNotPresent, JWTRequestFormatInvalid.
pub fn bearer(authorization: Option<&[u8]>) -> Result<&[u8], Failure> {
    let value = authorization.ok_or(Failure::new(401, "JWTHeaderNotPresent"))?;
    match value.split_first_chunk::<7>() {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty() => {
            Ok(crate::http1::trim(token))
        }
        _ => Err(BAD_FORMAT),
    }
}

/// Whether a token is good at world time `now`.
///
/// # Errors
/// Why it is not: 401.
pub fn validate(rules: &JwtValidation, keys: &KeySet, token: &Token, now: u64) -> Result<(), Failure> {
    if token.algorithm != "RS256" {
        return Err(BAD_FORMAT);
    }
    if !keys.verifies(&token.key_id, token.signed, &token.signature) {
        return Err(BAD_SIGNATURE);
    }
    let claim = |name: &str| token.claims.get(name);
    let time = |name: &str| match claim(name) {
        None => Ok(None),
        Some(value) => value.as_f64().map(Some).ok_or(BAD_CLAIM_FORMAT),
    };
    match claim("iss").ok_or(NO_CLAIM)? {
        Value::String(issuer) if *issuer == rules.issuer => {}
        Value::String(_) => return Err(BAD_CLAIM),
        _ => return Err(BAD_CLAIM_FORMAT),
    }
    let now = now as f64;
    if time("exp")?.ok_or(NO_CLAIM)? <= now
        || time("nbf")?.is_some_and(|from| from > now)
        || time("iat")?.is_some_and(|from| from > now)
    {
        return Err(BAD_CLAIM);
    }
    rules.claims.iter().try_for_each(|wanted| {
        if has_wanted(claim(&wanted.name).ok_or(NO_CLAIM)?, wanted)? {
            Ok(())
        } else {
            Err(BAD_CLAIM)
        }
    })
}

fn has_wanted(value: &Value, wanted: &JwtClaim) -> Result<bool, Failure> {
    let is_wanted = |text: &str| wanted.values.iter().any(|value| value == text);
    match (wanted.format.as_str(), value) {
        ("single-string", Value::String(text)) => Ok(is_wanted(text)),
        ("space-separated-values", Value::String(text)) => Ok(text.split(' ').any(is_wanted)),
        ("string-array", Value::Array(items)) => {
            let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            Ok(texts.ok_or(BAD_CLAIM_FORMAT)?.into_iter().any(is_wanted))
        }
        _ => Err(BAD_CLAIM_FORMAT),
    }
}

/// Signs what a load balancer says of a user. The key is the load balancer's own.
#[derive(Debug)]
pub struct Signer {
    id: String,
    key: EcdsaKeyPair,
    random: SystemRandom,
}

impl Signer {
    /// None if there is no key or it is none.
    pub fn parse(source: &IdentityKey) -> Option<Signer> {
        let random = SystemRandom::new();
        let document = STANDARD.decode(&source.private_key).ok()?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &document, &random).ok()?;
        Some(Signer {
            id: source.id.clone(),
            key,
            random,
        })
    }

    /// x-amzn-oidc-data: header and payload in base64url with padding, as AWS makes it. `claims` is a JSON object;
    /// None if it cannot be signed.
    pub fn sign(
        &self,
        load_balancer: &str,
        issuer: &str,
        client: &str,
        claims: &str,
        expires: u64,
    ) -> Option<String> {
        let mut payload: Map<String, Value> = serde_json::from_str(claims).ok()?;
        payload.insert("exp".into(), expires.into());
        payload.insert("iss".into(), issuer.into());
        let header = serde_json::json!({
            "typ": "JWT", "kid": self.id, "alg": "ES256", "iss": issuer, "client": client,
            "signer": load_balancer, "exp": expires,
        });
        let mut token = URL_SAFE.encode(header.to_string());
        token.push('.');
        URL_SAFE.encode_string(Value::Object(payload).to_string(), &mut token);
        let signature = self.key.sign(&self.random, token.as_bytes()).ok()?;
        token.push('.');
        URL_SAFE.encode_string(signature, &mut token);
        Some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{KeyPair, UnparsedPublicKey, ECDSA_P256_SHA256_FIXED};

    #[test]
    fn bearers() {
        assert_eq!(bearer(Some(b"Bearer a.b.c")), Ok(&b"a.b.c"[..]));
        assert_eq!(bearer(Some(b"bearer  a.b.c ")), Ok(&b"a.b.c"[..]));
        assert_eq!(bearer(None).unwrap_err().reason, "JWTHeaderNotPresent");
        for bad in [&b"Basic x"[..], b"Bearer ", b"Bearer", b""] {
            assert_eq!(bearer(Some(bad)), Err(BAD_FORMAT));
        }
    }

    #[test]
    fn what_is_no_token_is_not_parsed() {
        for bad in [
            &b""[..],
            b"a.b",
            b"a.b.c",
            b"e30.e30.",
            b"e30.e30.e30.e30",
            b"\xff.\xff.\xff",
        ] {
            assert!(Token::parse(bad).is_none(), "{bad:?}");
        }
        let token = Token::parse(b"eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.eyJhIjoxfQ.AAAA").unwrap();
        assert_eq!((token.key_id.as_str(), token.algorithm.as_str()), ("k", "RS256"));
        assert_eq!(token.claims["a"], 1);
    }

    #[test]
    fn claims_are_compared_by_their_format() {
        let has = |format: &str, value: Value| {
            let wanted = JwtClaim {
                name: "x".into(),
                format: format.into(),
                values: vec!["a".into(), "b".into()],
            };
            has_wanted(&value, &wanted)
        };
        assert_eq!(has("single-string", "a".into()), Ok(true));
        assert_eq!(has("single-string", "a b".into()), Ok(false));
        assert_eq!(has("space-separated-values", "c b".into()), Ok(true));
        assert_eq!(has("string-array", vec!["c", "a"].into()), Ok(true));
        assert_eq!(has("string-array", vec!["c"].into()), Ok(false));
        assert_eq!(has("string-array", "a".into()), Err(BAD_CLAIM_FORMAT));
        assert_eq!(has("single-string", 1.into()), Err(BAD_CLAIM_FORMAT));
    }

    #[test]
    fn what_we_sign_verifies() {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let signer = Signer::parse(&IdentityKey {
            id: "k1".into(),
            private_key: STANDARD.encode(document.as_ref()),
        })
        .unwrap();
        let token = signer.sign("lb", "iss", "me", r#"{"sub":"s"}"#, 120).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let signature = URL_SAFE.decode(parts[2]).unwrap();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, signer.key.public_key().as_ref());
        let signed = format!("{}.{}", parts[0], parts[1]);
        assert!(public.verify(signed.as_bytes(), &signature).is_ok());
        let header: Value = serde_json::from_slice(&URL_SAFE.decode(parts[0]).unwrap()).unwrap();
        assert_eq!(
            (header["kid"].as_str(), header["signer"].as_str()),
            (Some("k1"), Some("lb"))
        );
        assert!(signer.sign("lb", "iss", "me", "[]", 120).is_none());
    }
}
