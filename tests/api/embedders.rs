//! An embedder behind an endpoint, and the change from one embedder to another.

use crate::support::{Service, Writer, data_storage, ended, eventually, gateway_audit, server, succeeds};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt, web};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An OpenAI-compatible endpoint. The numbers of its vectors are counts of letters, so that they clearly differ from
/// the vectors of the built-in embedder.
struct Endpoint {
    address: SocketAddr,
    /// How many numbers a vector has. With 0 the endpoint answers 500.
    dimensions: Arc<AtomicUsize>,
}

impl Endpoint {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let dimensions = Arc::new(AtomicUsize::new(768));
        let shared = dimensions.clone();
        std::thread::spawn(move || {
            rt::System::new().block_on(async move {
                let state = web::Data::from(shared);
                let app = move || {
                    App::new()
                        .app_data(state.clone())
                        .app_data(web::JsonConfig::default().limit(1 << 24))
                        .route("/v1/embeddings", web::post().to(embeddings))
                };
                HttpServer::new(app).workers(1).disable_signals().listen(listener).expect("it listens").run().await
            })
        });
        Endpoint { address, dimensions }
    }

    fn url(&self) -> String {
        format!("http://{}/v1/embeddings", self.address)
    }
}

/// A value of `dimensions` that stands for: vectors of 768 numbers, but the first of the two models is gone.
const RETIRED: usize = 1;
/// As above: the endpoint refuses every text.
const REFUSES: usize = 2;

async fn embeddings(dimensions: web::Data<AtomicUsize>, request: HttpRequest, body: web::Json<Value>) -> HttpResponse {
    let dimensions = dimensions.load(Ordering::SeqCst);
    let key = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let shift = match body["model"].as_str() {
        // The first model is gone.
        Some("letters") if dimensions == RETIRED => return HttpResponse::NotFound().finish(),
        Some("letters") => 0,
        Some("letters-2") => 26,
        _ => return HttpResponse::Unauthorized().finish(),
    };
    if key != Some("Bearer endpoint-key") || body["dimensions"] != 768 {
        return HttpResponse::Unauthorized().finish();
    }
    if dimensions == 0 {
        return HttpResponse::InternalServerError().finish();
    }
    if dimensions == REFUSES {
        return HttpResponse::BadRequest().finish();
    }
    let texts = body["input"].as_array().expect("texts");
    if texts.iter().any(|text| text.as_str().expect("text").contains("poison")) {
        return HttpResponse::BadRequest().finish();
    }
    let vector = |text: &str| {
        let mut numbers = vec![0.0; if dimensions == RETIRED { 768 } else { dimensions }];
        for byte in text.bytes().filter(u8::is_ascii_alphabetic) {
            numbers[shift + usize::from(byte.to_ascii_lowercase() - b'a')] += 1.0;
        }
        numbers
    };
    let data: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| json!({"index": index, "embedding": vector(text.as_str().expect("text"))}))
        .rev()
        .collect();
    HttpResponse::Ok().json(json!({"data": data}))
}

fn settings(endpoint: &str) -> [(&str, &str); 4] {
    [("EMBEDDER", "http"), ("EMBEDDER_URL", endpoint), ("EMBEDDER_MODEL", "letters"), ("EMBEDDER_KEY", "endpoint-key")]
}

