//! Traces, as a collector receives them over HTTP.

use crate::support::{Service, Writer, date_ago, eventually, gateway_audit};
use actix_web::{App, HttpResponse, HttpServer, rt, web};
use futures_util::future::join_all;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;
use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Take,
    Refuse,
    Hang,
}

#[derive(Clone)]
struct Received {
    mode: Arc<Mutex<Mode>>,
    spans: Arc<Mutex<Vec<Span>>>,
    names: Arc<Mutex<HashSet<String>>>,
}

/// A collector.
struct Collector {
    received: Received,
    address: SocketAddr,
    _stop: std::sync::mpsc::Sender<()>,
}

impl Collector {
    fn start(mode: Mode) -> Self {
        let received = Received { mode: Arc::new(Mutex::new(mode)), spans: Arc::default(), names: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let shared = received.clone();
        std::thread::spawn(move || {
            rt::System::new().block_on(async move {
                let server = HttpServer::new(move || {
                    App::new().app_data(web::Data::new(shared.clone())).route("/v1/traces", web::post().to(take))
                });
                let server = server.workers(1).disable_signals().listen(listener).expect("it listens").run();
                let handle = server.handle();
                std::thread::spawn(move || {
                    // Returns when the test drops the collector.
                    let _ = stopped.recv();
                    rt::System::new().block_on(handle.stop(false));
                });
                server.await
            })
        });
        Collector { received, address, _stop: stop }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn spans(&self) -> Vec<Span> {
        self.received.spans.lock().expect("no panic").clone()
    }
}

async fn take(received: web::Data<Received>, body: web::Bytes) -> HttpResponse {
    let mode = *received.mode.lock().expect("no panic");
    match mode {
        Mode::Take => {}
        Mode::Refuse => return HttpResponse::ServiceUnavailable().finish(),
        Mode::Hang => std::future::pending().await,
    }
    let request = ExportTraceServiceRequest::decode(body).expect("OTLP");
    for resource in request.resource_spans {
        for attribute in resource.resource.expect("a resource").attributes {
            if attribute.key == "service.name" {
                received.names.lock().expect("no panic").insert(format!("{:?}", attribute.value));
            }
        }
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        received.spans.lock().expect("no panic").extend(spans);
    }
    HttpResponse::Ok().finish()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn traceparent(n: u32, flags: &str) -> String {
    format!("00-{:032x}-{:016x}-{flags}", 0x1000_0000 + u128::from(n), 0x2000_0000 + u64::from(n))
}

/// Posts audit `n` as a part of a trace.
async fn post(service: &Service, n: u32, flags: &str) -> u16 {
    let token = format!("Bearer {}", Writer::Gateway.token());
    let parent = traceparent(n, flags);
    let headers = [("authorization", &*token), ("content-type", "application/json"), ("traceparent", &*parent)];
    let body = gateway_audit(&format!("rr-{n}")).to_string();
    let answer = service.send(Method::POST, "/api/v1/audit/remediation", &headers, Some(body.as_bytes())).await;
    answer.status.as_u16()
}

fn requests(spans: &[Span]) -> Vec<&Span> {
    spans.iter().filter(|span| span.name == "POST /api/v1/audit/remediation").collect()
}

#[tokio::test]
async fn a_read_has_its_callers_trace_and_its_statements_are_parts_of_it() {
    let collector = Collector::start(Mode::Take);
    let url = collector.url();
    let (service, _database) = Service::start_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &*url)]).await;
    let get = async |path: &str, parent: &str| {
        service.send(Method::GET, path, &[("traceparent", parent)], None).await.status.as_u16()
    };
    assert_eq!(get("/api/v1/incidents?limit=5", &traceparent(7, "01")).await, 200);
    let parent = traceparent(8, "01");
    let answer = service.send(Method::GET, "/api/v1/incidents/12345", &[("traceparent", &*parent)], None).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["trace_id"].as_str()),
        (404, Some(&*format!("{:032x}", 0x1000_0008)))
    );
    assert_eq!(get("/api/v1/incidents", &traceparent(9, "00")).await, 200);
    let named = |name: &str| collector.spans().into_iter().find(|span| span.name == name);
    let list = eventually("the span of the list", async || named("GET /api/v1/incidents")).await;
    assert_eq!(hex(&list.trace_id), format!("{:032x}", 0x1000_0007));
    assert_eq!(hex(&list.parent_span_id), format!("{:016x}", 0x2000_0007));
    assert!(list.end_time_unix_nano > list.start_time_unix_nano && list.kind == 2);
    let statement = eventually("the span of a statement", async || named("query.list_incidents")).await;
    assert_eq!((&statement.trace_id, &statement.parent_span_id), (&list.trace_id, &list.span_id));
    assert!(statement.kind == 3 && statement.start_time_unix_nano >= list.start_time_unix_nano);
    let status = |span: &Span| format!("{:?}", span.attributes.iter().find(|a| a.key == "http.response.status_code"));
    assert!(status(&list).contains("200"), "{}", status(&list));
    let missing = eventually("the span of the 404", async || named("GET /api/v1/incidents/{id}")).await;
    assert!(status(&missing).contains("404") && missing.status.is_none_or(|status| status.code == 0));
    let traces: HashSet<String> = collector.spans().iter().map(|span| hex(&span.trace_id)).collect();
    assert!(!traces.contains(&format!("{:032x}", 0x1000_0009)), "its caller does not trace it");
    assert!(collector.received.names.lock().expect("no panic").iter().any(|name| name.contains("data-storage")));
}

