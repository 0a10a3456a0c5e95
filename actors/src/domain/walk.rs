//! Where a walk through statistics, audits or workflows goes on. The list of incidents has a cursor of its own (`domain/cursor.rs`).

use super::invalid::Invalid;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

/// Where a walk goes on: behind this entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkCursor {
    /// What entries are ordered by first: a number, or a time in microseconds.
    pub rank: i64,
    /// What they are ordered by then.
    pub key: Vec<Option<String>>,
}

const VERSION: u8 = 1;
const HEAD: usize = 1 + 8 + 8;

impl WalkCursor {
    /// Behind an entry with this time and id.
    pub fn at(time: DateTime<Utc>, id: &str) -> Self {
        WalkCursor { rank: time.timestamp_micros(), key: vec![Some(id.to_owned())] }
    }

    /// The time and the id, where the entries have such.
    ///
    /// # Errors
    /// When the cursor has none.
    pub fn time_and_id(&self) -> Result<(DateTime<Utc>, &str), Invalid> {
        let time = DateTime::from_timestamp_micros(self.rank).filter(|time| {
            // PostgreSQL's own range is wider than the years that a time of ours can have.
            (-62_135_596_800..=253_402_300_799).contains(&time.timestamp())
        });
        match (time, &self.key[..]) {
            (Some(time), [Some(id)]) => Ok((time, id)),
            _ => Err(Invalid::wrong("cursor", "is not one that this service gave")),
        }
    }

    /// The opaque text for clients; it is good for the question with this fingerprint only.
    pub fn encode(&self, fingerprint: [u8; 8]) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(fingerprint);
        bytes.extend(self.rank.to_be_bytes());
        bytes.extend(serde_json::to_vec(&self.key).unwrap_or_default()); // text can be written
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// # Errors
    /// When it is none, or belongs to another question.
    pub fn decode(text: &str, fingerprint: [u8; 8]) -> Result<Self, Invalid> {
        let unknown = || Invalid::wrong("cursor", "is not one that this service gave");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| unknown())?;
        let (head, key) = bytes.split_at_checked(HEAD).ok_or_else(unknown)?;
        if head[0] != VERSION {
            return Err(unknown());
        }
        if head[1..9] != fingerprint {
            return Err(Invalid::wrong("cursor", "belongs to another question"));
        }
        let rank = i64::from_be_bytes(head[9..].try_into().map_err(|_| unknown())?);
        let key: Vec<Option<String>> = serde_json::from_slice(key).map_err(|_| unknown())?;
        // PostgreSQL's text has no NUL.
        let is_text = key.iter().flatten().all(|text| !text.contains('\0'));
        if is_text { Ok(WalkCursor { rank, key }) } else { Err(unknown()) }
    }
}

/// Eight bytes that tell one question from another: its filters' fingerprint, and what else belongs to it.
pub fn question(filter: [u8; 8], parts: &[&str]) -> [u8; 8] {
    let mut digest = Sha256::new_with_prefix(filter);
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes()); // usize fits into 64 bits
        digest.update(part);
    }
    let mut head = [0; 8];
    head.copy_from_slice(&digest.finalize()[..8]);
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_with_its_question() {
        let cursor = WalkCursor { rank: -7, key: vec![None, Some("ä\"".into())] };
        let asked = question([1; 8], &["a", "b"]);
        let text = cursor.encode(asked);
        assert_eq!(WalkCursor::decode(&text, asked), Ok(cursor));
        assert!(WalkCursor::decode(&text, question([1; 8], &["ab"])).is_err());
        let nul = WalkCursor { rank: 1, key: vec![Some("\0".into())] }.encode(asked);
        for garbage in ["", "x", "AAAA", &text[..20], &nul] {
            assert!(WalkCursor::decode(garbage, asked).is_err(), "{garbage}");
        }
    }
}
