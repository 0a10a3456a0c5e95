//! Spans of sampled requests: made afterwards, from the times that are measured anyway. Where nobody takes spans, or a request is not sampled,
//! nothing is made.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

/// The ids of a span: of its trace, and its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanIds {
    pub trace_id: u128,
    pub span_id: u64,
}

impl SpanIds {
    /// The first span of a trace.
    pub fn root() -> Self {
        SpanIds { trace_id: uuid::Uuid::new_v4().as_u128(), span_id: new_span_id() }
    }

    /// Another span of the same trace.
    pub fn child(self) -> Self {
        SpanIds { trace_id: self.trace_id, span_id: new_span_id() }
    }
}

fn new_span_id() -> u64 {
    // A version 4 UUID has random bits in its lower half but for two. An id of 0 means none.
    (uuid::Uuid::new_v4().as_u128() as u64).max(1)
}

/// The sampled span that is under way, and the links that it is to have.
#[derive(Clone)]
pub struct OpenSpan {
    pub ids: SpanIds,
    links: Arc<Mutex<Vec<SpanIds>>>,
}

impl OpenSpan {
    pub fn new(ids: SpanIds) -> Self {
        OpenSpan { ids, links: Arc::default() }
    }

    /// Links the span to one of another trace.
    pub fn link(&self, other: SpanIds) {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).push(other);
    }

    pub fn links(&self) -> Vec<SpanIds> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a span stands for, in OpenTelemetry's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    Server,
    Client,
    Internal,
}

/// The value of a span's attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeValue {
    Text(String),
    Number(i64),
}

impl From<&str> for AttributeValue {
    fn from(text: &str) -> Self {
        AttributeValue::Text(text.to_owned())
    }
}

impl From<i64> for AttributeValue {
    fn from(number: i64) -> Self {
        AttributeValue::Number(number)
    }
}

/// A span that is over.
#[derive(Debug, Clone)]
pub struct Span {
    pub ids: SpanIds,
    /// The span that it is a part of, and whether that one is another process's.
    pub parent: Option<(u64, bool)>,
    pub kind: SpanKind,
    pub name: String,
    pub ended: SystemTime,
    pub took: Duration,
    pub attributes: Vec<(&'static str, AttributeValue)>,
    pub links: Vec<SpanIds>,
    /// What went wrong, in a word.
    pub error: Option<String>,
}

/// Takes spans. It must not wait.
pub type SpanSink = Box<dyn Fn(Span) + Send + Sync>;

static SINK: OnceLock<SpanSink> = OnceLock::new();

/// Has spans made, from now on, and hands them to `sink`. Later calls change nothing.
pub fn install(sink: SpanSink) {
    // The first one stays.
    let _ = SINK.set(sink);
}

/// Whether anybody takes spans.
pub fn is_on() -> bool {
    SINK.get().is_some()
}

/// The time at which a span ends, as a collector understands it.
#[allow(clippy::disallowed_methods)] // spans are of the moment: no decision depends on it
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// Hands a span on.
pub fn record(span: Span) {
    if let Some(sink) = SINK.get() {
        sink(span);
    }
}
