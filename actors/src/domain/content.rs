//! The content of an audit, as one hash. Two audits of one writer with the same content are the same audit.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

/// SHA-256 of an audit's content, or of the key that takes its place.
pub type ContentHash = [u8; 32];

/// Hashes the fields of an audit after name mapping and after the removal of zero values and synonyms, but before any
/// default. Each part is hashed with its length, so that different contents never give the same bytes.
pub struct ContentHasher(Sha256);

impl ContentHasher {
    /// `path` tells the two kinds of audit apart.
    pub fn new(path: &str) -> Self {
        let mut hasher = ContentHasher(Sha256::new());
        hasher.part(path.as_bytes());
        hasher
    }

    fn part(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes()); // usize fits into 64 bits
        self.0.update(bytes);
    }

    pub fn text(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        if let Some(value) = value {
            self.part(name.as_bytes());
            self.part(value.as_bytes());
        }
        self
    }

    /// Hashes an instant. The zone in which the time was written does not count.
    pub fn time(&mut self, name: &str, value: Option<DateTime<Utc>>) -> &mut Self {
        if let Some(value) = value {
            self.part(name.as_bytes());
            self.part(&value.timestamp().to_be_bytes());
            self.part(&value.timestamp_subsec_nanos().to_be_bytes());
        }
        self
    }

    pub fn integer(&mut self, name: &str, value: Option<i64>) -> &mut Self {
        if let Some(value) = value {
            self.part(name.as_bytes());
            self.part(&value.to_be_bytes());
        }
        self
    }

    pub fn number(&mut self, name: &str, value: Option<f64>) -> &mut Self {
        if let Some(value) = value {
            self.part(name.as_bytes());
            self.part(&value.to_bits().to_be_bytes());
        }
        self
    }

    pub fn finish(self) -> ContentHash {
        self.0.finalize().into()
    }
}

/// SHA-256 of a kind, a writer and some bytes. Each is hashed with its length, so that they cannot run into each
/// other.
pub fn digest(kind: &str, writer: &str, what: &[u8]) -> ContentHash {
    let mut hasher = ContentHasher::new(kind);
    hasher.part(writer.as_bytes());
    hasher.part(what);
    hasher.finish()
}