async fn search(service: &Service) -> Value {
    let body = json!({"query": "memory of the pod ran out", "min_similarity": 0});
    let answer = service.search(&body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

async fn post(service: &Service, request: &str, reasoning: &str) {
    let mut body = gateway_audit(request);
    body["reasoning"] = json!(reasoning);
    service.post(Writer::Gateway, &body).await.audit_id();
}

#[tokio::test]
async fn an_endpoint_and_its_failures() {
    let endpoint = Endpoint::start();
    let url = endpoint.url();
    let (service, database) = Service::start_with(&settings(&url)).await;
    post(&service, "rr-1", "the pod ran out of memory").await;
    post(&service, "rr-poison", "poison").await;
    post(&service, "rr-2", "日本語").await;
    let vectors = "SELECT count(*) FROM audit_embeddings WHERE embedder = 'http:letters' AND round(vector_norm(embedding)::numeric, 4) = 1";
    eventually("all but the poisoned text", async || (database.number(vectors).await == 2).then_some(())).await;
    let found = search(&service).await;
    assert_eq!(found["data"][0]["remediation_request_id"], "rr-1", "{found}");
    assert_eq!(found["coverage"]["embedder"], "http:letters");
    // The endpoint is away: audits wait, and get their vectors later.
    endpoint.dimensions.store(0, Ordering::SeqCst);
    post(&service, "rr-3", "the disk is full").await;
    eventually("it fails", async || {
        let name = "datastorage_dualwrite_failure_total{reason=\"embedder\"}";
        (service.metrics().await.get(name).copied().unwrap_or(0.0) > 1.0).then_some(())
    })
    .await;
    endpoint.dimensions.store(768, Ordering::SeqCst);
    crate::support::eventually_long("made up for", async || (database.number(vectors).await == 3).then_some(())).await;
    assert!(!service.log().iter().any(|line| line.to_string().contains("endpoint-key")));
}

/// A text that the endpoint refuses counts its tries also where no other text is with it, and is set aside after the fifth. One that is
/// refused because the endpoint takes nothing at all counts none.
#[tokio::test]
async fn a_refused_text_is_set_aside() {
    let endpoint = Endpoint::start();
    let url = endpoint.url();
    let (service, database) = Service::start_with(&settings(&url)).await;
    post(&service, "rr-poison", "poison").await;
    let attempts = "SELECT COALESCE(max(attempts), -1)::bigint FROM embedding_outbox";
    eventually("its first try", async || (database.number(attempts).await >= 1).then_some(())).await;
    // The claims of four tries take forty seconds.
    database.client.execute("UPDATE embedding_outbox SET attempts = 4", &[]).await.expect("tried");
    eventually("set aside", async || {
        (service.metrics().await["datastorage_outbox_set_aside_rows"] == 1.0).then_some(())
    })
    .await;
    assert_eq!(database.number(attempts).await, 5);
    // Others go on, and nothing waits for what is set aside.
    post(&service, "rr-1", "the pod ran out of memory").await;
    let vectors = "SELECT count(*) FROM audit_embeddings WHERE embedder = 'http:letters'";
    eventually("another text", async || (database.number(vectors).await == 1).then_some(())).await;
    endpoint.dimensions.store(REFUSES, Ordering::SeqCst);
    post(&service, "rr-2", "the disk is full").await;
    eventually("it fails", async || {
        let name = "datastorage_dualwrite_failure_total{reason=\"embedder\"}";
        (service.metrics().await.get(name).copied().unwrap_or(0.0) >= 3.0).then_some(())
    })
    .await;
    let counted = "SELECT count(*) FROM embedding_outbox WHERE attempts BETWEEN 1 AND 4";
    assert_eq!(database.number(counted).await, 0, "it is not the text's fault");
}

#[tokio::test]
async fn an_endpoint_of_other_dimensions_is_refused_at_start() {
    let endpoint = Endpoint::start();
    endpoint.dimensions.store(384, Ordering::SeqCst);
    let database = server().database().await;
    let serve = ["serve", "--auth-mode", "static", "--auth-tokens-file"];
    let mut command = data_storage(&database.url, &serve);
    let (success, words) = ended(command.arg("/dev/null")).await;
    assert!(!success, "{words}");
    let tokens = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(tokens.path(), "t,u,1").expect("written");
    let mut command = data_storage(&database.url, &serve);
    let url = endpoint.url();
    let (success, words) = ended(command.arg(tokens.path()).envs(settings(&url))).await;
    assert!(!success && words.contains("EMBEDDER: it gives vectors of 384 numbers"), "{words}");
}

/// Searches use the old embedder until `reindex` has filled the space of the new one. No search compares vectors of
/// both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_one_embedder_to_another() {
    let endpoint = Endpoint::start();
    let url = endpoint.url();
    let (mut service, database) = Service::start().await;
    for n in 0..20 {
        post(&service, &format!("rr-{n}"), &format!("the pod ran out of memory, kind {}", ["a", "b", "c"][n % 3]))
            .await;
    }
    let count = async |embedder: &str| {
        database.number(&format!("SELECT count(*) FROM audit_embeddings WHERE embedder = '{embedder}'")).await
    };
    eventually("vectors", async || (count("builtin-2").await == 20).then_some(())).await;
    eventually("active", async || (database.number("SELECT count(*) FROM embedding_active").await == 1).then_some(()))
        .await;
    service.stop().await;

    let service = Service::on(&database.url, &settings(&url)).await;
    service.logged("ready").await;
    service.logged("the vectors are another embedder's: run data-storage reindex").await;
    let part = service.read("/health").await["parts"]["embedder"].clone();
    assert_eq!(part, json!({"id": "builtin-2", "configured": "http:letters", "reindex_needed": true}));
    post(&service, "rr-new", "the pod ran out of memory again").await;
    eventually("vectors of both", async || {
        (count("builtin-2").await == 21 && count("http:letters").await == 1).then_some(())
    })
    .await;
    let found = search(&service).await;
    assert_eq!(
        (&found["coverage"]["embedder"], found["data"].as_array().map(Vec::len)),
        (&json!("builtin-2"), Some(10))
    );

    // A report without text makes no vector, but it changes a fact. The patterns of both embedders learn of that
    // change.
    let report = json!({"remediationRequestID": "rr-3", "status": "cancelled", "executedAt": crate::support::now()});
    service.post(Writer::Executor, &report).await.audit_id();
    let body = json!({"query": "memory of the pod ran out", "filters": {"status": "cancelled"}});
    eventually("the old one finds it", async || {
        let found = service.search(&body).await.json();
        (found["coverage"]["embedder"] == "builtin-2" && found["data"][0]["remediation_request_id"] == "rr-3")
            .then_some(())
    })
    .await;

    let words = succeeds(data_storage(&database.url, &["reindex"]).envs(settings(&url))).await;
    assert!(words.contains("20 audits have their vector now"), "{words}");
    assert!(words.contains("searches go by http:letters from now on, no longer by builtin-2"), "{words}");
    assert_eq!(count("http:letters").await, 21);
    eventually("the new one is searched", async || {
        (search(&service).await["coverage"]["embedder"] == "http:letters").then_some(())
    })
    .await;
    assert_eq!(service.read("/health").await["parts"]["embedder"]["reindex_needed"], false);
}

/// The old model is asked for as long as the endpoint has it. When the endpoint has it no more, the vectors of the new
/// model do not wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_one_model_of_an_endpoint_to_another() {
    let endpoint = Endpoint::start();
    let url = endpoint.url();
    let database = server().database().await;
    let mut service = Service::on(&database.url, &settings(&url)).await;
    service.logged("ready").await;
    service.migrated().await;
    post(&service, "rr-old", "the pod ran out of memory").await;
    let count = async |embedder: &str| {
        database.number(&format!("SELECT count(*) FROM audit_embeddings WHERE embedder = '{embedder}'")).await
    };
    eventually("its vector", async || (count("http:letters").await == 1).then_some(())).await;
    eventually("active", async || (database.number("SELECT count(*) FROM embedding_active").await == 1).then_some(()))
        .await;
    service.stop().await;

    let mut next = settings(&url);
    next[2].1 = "letters-2";
    let service = Service::on(&database.url, &next).await;
    service.logged("the vectors are another embedder's: run data-storage reindex").await;
    post(&service, "rr-new", "the pod ran out of memory again").await;
    eventually("vectors of both", async || {
        (count("http:letters").await == 2 && count("http:letters-2").await == 1).then_some(())
    })
    .await;
    let found = search(&service).await;
    assert_eq!(
        (&found["coverage"]["embedder"], found["data"].as_array().map(Vec::len)),
        (&json!("http:letters"), Some(2))
    );
    endpoint.dimensions.store(RETIRED, Ordering::SeqCst);
    let body = json!({"query": "something that was not asked before"});
    let refused = service.search(&body).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    post(&service, "rr-later", "the disk is full").await;
    eventually("the new one's vector", async || (count("http:letters-2").await == 2).then_some(())).await;
    succeeds(data_storage(&database.url, &["reindex"]).envs(next)).await;
    eventually("the new one is searched", async || {
        let answer = service.search(&body).await;
        (answer.status == 200 && answer.json()["coverage"]["embedder"] == "http:letters-2").then_some(())
    })
    .await;
    assert_eq!(count("http:letters-2").await, 3);
}

