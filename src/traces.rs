//! Traces: which requests are sampled, and the way of finished spans to a collector (OTLP over HTTP).

use crate::config::{Sampler, TraceConfig};
use async_trait::async_trait;
use bytes::Bytes;
use data_storage_actors::domain::traceparent::TraceParent;
use data_storage_actors::trace::{self, AttributeValue, OpenSpan, Span, SpanIds, SpanKind};
use opentelemetry::trace::{Link, SpanContext, SpanId, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _, SpanLinks};
use prometheus::IntCounterVec;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

/// Spans that may wait for the collector. Further ones are dropped, and counted.
const WAITING: usize = 8192;
/// Spans of one export, and how long the first of them waits for the others.
const BATCH: usize = 512;
const DELAY: Duration = Duration::from_secs(1);

/// The span of a request, if it is traced, and whose part it is.
pub fn begin(sampler: Sampler, parent: Option<TraceParent<'_>>) -> Option<(OpenSpan, Option<u64>)> {
    if !trace::is_on() {
        return None;
    }
    let remote = parent.and_then(|parent| {
        let trace_id = u128::from_str_radix(parent.trace_id, 16).ok()?;
        let span_id = u64::from_str_radix(parent.parent_id, 16).ok()?;
        Some((SpanIds { trace_id, span_id }, parent.is_sampled))
    });
    let is_sampled = |ids: SpanIds| {
        (ids.trace_id as u64 >> 1) as f64 <= sampler.ratio * (u64::MAX >> 1) as f64 && sampler.ratio > 0.0
    };
    match remote {
        Some((ids, true)) if sampler.trusts_parent => Some((OpenSpan::new(ids.child()), Some(ids.span_id))),
        Some(_) if sampler.trusts_parent => None,
        Some((ids, _)) => is_sampled(ids).then(|| (OpenSpan::new(ids.child()), Some(ids.span_id))),
        None => {
            let ids = SpanIds::root();
            is_sampled(ids).then(|| (OpenSpan::new(ids), None))
        }
    }
}

/// The thread that exports. When it is stopped what is left is sent.
pub struct Exporting {
    stop: oneshot::Sender<Instant>,
    done: oneshot::Receiver<()>,
}

impl Exporting {
    /// Starts to take spans, and sends them from a thread with a runtime of its own: the library's own thread has none, and an HTTP client without
    /// one sends nothing.
    ///
    /// # Errors
    /// What is wrong with the endpoint, or with the variables that the library reads.
    pub fn start(config: &TraceConfig, counts: IntCounterVec) -> Result<Self, String> {
        let client = Client(reqwest::Client::builder().build().map_err(|error| error.to_string())?);
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(config.endpoint.clone())
            .build()
            .map_err(|error| error.to_string())?;
        // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES are read here.
        let resource = Resource::builder();
        let resource = if config.is_named { resource } else { resource.with_service_name("data-storage") };
        exporter.set_resource(
            &resource.with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))).build(),
        );
        let (sender, spans) = mpsc::channel(WAITING);
        let (stop, stopped) = oneshot::channel();
        let (tell_done, done) = oneshot::channel();
        let dropped = counts.with_label_values(&["dropped"]);
        let worker = Worker { exporter, timeout: config.timeout, spans, counts };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        std::thread::Builder::new()
            .name("traces".to_owned())
            .spawn(move || {
                runtime.block_on(worker.run(stopped));
                // Nobody listens where the service does not wait for it.
                let _ = tell_done.send(());
            })
            .map_err(|error| error.to_string())?;
        trace::install(Box::new(move |span| {
            if sender.try_send(span).is_err() {
                dropped.inc();
            }
        }));
        Ok(Exporting { stop, done })
    }

    /// Sends what is left, as far as the time allows.
    pub async fn stop(self, until: Instant) {
        if self.stop.send(until).is_ok() {
            // Out of time: what is left is lost.
            let _ = timeout_at(until, self.done).await;
        }
    }
}

struct Worker {
    exporter: SpanExporter,
    /// How long one export may take.
    timeout: Duration,
    spans: mpsc::Receiver<Span>,
    counts: IntCounterVec,
}

impl Worker {
    async fn run(mut self, mut stopped: oneshot::Receiver<Instant>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                until = &mut stopped => {
                    while let Ok(span) = self.spans.try_recv() {
                        batch.push(span);
                    }
                    let Ok(until) = until else { return };
                    for batch in batch.chunks(BATCH) {
                        // What does not get there in time is lost.
                        let _ = timeout_at(until, self.export(batch.to_vec())).await;
                    }
                    return;
                }
                taken = self.spans.recv() => {
                    let Some(span) = taken else { return };
                    batch.push(span);
                }
            }
            let more = async {
                while batch.len() < BATCH {
                    let Some(span) = self.spans.recv().await else { return };
                    batch.push(span);
                }
            };
            // The delay is over, or the batch is full.
            let _ = timeout(DELAY, more).await;
            self.export(std::mem::take(&mut batch)).await;
        }
    }

    async fn export(&self, batch: Vec<Span>) {
        let count = batch.len() as u64; // at most BATCH
        let sent = timeout(self.timeout, self.exporter.export(batch.into_iter().map(data).collect())).await;
        let fault = match sent {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        let result = if fault.is_none() { "exported" } else { "dropped" };
        if let Some(fault) = fault {
            tracing::warn!(fault, spans = count, "spans could not be sent");
        }
        self.counts.with_label_values(&[result]).inc_by(count);
    }
}

/// A span in the library's words.
fn data(span: Span) -> SpanData {
    let context = |ids: SpanIds, is_remote| {
        let (trace_id, span_id) = (TraceId::from(ids.trace_id), SpanId::from(ids.span_id));
        SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, is_remote, TraceState::default())
    };
    let mut links = SpanLinks::default();
    links.links = span.links.iter().map(|ids| Link::new(context(*ids, false), Vec::new(), 0)).collect();
    let (parent, is_remote) = span.parent.unwrap_or((0, false));
    let attributes = span.attributes.into_iter().map(|(name, value)| match value {
        AttributeValue::Text(text) => KeyValue::new(name, text),
        AttributeValue::Number(number) => KeyValue::new(name, number),
    });
    SpanData {
        span_context: context(span.ids, false),
        parent_span_id: SpanId::from(parent),
        parent_span_is_remote: is_remote,
        span_kind: match span.kind {
            SpanKind::Server => opentelemetry::trace::SpanKind::Server,
            SpanKind::Client => opentelemetry::trace::SpanKind::Client,
            SpanKind::Internal => opentelemetry::trace::SpanKind::Internal,
        },
        name: span.name.into(),
        start_time: span.ended.checked_sub(span.took).unwrap_or(span.ended),
        end_time: span.ended,
        attributes: attributes.collect(),
        dropped_attributes_count: 0,
        events: Default::default(),
        links,
        status: match span.error {
            Some(words) => Status::error(words),
            None => Status::Unset,
        },
        instrumentation_scope: InstrumentationScope::builder("data-storage")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    }
}

/// The HTTP client that the embedder uses too.
#[derive(Debug)]
struct Client(reqwest::Client);

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.0.execute(request.try_into()?).await?;
        let mut response = Response::builder().status(answer.status().as_u16());
        for (name, value) in answer.headers() {
            response = response.header(name, value);
        }
        Ok(response.body(answer.bytes().await?)?)
    }
}
