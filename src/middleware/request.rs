//! Wraps the handling of every request: gives the request its id, bounds its head, gives every error and every panic
//! the one shape of errors, and logs one line.

use super::answer::finished;
use super::reads::count_read;
use crate::connection::{self, SHORT, Socket};
use crate::problem::{Problem, ProblemKind, rate_limit};
use crate::state::AppState;
use crate::traces::begin;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::ErrorInternalServerError;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode, Uri};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpResponse, web};
use bytes::Bytes;
use data_storage_actors::auth::Allowance;
use data_storage_actors::domain::traceparent::TraceParent;
use data_storage_actors::trace::{self, AttributeValue, OpenSpan, Span, SpanKind};
use data_storage_actors::waiting::within;
use futures_util::FutureExt;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request, in the header of the answer, in the log line and in `correlation_id`; and the id of its trace, if it is a part of one.
#[derive(Debug, Clone)]
pub struct RequestId(pub Rc<str>, pub Option<Rc<str>>);

/// The user who made the request, for the log line. The check of the token sets it.
#[derive(Debug, Clone)]
pub struct Caller(pub std::sync::Arc<str>);

/// What an agent called, for the log line.
#[derive(Debug, Clone, Default)]
pub struct McpCall {
    pub tool: Option<&'static str>,
    /// Where the message itself says what it is a part of.
    pub traceparent: Option<String>,
}

/// The largest head, in bytes.
const MAX_HEAD: usize = 32 * 1024;

pub async fn request(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let state = request.app_data::<web::Data<AppState>>().cloned();
    let state = state.ok_or_else(|| ErrorInternalServerError("every application has a state"))?;
    let draining = state.draining.load(Ordering::SeqCst);
    let turned_away = draining && !request.path().starts_with("/health");
    let in_flight = (!turned_away).then(|| InFlight::enter(&state));
    let (method, path) = (request.method().clone(), request.path().to_owned());
    let trace = request.headers().get("traceparent").cloned();
    let trace = trace.as_ref().and_then(|header| TraceParent::parse(header.as_bytes()));
    let peer = request.peer_addr().map(|peer| peer.ip().to_string()).unwrap_or_default();
    let sampled = state.sampler.and_then(|sampler| begin(sampler, trace));
    let span = sampled.as_ref().map(|(span, _)| span.clone());
    let trace_id = match (&trace, &span) {
        (Some(trace), _) => Some(trace.trace_id.into()),
        (None, span) => span.as_ref().map(|span| format!("{:032x}", span.ids.trace_id).into()),
    };
    let id = RequestId(request_id(&request), trace_id);
    request.extensions_mut().insert(id.clone());
    let headers = request.headers().clone();
    let asked = Asked { id: &id, method: method.as_str(), peer: &peer, trace, started };

    let (answer, route, caller, call) = if head_size(&request) > MAX_HEAD {
        let problem = Problem::new(ProblemKind::HeadersTooLarge, "The head of a request may have 32 KiB").closing();
        (request.into_response(problem.render(&path, &id.0, id.1.as_deref())).map_into_boxed_body(), None, None, None)
    } else if turned_away {
        let problem = Problem::new(ProblemKind::ServiceUnavailable, "The service is stopping").closing();
        (request.into_response(problem.render(&path, &id.0, id.1.as_deref())).map_into_boxed_body(), None, None, None)
    } else if state.cors.is_preflight(&method, &headers) {
        (request.into_response(HttpResponse::NoContent().finish()), None, None, None)
    } else {
        let socket = request.conn_data::<Socket>().cloned();
        let gone = async {
            match socket {
                Some(socket) => socket.closed_by_client().await,
                None => pending().await,
            }
        };
        let answer = within(started + state.request_deadline, span, gone, next.call(request));
        match AssertUnwindSafe(answer).catch_unwind().await {
            Ok(Ok(response)) => {
                let route = response.request().match_pattern();
                let caller = response.request().extensions().get::<Caller>().cloned();
                let call = response.request().extensions().get::<McpCall>().cloned();
                let allowance = response.request().extensions().get::<Allowance>().copied();
                let mut response = finish(response, &path, &id);
                if let Some(Allowance { per_second, remaining }) = allowance {
                    for (name, value) in rate_limit(per_second, remaining, 1) {
                        response.headers_mut().insert(name, value);
                    }
                }
                (response, route, caller, call)
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                let problem = Problem::new(ProblemKind::InternalError, "The service made a mistake; it is logged");
                asked.log(None, 500, None, None);
                let mut response = problem.render(&path, &id.0, id.1.as_deref());
                set_id(&mut response, &id);
                let error = actix_web::error::InternalError::from_response("panic", response);
                return Err(error.into());
            }
        }
    };
    let mut answer = finished(answer).await;
    state.cors.allow(&method, &headers, answer.headers_mut());
    let room = match answer_room(&state, &answer).await {
        Ok(room) => room,
        Err(problem) => {
            answer = answer.into_response(problem.render(&path, &id.0, id.1.as_deref()));
            None
        }
    };
    set_id(answer.response_mut(), &id);
    if state.leaving.load(Ordering::SeqCst) {
        answer.response_mut().head_mut().set_connection_type(actix_web::http::ConnectionType::Close);
    }
    let caller = caller.as_ref().map(|caller| &*caller.0);
    asked.log(route.as_deref(), answer.status().as_u16(), caller, call.as_ref());
    if let Some((span, parent)) = sampled {
        record(span, parent, &asked, route.as_deref(), answer.status());
    }
    if let Some(route) = &route {
        count_read(&state.metrics, route, answer.status(), started.elapsed());
    }
    let socket = answer.request().conn_data::<Socket>().cloned();
    Ok(answer.map_body(|_, body| {
        let body = match room {
            Some(room) => connection::taken_in_time(body, room, socket, &state.metrics.answers_in_flight_bytes),
            None => body,
        };
        Guarded { body, _in_flight: in_flight }.boxed()
    }))
}

