//! A bearer token, which cannot be printed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A text that has the shape of a bearer token. `Debug` does not show it.
#[derive(Debug, Clone)]
pub struct Token(SecretString);

/// SHA-256 of a token: what the service keeps and compares.
pub(super) type TokenDigest = [u8; 32];

/// Issuer, subject and audience of a token, as a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenOwner([u8; 32]);

/// Longer than any token of Kubernetes, shorter than the head of a request.
const MAX_LENGTH: usize = 16 * 1024;

impl Token {
    /// Accepts what RFC 6750 allows: letters, digits and `-._~+/`, then perhaps `=`.
    pub fn parse(text: &str) -> Option<Self> {
        let body = text.trim_end_matches('=');
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
        let shaped = !body.is_empty() && text.len() <= MAX_LENGTH && body.bytes().all(allowed);
        shaped.then(|| Token(text.into()))
    }

    pub(super) fn digest(&self) -> TokenDigest {
        digest(self.0.expose_secret())
    }

    /// The token itself, for the API server and for nothing else.
    pub(super) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The end time that the token states. The signature of the token is not checked here.
    pub(crate) fn expires(&self) -> Option<DateTime<Utc>> {
        #[derive(Deserialize)]
        struct Ending {
            exp: f64,
        }
        let Ending { exp } = self.claims()?;
        DateTime::from_timestamp(exp as i64, 0) // a float out of range becomes a bound of i64, which is no valid time
    }

    /// Whose token it says it is. Anybody can write that: the signature of the token is not checked here.
    pub(super) fn owner(&self) -> Option<TokenOwner> {
        #[derive(Deserialize)]
        struct Owner {
            #[serde(default)]
            iss: Value,
            sub: String,
            #[serde(default)]
            aud: Value,
        }
        let Owner { iss, sub, aud } = self.claims()?;
        Some(TokenOwner(digest(&json!([iss, sub, aud]).to_string())))
    }

    fn claims<T: DeserializeOwned>(&self) -> Option<T> {
        let mut parts = self.0.expose_secret().split('.');
        let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return None;
        };
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }
}

pub(super) fn digest(token: &str) -> TokenDigest {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        for good in ["a", "abc.def-ghi_jkl", "YWJj==", "t~o+k/e"] {
            assert!(Token::parse(good).is_some(), "{good}");
        }
        for bad in ["", "=", "a b", "a=b", "käse", "a\"b", "a,b", &"x".repeat(MAX_LENGTH + 1)] {
            assert!(Token::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_end_of_a_token_is_read_from_its_claims() {
        let token =
            |claims: &str| Token::parse(&format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))).expect("shaped");
        assert_eq!(token(r#"{"exp":1764000000,"iss":"x"}"#).expires(), DateTime::from_timestamp(1_764_000_000, 0));
        for other in [r#"{"iss":"x"}"#, r#"{"exp":"soon"}"#, r#"{"exp":1e300}"#, "", "[]"] {
            assert_eq!(token(other).expires(), None, "{other}");
        }
        assert_eq!(Token::parse("opaque").expect("shaped").expires(), None);
        assert_eq!(format!("{:?}", Token::parse("secret")).find("secret"), None);
    }
}
