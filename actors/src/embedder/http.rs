//! An embedder behind an OpenAI-compatible endpoint.

use super::engine::{Engine, embedding, told};
use super::{Builtin, Embedding, VECTOR_LENGTH};
use crate::domain::audit_text::AuditText;
use crate::error::EngineFault;
use backon::{ExponentialBuilder, Retryable};
use reqwest::{Client, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Where the endpoint is, and what it needs. The key cannot be printed.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The whole URL, like `https://host/v1/embeddings`.
    pub url: String,
    pub model: String,
    pub key: Option<SecretString>,
}

/// How long one try may take.
const TIMEOUT: Duration = Duration::from_secs(3);
const TRIES: usize = 3;
/// Between tries: 50 ms, then 100 ms, each up to twice as long, so that replicas that failed together do not ask again together.
const PAUSES: ExponentialBuilder =
    ExponentialBuilder::new().with_min_delay(Duration::from_millis(50)).with_jitter().with_max_times(TRIES - 1);
/// After this many failures in a row the endpoint is not asked for `BREAK_FOR`.
const BREAK_AFTER: u32 = 5;
const BREAK_FOR: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Answer {
    data: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    index: usize,
    embedding: Vec<f32>,
}

/// The client of an endpoint. It lives on the embedder's own thread.
pub(super) struct Http {
    settings: HttpSettings,
    client: Client,
    runtime: Runtime,
    failures: u32,
    closed_until: Option<Instant>,
}

impl Http {
    pub fn new(settings: HttpSettings) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = Client::builder().timeout(TIMEOUT).build().map_err(std::io::Error::other)?;
        Ok(Http { settings, client, runtime, failures: 0, closed_until: None })
    }
}

impl Engine for Http {
    /// While the breaker is open, the endpoint is not asked.
    fn embed(&mut self, texts: &[AuditText], words: &Builtin) -> Result<Vec<Embedding>, EngineFault> {
        if self.closed_until.is_some_and(|until| Instant::now() < until) {
            return Err(EngineFault::Away("it failed too often, and is not asked for a while".into()));
        }
        let inputs: Vec<String> = texts.iter().map(|text| told(text, true)).collect();
        let vectors = self.runtime.block_on(ask(&self.client, &self.settings, &inputs));
        self.failures = match &vectors {
            Ok(_) | Err(EngineFault::Refused(_)) => 0,
            Err(_) => self.failures + 1,
        };
        self.closed_until = (self.failures >= BREAK_AFTER).then(|| Instant::now() + BREAK_FOR);
        let vectors = vectors?.into_iter().zip(texts).zip(inputs);
        Ok(vectors.map(|((vector, text), input)| embedding(vector, &input, words.embed(text))).collect())
    }
}

/// Asks an endpoint for the embedding of one word.
///
/// # Errors
/// What is wrong with the endpoint.
pub(super) async fn check_endpoint(settings: &HttpSettings) -> Result<(), EngineFault> {
    let client = Client::builder().timeout(TIMEOUT).build().map_err(|error| EngineFault::Away(error.to_string()))?;
    ask(&client, settings, &["check".to_owned()]).await.map(|_| ())
}

async fn ask(client: &Client, settings: &HttpSettings, inputs: &[String]) -> Result<Vec<Vec<f32>>, EngineFault> {
    let once = || ask_once(client, settings, inputs);
    once.retry(PAUSES).when(|fault| matches!(fault, EngineFault::Away(_))).await
}

async fn ask_once(client: &Client, settings: &HttpSettings, inputs: &[String]) -> Result<Vec<Vec<f32>>, EngineFault> {
    let away = |error: reqwest::Error| EngineFault::Away(error.without_url().to_string());
    let body =
        json!({"model": settings.model, "input": inputs, "dimensions": VECTOR_LENGTH, "encoding_format": "float"});
    let mut request = client.post(&settings.url).json(&body);
    if let Some(key) = &settings.key {
        request = request.bearer_auth(key.expose_secret());
    }
    let answer = request.send().await.map_err(away)?;
    match answer.status() {
        status if status.is_success() => {}
        status @ (StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::PAYLOAD_TOO_LARGE) => {
            return Err(EngineFault::Refused(status.to_string()));
        }
        status @ (StatusCode::NOT_FOUND | StatusCode::GONE) => return Err(EngineFault::Gone(status.to_string())),
        status => return Err(EngineFault::Away(status.to_string())),
    }
    let mut answer: Answer = answer.json().await.map_err(away)?;
    answer.data.sort_by_key(|vector| vector.index);
    if let Some(wrong) = answer.data.iter().find(|vector| vector.embedding.len() != VECTOR_LENGTH) {
        return Err(EngineFault::Settings(format!(
            "it gives vectors of {} numbers, {VECTOR_LENGTH} are needed",
            wrong.embedding.len()
        )));
    }
    if answer.data.len() != inputs.len() {
        return Err(EngineFault::Away(format!("{} vectors for {} texts", answer.data.len(), inputs.len())));
    }
    Ok(answer.data.into_iter().map(|vector| vector.embedding).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// An endpoint that answers every request with this status, and counts them.
    fn endpoint(status: &'static str) -> std::io::Result<(SocketAddr, Arc<AtomicUsize>)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, asked) = (listener.local_addr()?, Arc::<AtomicUsize>::default());
        let count = asked.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let (mut request, mut part) = (Vec::new(), [0; 4096]);
                // The JSON of a request is an object.
                while !request.ends_with(b"}") {
                    match stream.read(&mut part) {
                        Ok(0) | Err(_) => break,
                        Ok(length) => request.extend_from_slice(&part[..length]),
                    }
                }
                // A client that has gone is not told.
                let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        });
        Ok((address, asked))
    }

    #[tokio::test]
    async fn only_an_endpoint_that_is_away_is_asked_again() {
        for (status, tries) in [("503 Service Unavailable", TRIES), ("400 Bad Request", 1), ("404 Not Found", 1)] {
            let (address, asked) = endpoint(status).expect("a port of loopback is free");
            let settings = HttpSettings { url: format!("http://{address}/"), model: "model".into(), key: None };
            let fault = check_endpoint(&settings).await.expect_err(status);
            assert_eq!(asked.load(Ordering::SeqCst), tries, "{status}: {fault}");
        }
    }
}