/// A share of the memory that all long answers together may take.
async fn answer_room(
    state: &AppState,
    answer: &ServiceResponse<BoxBody>,
) -> Result<Option<OwnedSemaphorePermit>, Problem> {
    let length = match answer.response().body().size() {
        BodySize::Sized(length) if length > SHORT => length,
        _ => return Ok(None),
    };
    let kib = u32::try_from(length / 1024 + 1).unwrap_or(u32::MAX);
    match timeout(state.permit_wait, state.answer_room.clone().acquire_many_owned(kib)).await {
        Ok(Ok(room)) => Ok(Some(room)),
        _ => Err(Problem::new(ProblemKind::ServiceUnavailable, "the service is overloaded")),
    }
}

/// A body whose request counts as in flight until the last part of the body is on its way.
struct Guarded {
    body: BoxBody,
    _in_flight: Option<InFlight>,
}

impl MessageBody for Guarded {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}

/// The methods that may label a metric or stand in a log. A request with another method goes on as TRACE, which no
/// path allows.
const METHODS: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
    Method::CONNECT,
    Method::TRACE,
];

/// Runs before everything that looks at the method or the path. A client may send any word as its method, and each word would make
/// a metric series of its own. A slash at the end of a path says nothing.
pub async fn normal<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    if !METHODS.contains(request.method()) {
        request.head_mut().method = Method::TRACE;
    }
    if let Some(uri) = without_slash(request.uri()) {
        request.match_info_mut().get_mut().update(&uri);
        request.head_mut().uri = uri;
    }
    next.call(request).await
}

fn without_slash(uri: &Uri) -> Option<Uri> {
    let path = uri.path().strip_suffix('/').filter(|path| !path.is_empty())?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(match uri.query() {
        Some(query) => format!("{path}?{query}").parse().ok()?,
        None => path.parse().ok()?,
    });
    Uri::from_parts(parts).ok()
}

/// What answers of the port of the metrics pass through.
pub async fn plain(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    Ok(finished(next.call(request).await?.map_into_boxed_body()).await)
}

