//! Everything that reads text of a client or an operator, each as a function of bytes: for the fuzzer (`fuzz/`), and
//! for a test that runs the seeds. No reader may panic. Reading a body twice must give the same audit id, and a cursor
//! that is written out must be read back as the same cursor.

use crate::auth::{StaticTokens, Token};
use crate::db::DatabaseConfig;
use crate::domain::audit::{IdempotencyKey, Receipt};
use crate::domain::cursor::{Cursor, Order};
use crate::domain::filter::{IncidentFilter, filters};
use crate::domain::parameters::Parameters;
use crate::domain::remediation::RemediationAudit;
use crate::domain::search::Search;
use crate::domain::time::TimeWindow;
use crate::domain::traceparent::TraceParent;
use crate::domain::workflow::WorkflowAudit;
use crate::embedder::Builtin;
use chrono::{DateTime, TimeDelta};

const WINDOW: TimeWindow =
    TimeWindow { max_age: TimeDelta::days(400), max_ahead: TimeDelta::hours(1), retention_months: 3 };

fn receipt() -> Receipt<'static> {
    let now = DateTime::from_timestamp(1_764_000_000, 0).unwrap_or_default();
    Receipt { writer: "w".into(), key: None, trace_id: None, now, window: &WINDOW }
}

pub fn remediation_audit(body: &[u8]) {
    let (first, again) = (RemediationAudit::parse(body, &receipt()), RemediationAudit::parse(body, &receipt()));
    if let (Ok(first), Ok(again)) = (first, again) {
        assert_eq!(first.envelope.id, again.envelope.id);
        Builtin::default().embed(&crate::domain::audit_text::AuditText::of(&first));
    }
}

pub fn workflow_audit(body: &[u8]) {
    if let (Ok(first), Ok(again)) = (WorkflowAudit::parse(body, &receipt()), WorkflowAudit::parse(body, &receipt())) {
        assert_eq!(first.envelope.id, again.envelope.id);
    }
}

pub fn search(body: &[u8]) {
    let _ = Search::parse(body, receipt().now);
}

pub fn cursor(text: &[u8]) {
    let (text, filter) = (String::from_utf8_lossy(text), IncidentFilter::default());
    for order in [Order::Newest, Order::Oldest] {
        if let Ok(cursor) = Cursor::decode(&text, &filter, order) {
            assert_eq!(Cursor::decode(&cursor.encode(&filter, order), &filter, order), Ok(cursor));
        }
    }
}

pub fn filter(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    for name in filters() {
        let _ = IncidentFilter::default().set(name, &text, receipt().now);
    }
}

pub fn idempotency_key(value: &[u8]) {
    let _ = IdempotencyKey::parse(value);
}

pub fn traceparent(header: &[u8]) {
    if let Some(TraceParent { trace_id, parent_id, .. }) = TraceParent::parse(header) {
        assert_eq!((trace_id.len(), parent_id.len()), (32, 16));
    }
}

pub fn query_string(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let names: Vec<&'static str> = filters().iter().copied().chain(["limit", "total"]).collect();
    let parameters = Parameters::parse(&text, &names);
    let filter = IncidentFilter::from_query(&parameters, receipt().now);
    let _ = (filter, parameters.number("limit", 1, 1000, 10), parameters.boolean("total", true), parameters.end());
}

pub fn token(text: &[u8]) {
    if let Some(token) = Token::parse(&String::from_utf8_lossy(text)) {
        token.expires();
    }
}

pub fn token_file(text: &[u8]) {
    if let Err(error) = StaticTokens::parse(&String::from_utf8_lossy(text)) {
        assert!(error.to_string().len() < 200);
    }
}

pub fn database_url(text: &[u8]) {
    let _ = DatabaseConfig::parse(&String::from_utf8_lossy(text));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    type Target = fn(&[u8]);

    #[test]
    fn the_seeds_pass() {
        let targets: [(&str, Target); 11] = [
            ("remediation_audit", remediation_audit),
            ("workflow_audit", workflow_audit),
            ("search", search),
            ("cursor", cursor),
            ("filter", filter),
            ("idempotency_key", idempotency_key),
            ("traceparent", traceparent),
            ("query_string", query_string),
            ("token", token),
            ("token_file", token_file),
            ("database_url", database_url),
        ];
        for (name, target) in targets {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(name);
            let mut count = 0;
            for entry in std::fs::read_dir(&folder).expect(name).flatten() {
                let seed = std::fs::read(entry.path()).expect("a seed");
                // The seed itself, cut anywhere, and with any byte changed.
                target(&seed);
                for at in 0..seed.len() {
                    target(&seed[..at]);
                    let mut changed = seed.clone();
                    for byte in [0, b'"', b'{', 0xff, changed[at] ^ 1] {
                        changed[at] = byte;
                        target(&changed);
                    }
                }
                count += 1;
            }
            assert!(count > 0, "{name} has no seed");
        }
    }
}