/// The trace stands in what is read back, and is no part of the content: a repeat in another trace is a replay.
#[tokio::test]
async fn an_audit_knows_its_trace() {
    let (service, _database) = Service::start().await;
    assert_eq!(post(&service, 1, "00").await, 201);
    let incident = service.incident_of("rr-1").await;
    let of = |n: u32| format!("{:032x}", 0x1000_0000 + u128::from(n));
    let audit = service.read(&format!("/api/v1/incidents/{}", incident["id"])).await["audits"][0].clone();
    assert_eq!(audit["traceID"], of(1));
    let id = audit["auditID"].as_str().expect("an id");
    assert_eq!(service.read(&format!("/api/v1/audits/{id}")).await["traceID"], of(1));
    let plain = service.post(Writer::Gateway, &gateway_audit("rr-2")).await.audit_id();
    assert_eq!(service.read(&format!("/api/v1/audits/{plain}")).await.get("traceID"), None);
    let time = format!("{}T00:00:00Z", date_ago(3));
    let step = json!({"workflowID": "w", "stepName": "s", "stepStatus": "completed", "executedAt": time}).to_string();
    for (n, is_replay) in [(3, false), (4, true)] {
        let parent = traceparent(n, "01");
        let headers = [("traceparent", &*parent)];
        let answer = service.post_raw(Writer::Workflow, "/api/v1/audit/workflow", &step, &headers).await;
        assert_eq!(answer.is_replay(), is_replay, "{}", answer.text);
    }
    let steps = service.read("/api/v1/workflows/w/steps").await;
    assert_eq!(steps["data"][0]["traceID"], of(3), "{steps}");
}