/// Gives errors their full body. Other answers pass unchanged.
fn finish<B: MessageBody + 'static>(
    response: ServiceResponse<B>,
    path: &str,
    id: &RequestId,
) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let problem = match response.response().error() {
        Some(error) => match error.as_error::<Problem>() {
            Some(problem) => problem.clone(),
            None => Problem::new(ProblemKind::of_status(status), "The request cannot be read"),
        },
        // Every error of a handler is a `Problem`, so this answer is none.
        None => return response.map_into_boxed_body(),
    };
    if problem.kind.status().is_server_error() {
        problem.log(&id.0);
    }
    let (request, _) = response.into_parts();
    ServiceResponse::new(request, problem.render(path, &id.0, id.1.as_deref()))
}

fn set_id<B>(response: &mut HttpResponse<B>, id: &RequestId) {
    // The id has only characters that a header may have.
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
}

/// What the log says about every request, whatever its outcome.
struct Asked<'a> {
    id: &'a RequestId,
    method: &'a str,
    peer: &'a str,
    trace: Option<TraceParent<'a>>,
    started: Instant,
}

impl Asked<'_> {
    fn log(&self, route: Option<&str>, status: u16, caller: Option<&str>, call: Option<&McpCall>) {
        let Asked { id, method, peer, trace, started } = self;
        let duration_ms = started.elapsed().as_secs_f64() * 1e3;
        let route = route.unwrap_or("unknown");
        let of_call = || TraceParent::parse(call?.traceparent.as_deref()?.as_bytes());
        let (trace_id, parent_id) = trace.or_else(of_call).map(|trace| (trace.trace_id, trace.parent_id)).unzip();
        let trace_id = trace_id.or(id.1.as_deref());
        tracing::info!(
            request_id = &*id.0,
            method,
            route,
            status,
            duration_ms,
            peer,
            caller,
            mcp_tool = call.and_then(|call| call.tool),
            trace_id,
            parent_id,
            "request"
        );
    }
}

/// Hands the span of a request on.
fn record(span: OpenSpan, parent: Option<u64>, asked: &Asked<'_>, route: Option<&str>, status: StatusCode) {
    let method = asked.method;
    let mut attributes: Vec<(&'static str, AttributeValue)> = vec![
        ("http.request.method", method.into()),
        ("http.response.status_code", i64::from(status.as_u16()).into()),
        ("client.address", asked.peer.into()),
        ("datastorage.request_id", (&*asked.id.0).into()),
    ];
    if let Some(route) = route {
        attributes.push(("http.route", route.into()));
    }
    let error = status.is_server_error().then(|| status.as_u16().to_string());
    if let Some(error) = &error {
        attributes.push(("error.type", error.as_str().into()));
    }
    trace::record(Span {
        ids: span.ids,
        parent: parent.map(|id| (id, true)),
        kind: SpanKind::Server,
        name: route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}")),
        ended: trace::now(),
        took: asked.started.elapsed(),
        attributes,
        links: span.links(),
        error,
    });
}

/// The client's id if it has 1–128 letters, digits, `.`, `_`, `-` and `:`, otherwise a new id.
fn request_id(request: &ServiceRequest) -> Rc<str> {
    let sane = |id: &&str| {
        (1..=128).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':'))
    };
    match request.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok()).filter(sane) {
        Some(id) => id.into(),
        None => format!("req-{}", Uuid::new_v4().simple()).into(),
    }
}

/// Bytes of the request line and the headers.
fn head_size(request: &ServiceRequest) -> usize {
    let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    request.method().as_str().len() + target + 12 + headers
}

/// Counts a request for as long as it is being answered.
struct InFlight(web::Data<AppState>);

impl InFlight {
    fn enter(state: &web::Data<AppState>) -> Self {
        state.in_flight.fetch_add(1, Ordering::SeqCst);
        InFlight(state.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let before = self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
        if before == 1 && self.0.draining.load(Ordering::SeqCst) {
            self.0.idle.notify_one();
        }
    }
}
