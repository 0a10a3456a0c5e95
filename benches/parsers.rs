//! What a request costs before and after PostgreSQL: parsing an audit, a cursor, times. `cargo bench --bench parsers`.

use chrono::TimeDelta;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use data_storage_actors::domain::audit::{IdempotencyKey, Receipt};
use data_storage_actors::domain::cursor::{Cursor, Order};
use data_storage_actors::domain::filter::IncidentFilter;
use data_storage_actors::domain::remediation::RemediationAudit;
use data_storage_actors::domain::time::{TimeWindow, format_rfc3339, parse_rfc3339};
use std::hint::black_box;
use std::sync::Arc;

const TYPICAL: &str = r#"{"remediationRequestID":"rr-2025-11-01-abc123","alertName":"HighMemoryUsage","namespace":"production",
"cluster":"us-west-2","priority":"P0","actionType":"scale","targetResource":"deployment/web","status":"completed","confidence":0.92,
"modelUsed":"gpt-4","reasoning":"The pods of the deployment run out of memory under load; one replica more takes the pressure off.",
"duration":4200000000,"createdAt":"2026-11-01T10:00:00.123456Z","executedAt":"2026-11-01T10:00:03Z",
"labels":{"team":"payments","tier":"1"},"attempt":2}"#;

fn parsers(bench: &mut Criterion) {
    let now = "2026-11-01T12:00:00Z".parse().expect("a time");
    let window = TimeWindow { max_age: TimeDelta::days(400), max_ahead: TimeDelta::hours(1), retention_months: 0 };
    let writer: Arc<str> = "system:serviceaccount:kubernaut-system:aianalysis-controller-sa".into();
    let receipt =
        || Receipt { writer: writer.clone(), key: None::<IdempotencyKey>, trace_id: None, now, window: &window };
    let parse = |body: &str| RemediationAudit::parse(body.as_bytes(), &receipt()).expect("a valid audit");
    let long = TYPICAL.replace("The pods", &"The pods \\\"of\\\" the naïve service ".repeat(1800));

    let mut group = bench.benchmark_group("parse_audit");
    for (name, body) in [("typical", TYPICAL), ("64_kib", &long)] {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |bench| bench.iter(|| parse(black_box(body))));
    }
    group.finish();

    let mut filter = IncidentFilter::default();
    filter.set("alert_name", "HighMemoryUsage", now).expect("a filter");
    let cursor = Cursor { action_timestamp: now, id: 4711 * 1024 + 7 };
    bench.bench_function("encode_cursor", |bench| bench.iter(|| black_box(&cursor).encode(&filter, Order::Newest)));
    let text = cursor.encode(&filter, Order::Newest);
    bench.bench_function("decode_cursor", |bench| {
        bench.iter(|| Cursor::decode(black_box(&text), &filter, Order::Newest))
    });
    let time = "2026-11-01T10:00:00.123456+02:00";
    bench.bench_function("parse_time", |bench| bench.iter(|| parse_rfc3339(black_box(time))));
    bench.bench_function("format_time", |bench| bench.iter(|| format_rfc3339(black_box(now))));
}

criterion_group!(benches, parsers);
criterion_main!(benches);
