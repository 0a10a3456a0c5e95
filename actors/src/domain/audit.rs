//! What both kinds of audit have in common: the writer, the time of receipt, the id, and how the service recognises a
//! repeat.

use super::audit_id::AuditId;
use super::bucket::Bucket;
use super::content::{ContentHash, digest};
use super::invalid::Invalid;
use super::time::{TimeWindow, to_micros};
use chrono::{DateTime, Utc};
use std::sync::Arc;

/// The circumstances under which a body was received.
#[derive(Debug, Clone)]
pub struct Receipt<'a> {
    /// The user name of the writer.
    pub writer: Arc<str>,
    /// The `Idempotency-Key`, if the request has one.
    pub key: Option<IdempotencyKey>,
    /// The trace that the request is a part of, if it is a part of one.
    pub trace_id: Option<Arc<str>>,
    /// The time of receipt, by the service's clock.
    pub now: DateTime<Utc>,
    pub window: &'a TimeWindow,
}

/// 1–255 printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    pub fn parse(value: &[u8]) -> Result<Self, Invalid> {
        let printable = value.iter().all(|b| (b' '..=b'~').contains(b));
        match std::str::from_utf8(value) {
            Ok(text) if printable && (1..=255).contains(&value.len()) => Ok(IdempotencyKey(text.to_owned())),
            _ => Err(Invalid::wrong("Idempotency-Key", "must be 1 to 255 printable ASCII characters")),
        }
    }
}

/// How the service recognises an audit that it has seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recognition {
    /// By the audit's id, which follows from writer, content and time.
    Id,
    /// By writer and content, for `REPLAY_WINDOW` only, because the body has no time.
    Window(ContentHash),
    /// By writer and `Idempotency-Key`; another content under the same key is an error.
    Key(ContentHash),
}

impl Recognition {
    /// The digest under which the table of keys has the audit; `None` if the id is enough.
    pub fn key(&self) -> Option<&ContentHash> {
        match self {
            Recognition::Id => None,
            Recognition::Window(key) | Recognition::Key(key) => Some(key),
        }
    }
}

/// What the service adds to a posted body.
#[derive(Debug, Clone)]
pub struct Envelope {
    pub id: AuditId,
    pub writer: Arc<str>,
    pub received_at: DateTime<Utc>,
    /// Of the request; no part of the content.
    pub trace_id: Option<Arc<str>>,
    pub content: ContentHash,
    pub recognition: Recognition,
    /// Set if a time of the audit lies outside the accepted window. Then the audit is accepted only as a replay.
    pub stale: Option<Invalid>,
}

impl Envelope {
    /// The audit's bucket follows from `bucket_name`. `time` is the audit's own time, if the body has one.
    pub fn new(receipt: &Receipt<'_>, content: ContentHash, bucket_name: &str, time: Option<DateTime<Utc>>) -> Self {
        let received_at = to_micros(receipt.now);
        let (recognition, digest) = match (&receipt.key, time) {
            (Some(key), _) => {
                let key = digest("key", &receipt.writer, key.0.as_bytes());
                // There is one audit under one key. The id depends on the content too.
                (Recognition::Key(key), digest("keyed", &receipt.writer, &[key, content].concat()))
            }
            (None, Some(_)) => (Recognition::Id, digest("content", &receipt.writer, &content)),
            (None, None) => {
                let key = digest("window", &receipt.writer, &content);
                let at = received_at.timestamp_micros().to_be_bytes();
                (Recognition::Window(key), digest("untimed", &receipt.writer, &[&content[..], &at].concat()))
            }
        };
        Envelope {
            id: AuditId::new(time.unwrap_or(received_at), Bucket::of(bucket_name), &digest),
            writer: receipt.writer.clone(),
            received_at,
            trace_id: receipt.trace_id.clone(),
            content,
            recognition,
            stale: None,
        }
    }

    pub fn bucket(&self) -> Bucket {
        self.id.bucket()
    }
}
