//! An API server that answers TokenReview and SubjectAccessReview over HTTPS as kube-apiserver does, and that can misbehave.

use super::Writer;
use super::certificates::{Authority, Signed};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt, web};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The token that this service shows to the API server.
const OWN_TOKEN: &str = "own-token";
/// The audience of the API server itself.
pub const DEFAULT_AUDIENCE: &str = "https://kubernetes.default.svc";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Answer,
    Delay(Duration),
    /// Answers with this status.
    Fail(u16),
    /// This service has lost its rights: reviews are 403, and the server says so where it is asked about rights.
    Forbid,
    Hang,
}

#[derive(Clone)]
pub struct State {
    mode: Arc<Mutex<Mode>>,
    /// For how many seconds behind its end a token is still accepted.
    leeway: Arc<Mutex<i64>>,
    pub token_reviews: Arc<AtomicUsize>,
    pub access_reviews: Arc<AtomicUsize>,
}

pub struct ApiServer {
    pub state: State,
    pub kubeconfig: PathBuf,
    authority: Authority,
    _stop: std::sync::mpsc::Sender<()>,
}

impl ApiServer {
    pub fn start() -> Self {
        let authority = Authority::new("cluster");
        let signed = authority.sign("127.0.0.1");
        Self::start_with(authority, &signed, None)
    }

    /// A server with this certificate, and a kubeconfig that trusts `trusted`, or the authority.
    pub fn start_with(authority: Authority, signed: &Signed, trusted: Option<&Authority>) -> Self {
        let state = State {
            mode: Arc::new(Mutex::new(Mode::Answer)),
            leeway: Arc::default(),
            token_reviews: Arc::default(),
            access_reviews: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let (shared, tls) = (state.clone(), signed.server_config());
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            rt::System::new().block_on(async move {
                let server = HttpServer::new(move || {
                    App::new()
                        .app_data(web::Data::new(shared.clone()))
                        .route("/apis/authentication.k8s.io/v1/tokenreviews", web::post().to(token_review))
                        .route("/apis/authorization.k8s.io/v1/subjectaccessreviews", web::post().to(access_review))
                        .route("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", web::post().to(own_rights))
                })
                .workers(1)
                .disable_signals()
                .listen_rustls_0_23(listener, tls)
                .expect("it listens")
                .run();
                let handle = server.handle();
                std::thread::spawn(move || {
                    // Returns when the test drops the server.
                    let _ = stopped.recv();
                    rt::System::new().block_on(handle.stop(false));
                });
                server.await
            })
        });
        let kubeconfig = authority.folder().join("kubeconfig");
        let ca = trusted.unwrap_or(&authority).pem();
        std::fs::write(&kubeconfig, kubeconfig_text(address, ca)).expect("written");
        ApiServer { state, kubeconfig, authority, _stop: stop }
    }

    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A kubeconfig that names the file of this server's authority.
    pub fn kubeconfig_with_file(&self, authority: &std::path::Path) -> PathBuf {
        let text = std::fs::read_to_string(&self.kubeconfig).expect("written");
        let mut config: Value = serde_json::from_str(&text).expect("JSON");
        let cluster = &mut config["clusters"][0]["cluster"];
        cluster.as_object_mut().expect("a cluster").remove("certificate-authority-data");
        cluster["certificate-authority"] = authority.to_str().expect("a path").into();
        let path = self.authority.folder().join("kubeconfig-with-file");
        std::fs::write(&path, config.to_string()).expect("written");
        path
    }

    pub fn set(&self, mode: Mode) {
        *self.state.mode.lock().expect("no panic") = mode;
    }

    pub fn set_leeway(&self, seconds: i64) {
        *self.state.leeway.lock().expect("no panic") = seconds;
    }

    pub fn token_reviews(&self) -> usize {
        self.state.token_reviews.load(Ordering::SeqCst)
    }

    pub fn access_reviews(&self) -> usize {
        self.state.access_reviews.load(Ordering::SeqCst)
    }
}

fn kubeconfig_text(address: SocketAddr, ca: &str) -> String {
    let ca = base64::engine::general_purpose::STANDARD.encode(ca);
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": format!("https://{address}"), "certificate-authority-data": ca}}],
        "users": [{"name": "test", "user": {"token": OWN_TOKEN}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "audit-rights"}}],
    })
    .to_string()
}

/// A token of an account, as kube-apiserver makes them: it ends at `exp` and is for one audience.
pub fn token(account: &str, exp: i64, audience: &str) -> String {
    signed_token(account, exp, audience, "signed")
}

/// The same with another signature, which the server does not accept.
pub fn forged_token(account: &str, exp: i64, audience: &str) -> String {
    signed_token(account, exp, audience, "forged")
}

fn signed_token(account: &str, exp: i64, audience: &str, signature: &str) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims =
        json!({"sub": format!("system:serviceaccount:kubernaut-system:{account}"), "exp": exp, "aud": [audience]});
    format!("{}.{}.{}", part(json!({"alg": "RS256"})), part(claims), URL_SAFE_NO_PAD.encode(signature))
}