/// A flush carries many requests: it is linked with each of them, and each with it.
#[tokio::test]
async fn flushes_and_requests_are_linked_both_ways() {
    let collector = Collector::start(Mode::Take);
    let url = collector.url();
    let (service, _database) = Service::start_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &*url)]).await;
    let statuses = join_all((0..300).map(|n| post(&service, n, "01"))).await;
    assert!(statuses.iter().all(|status| *status == 201));
    eventually("all spans", async || (requests(&collector.spans()).len() == 300).then_some(())).await;
    let find = async || {
        let spans = collector.spans();
        let flushes: Vec<Span> = spans.iter().filter(|span| span.name == "flush").cloned().collect();
        let linked: HashSet<&[u8]> = flushes.iter().flat_map(|flush| &flush.links).map(|link| &*link.span_id).collect();
        (linked.len() == 300).then_some((spans, flushes))
    };
    let (spans, flushes) = eventually("all flushes", find).await;
    assert!(flushes.iter().any(|flush| flush.links.len() > 1), "some are flushed together");
    for request in requests(&spans) {
        // The last one, where a flush was tried again.
        let link = request.links.last().expect("a link");
        let flush = flushes.iter().find(|flush| flush.span_id == link.span_id).expect("its flush");
        assert_eq!(flush.trace_id, link.trace_id);
        assert!(flush.links.iter().any(|link| link.span_id == request.span_id && link.trace_id == request.trace_id));
        assert!(spans.iter().any(|span| span.name == "pg_writer.flush" && span.parent_span_id == flush.span_id));
    }
}

#[tokio::test]
async fn whose_decision_counts() {
    let collector = Collector::start(Mode::Take);
    let url = collector.url();
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", &*url);
    // No trust: the service decides by itself, here for all.
    let settings = [endpoint, ("TRACE_TRUST_PARENT", "false"), ("OTEL_TRACES_SAMPLER_ARG", "1")];
    let (service, _database) = Service::start_with(&settings).await;
    assert_eq!(post(&service, 1, "00").await, 201);
    let spans =
        eventually("a span", async || Some(collector.spans()).filter(|spans| !requests(spans).is_empty())).await;
    assert_eq!(
        hex(&requests(&spans)[0].trace_id),
        format!("{:032x}", 0x1000_0001),
        "a part of its caller's trace all the same"
    );
    // Nobody without a caller's decision.
    let settings = [endpoint, ("OTEL_TRACES_SAMPLER_ARG", "0")];
    let (other, _database) = Service::start_with(&settings).await;
    for n in 0..20 {
        other.post(Writer::Gateway, &gateway_audit(&format!("rr-{n}"))).await.audit_id();
    }
    assert_eq!(post(&other, 2, "01").await, 201);
    let of = |n: u32| format!("{:032x}", 0x1000_0000 + u128::from(n));
    eventually("the one that is traced", async || {
        requests(&collector.spans()).iter().any(|span| hex(&span.trace_id) == of(2)).then_some(())
    })
    .await;
    let traced = requests(&collector.spans()).len();
    let service_calls = 1 + 1;
    assert!(traced <= service_calls + 1, "{traced}: the posts of the second service have no span but one");
}

/// A collector that is away, refuses or hangs costs no request anything; what is lost is counted.
#[tokio::test]
async fn a_collector_that_fails_costs_nothing() {
    for mode in [Mode::Refuse, Mode::Hang] {
        let collector = Collector::start(mode);
        let url = collector.url();
        let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*url), ("OTEL_EXPORTER_OTLP_TIMEOUT", "500")];
        let (service, _database) = Service::start_with(&settings).await;
        for n in 0..20 {
            assert_eq!(post(&service, n, "01").await, 201);
        }
        eventually("they are counted", async || {
            (service.metrics().await["datastorage_trace_spans_total{result=\"dropped\"}"] >= 20.0).then_some(())
        })
        .await;
        // It comes back.
        *collector.received.mode.lock().expect("no panic") = Mode::Take;
        let mut n = 100;
        eventually("spans arrive", async || {
            n += 1;
            post(&service, n, "01").await;
            (!collector.spans().is_empty()).then_some(())
        })
        .await;
    }
}

/// What is left at the end is sent.
#[tokio::test]
async fn the_end_sends_the_rest() {
    let collector = Collector::start(Mode::Take);
    let url = collector.url();
    let (mut service, _database) = Service::start_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &*url)]).await;
    let statuses = join_all((0..40).map(|n| post(&service, n, "01"))).await;
    assert!(statuses.iter().all(|status| *status == 201));
    service.signal(Signal::TERM);
    assert!(service.exited().await.success());
    assert_eq!(requests(&collector.spans()).len(), 40);
}
