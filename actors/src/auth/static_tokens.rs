//! Kubernetes' static token file: each line is `token,user,uid,"group1,group2"`.

use super::token::{TokenDigest, digest};
use crate::domain::identity::Identity;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// The identities of a token file, by the digests of their tokens. The tokens themselves are not kept.
#[derive(Debug, Default)]
pub struct StaticTokens(Vec<(TokenDigest, Identity)>);

/// A token file, and the tokens that it had when it was read last. Clones share only the tokens.
#[derive(Debug, Clone, Default)]
pub struct TokenFile {
    path: PathBuf,
    /// The digest of the text (or of the error) that was read last, even if the text was faulty. So a fault is
    /// reported once.
    seen: TokenDigest,
    tokens: Arc<StaticTokens>,
}

impl TokenFile {
    /// # Errors
    /// What is wrong with the file. The error names the file.
    pub fn open(path: &Path) -> Result<Self, String> {
        let mut file = TokenFile { path: path.to_owned(), ..Default::default() };
        file.reload()?;
        Ok(file)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file again. Returns whether the tokens have changed.
    ///
    /// # Errors
    /// What is wrong with the file. The same fault is reported only once, and the tokens stay as they were.
    pub(super) fn reload(&mut self) -> Result<bool, String> {
        if self.path.as_os_str().is_empty() {
            return Ok(false);
        }
        let named = |error: &dyn std::fmt::Display| format!("{}: {error}", self.path.display());
        let (seen, parsed) = match std::fs::read_to_string(&self.path) {
            Ok(text) => (digest(&text), StaticTokens::parse(&text).map_err(|error| named(&error))),
            Err(error) => (digest(&error.to_string()), Err(named(&error))),
        };
        if seen == self.seen {
            return Ok(false);
        }
        self.seen = seen;
        self.tokens = Arc::new(parsed?);
        Ok(true)
    }

    pub(super) fn find(&self, digest: &TokenDigest) -> Option<Identity> {
        self.tokens.find(digest)
    }
}

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
    /// Reads the text of a token file. Skips empty lines and lines that start with `#`.
    ///
    /// # Errors
    /// Which line is wrong. The error never repeats the text of the line.
    pub fn parse(text: &str) -> Result<Self, TokensError> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .comment(Some(b'#'))
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let (mut tokens, mut digests) = (Vec::new(), HashSet::new());
        for (at, record) in reader.records().enumerate() {
            let record = record.map_err(|_| TokensError::Malformed(at as u64 + 1))?; // usize fits into 64 bits
            let line = record.position().map_or(0, csv::Position::line);
            let field = |n: usize| record.get(n).filter(|field| !field.is_empty());
            let (Some(token), Some(user), Some(uid)) = (field(0), field(1), field(2)) else {
                return Err(TokensError::Malformed(line));
            };
            let groups = field(3).unwrap_or_default().split(',').map(str::trim).filter(|group| !group.is_empty());
            let identity = Identity { user: user.into(), uid: uid.into(), groups: groups.map(str::to_owned).collect() };
            if !digests.insert(digest(token)) {
                return Err(TokensError::Twice(line));
            }
            tokens.push((digest(token), identity));
        }
        if tokens.is_empty() { Err(TokensError::Empty) } else { Ok(StaticTokens(tokens)) }
    }

    /// Compares the digest with all digests, each in constant time, so that the time says nothing about the tokens.
    fn find(&self, digest: &TokenDigest) -> Option<Identity> {
        let same = |held: &TokenDigest| bool::from(held.ct_eq(digest));
        self.0.iter().fold(None, |found, (held, identity)| if same(held) { Some(identity) } else { found }).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_kubernetes_form() {
        let tokens = StaticTokens::parse("# writers\nt1,alice,1,\"a,b\"\n\nt2,bob,2\n").expect("valid");
        let found = tokens.find(&digest("t1")).expect("there");
        assert_eq!((&*found.user, &*found.groups), ("alice", &["a".to_owned(), "b".to_owned()][..]));
        assert!(tokens.find(&digest("t3")).is_none());
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