/// A token of this writer that is valid for an hour.
pub fn good_token(writer: Writer) -> String {
    token(writer.account(), chrono::Utc::now().timestamp() + 3600, DEFAULT_AUDIENCE)
}

/// The answer of a server that misbehaves as it is set to; `None` if it should answer normally.
async fn misbehave(state: &State, request: &HttpRequest) -> Option<HttpResponse> {
    let status = |code: u16| {
        let code_value = actix_web::http::StatusCode::from_u16(code).expect("a status");
        HttpResponse::build(code_value).json(json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
            "message": "as the test wants it", "reason": "Unknown", "code": code}))
    };
    let mode = *state.mode.lock().expect("no panic");
    match mode {
        Mode::Answer => {}
        Mode::Delay(time) => rt::time::sleep(time).await,
        Mode::Fail(code) => return Some(status(code)),
        Mode::Forbid => return Some(status(403)),
        Mode::Hang => std::future::pending().await,
    }
    let own = format!("Bearer {OWN_TOKEN}");
    let shown = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    (shown != Some(&own)).then(|| status(401))
}

async fn token_review(state: web::Data<State>, request: HttpRequest, body: web::Json<Value>) -> HttpResponse {
    state.token_reviews.fetch_add(1, Ordering::SeqCst);
    if let Some(answer) = misbehave(&state, &request).await {
        return answer;
    }
    let mut review = body.into_inner();
    let leeway = *state.leeway.lock().expect("no panic");
    let wanted: Vec<String> = match review["spec"]["audiences"].as_array() {
        Some(audiences) => audiences.iter().filter_map(|audience| audience.as_str().map(str::to_owned)).collect(),
        None => vec![DEFAULT_AUDIENCE.to_owned()],
    };
    let refused = |why: &str| json!({"user": {}, "error": format!("[invalid bearer token, {why}]")});
    let claims = review["spec"]["token"].as_str().and_then(|token| {
        let mut parts = token.split('.');
        let (_, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        (signature == URL_SAFE_NO_PAD.encode("signed")).then_some(claims)
    });
    review["status"] = match claims {
        None => refused("it has no signature"),
        Some(claims) if claims["exp"].as_i64() <= Some(chrono::Utc::now().timestamp() - leeway) => {
            refused("token has expired")
        }
        Some(claims) => {
            let audiences: Vec<&Value> = claims["aud"].as_array().expect("audiences").iter().collect();
            let common: Vec<&String> = wanted.iter().filter(|name| audiences.iter().any(|a| *a == *name)).collect();
            if common.is_empty() {
                refused("token audiences are invalid for the target audiences")
            } else {
                json!({"authenticated": true, "audiences": common, "user": {"username": claims["sub"], "uid": "7",
                    "groups": ["system:serviceaccounts", "system:authenticated"]}})
            }
        }
    };
    HttpResponse::Created().json(review)
}

/// Whether this service has a right.
async fn own_rights(state: web::Data<State>, request: HttpRequest, body: web::Json<Value>) -> HttpResponse {
    let is_forbidden = *state.mode.lock().expect("no panic") == Mode::Forbid;
    if !is_forbidden && let Some(answer) = misbehave(&state, &request).await {
        return answer;
    }
    let mut review = body.into_inner();
    let asked = &review["spec"]["resourceAttributes"];
    let known = [("authentication.k8s.io", "tokenreviews"), ("authorization.k8s.io", "subjectaccessreviews")];
    let is_known = known.iter().any(|(group, resource)| asked["group"] == *group && asked["resource"] == *resource);
    review["status"] = json!({"allowed": !is_forbidden && is_known && asked["verb"] == "create"});
    HttpResponse::Created().json(review)
}

/// The roles of deploy/: three identities may write remediations, one may write workflows, and the stranger may read.
async fn access_review(state: web::Data<State>, request: HttpRequest, body: web::Json<Value>) -> HttpResponse {
    state.access_reviews.fetch_add(1, Ordering::SeqCst);
    if let Some(answer) = misbehave(&state, &request).await {
        return answer;
    }
    let mut review = body.into_inner();
    let spec = &review["spec"];
    let (user, what) = (spec["user"].as_str().unwrap_or_default(), &spec["resourceAttributes"]);
    let writer = Writer::ALL.into_iter().find(|writer| user.ends_with(&format!(":{}", writer.account())));
    let in_place = what["group"] == "audit.kubernaut.ai" && what["namespace"] == "audit-rights";
    let right = match (what["verb"].as_str(), what["resource"].as_str()) {
        (Some("create"), Some("remediations")) => {
            matches!(writer, Some(Writer::Gateway | Writer::AiAnalysis | Writer::Executor))
        }
        (Some("create"), Some("workflows")) => writer == Some(Writer::Workflow),
        (Some("get"), Some("remediations")) => writer == Some(Writer::Stranger),
        _ => false,
    };
    review["status"] = json!({"allowed": in_place && right});
    HttpResponse::Created().json(review)
}