/// With the model's real weights (`make test-minilm`): paraphrases without a common word are found.
#[cfg(feature = "minilm")]
#[tokio::test]
async fn a_local_transformer() {
    let path = std::env::var("MINILM_PATH").expect("MINILM_PATH: run make test-minilm");
    let (service, database) = Service::start_with(&[("EMBEDDER", "minilm"), ("EMBEDDER_PATH", &path)]).await;
    post(&service, "rr-flat", "the tyre of the car is flat, change the wheel").await;
    post(&service, "rr-hungry", "the dog is hungry, give it food").await;
    let vectors = "SELECT count(*) FROM audit_embeddings WHERE embedder = 'minilm-1' AND round(vector_norm(embedding)::numeric, 4) = 1";
    eventually("vectors", async || (database.number(vectors).await == 2).then_some(())).await;
    for (query, request) in [("a puncture on my bicycle", "rr-flat"), ("feed the puppy", "rr-hungry")] {
        let body = json!({"query": query, "min_similarity": 0, "limit": 1});
        let found = service.search(&body).await.json();
        assert_eq!(found["data"][0]["remediation_request_id"], request, "{query}: {found}");
    }
    let missing = std::process::Command::new(env!("CARGO_BIN_EXE_data-storage"))
        .args(["serve", "--embedded", "--embedder", "minilm", "--embedder-path", "/nowhere", "--embedded-dir"])
        .arg(tempfile::tempdir().expect("a folder").path().join("data"))
        .output()
        .expect("it runs");
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nowhere/config.json"), "{missing:?}");
}
