//! Kubernetes' static token file: `token,user,uid,"group1,group2"`, a line each.

use super::TokenDigest;
use crate::domain::identity::Identity;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// The identities of a token file, by the digest of the token. The tokens themselves are not kept, and a search by digest
/// takes no longer for a token that is nearly right.
#[derive(Debug, Default)]
pub struct StaticTokens(HashMap<TokenDigest, Identity>);

#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    #[error("line {0} is not of the form token,user,uid,\"group1,group2\"")]
    Malformed(u64),
    #[error("line {0} repeats a token")]
    Twice(u64),
    #[error("it has no token")]
    Empty,
}

impl StaticTokens {
    /// Reads the text of a token file; empty lines and lines that start with `#` are passed over.
    ///
    /// # Errors
    /// Which line is wrong, never what it says.
    pub fn parse(text: &str) -> Result<Self, TokensError> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .comment(Some(b'#'))
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let mut tokens = HashMap::new();
        for (at, record) in reader.records().enumerate() {
            let record = record.map_err(|_| TokensError::Malformed(at as u64 + 1))?; // usize fits into 64 bits
            let line = record.position().map_or(0, csv::Position::line);
            let field = |n: usize| record.get(n).filter(|field| !field.is_empty());
            let (Some(token), Some(user), Some(_uid)) = (field(0), field(1), field(2)) else {
                return Err(TokensError::Malformed(line));
            };
            let groups = field(3).unwrap_or_default().split(',').map(str::trim).filter(|group| !group.is_empty());
            let identity = Identity { user: user.into(), groups: groups.map(str::to_owned).collect() };
            if tokens.insert(Sha256::digest(token.as_bytes()).into(), identity).is_some() {
                return Err(TokensError::Twice(line));
            }
        }
        if tokens.is_empty() { Err(TokensError::Empty) } else { Ok(StaticTokens(tokens)) }
    }

    pub(super) fn find(&self, digest: &TokenDigest) -> Option<Identity> {
        self.0.get(digest).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_kubernetes_form() {
        let tokens = StaticTokens::parse("# writers\nt1,alice,1,\"a,b\"\n\nt2,bob,2\n").expect("valid");
        let found = tokens.find(&Sha256::digest(b"t1").into()).expect("there");
        assert_eq!((&*found.user, &*found.groups), ("alice", &["a".to_owned(), "b".to_owned()][..]));
        assert!(tokens.find(&Sha256::digest(b"t3").into()).is_none());
    }

    #[test]
    fn names_the_line_that_is_wrong() {
        for (text, words) in [
            ("t,u,1\nsecret-token", "line 2 is not"),
            ("t,u,1\nt,v,2", "line 2 repeats"),
            (",u,1", "line 1 is not"),
            ("", "it has no token"),
        ] {
            let error = StaticTokens::parse(text).expect_err(text).to_string();
            assert!(error.starts_with(words), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
