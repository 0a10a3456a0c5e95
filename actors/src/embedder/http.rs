//! An embedder behind an OpenAI-compatible endpoint.

use super::engine::{Engine, EngineFault, embedding, told};
use super::{Builtin, DIMENSIONS, Embedding};
use crate::domain::audit_text::AuditText;
use reqwest::{Client, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::time::sleep;

/// Where the endpoint is, and what it needs. The key cannot be printed.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The whole URL, like `https://host/v1/embeddings`.
    pub url: String,
    pub model: String,
    pub key: Option<SecretString>,
}

/// How long one try may take, how many tries there are, and the pause after the first try; later pauses are longer.
const TIMEOUT: Duration = Duration::from_secs(3);
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);
/// After this many failures in a row, the endpoint is not asked for `BREAK_FOR`.
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

/// Tries an endpoint out.
///
/// # Errors
/// What is wrong with the endpoint.
pub(super) async fn check_endpoint(settings: &HttpSettings) -> Result<(), EngineFault> {
    let client = Client::builder().timeout(TIMEOUT).build().map_err(|error| EngineFault::Away(error.to_string()))?;
    ask(&client, settings, &["check".to_owned()]).await.map(|_| ())
}

async fn ask(client: &Client, settings: &HttpSettings, inputs: &[String]) -> Result<Vec<Vec<f32>>, EngineFault> {
    let mut tries = 0;
    loop {
        tries += 1;
        match ask_once(client, settings, inputs).await {
            Err(EngineFault::Away(_)) if tries < TRIES => sleep(PAUSE * tries).await,
            result => return result,
        }
    }
}

async fn ask_once(client: &Client, settings: &HttpSettings, inputs: &[String]) -> Result<Vec<Vec<f32>>, EngineFault> {
    let away = |error: reqwest::Error| EngineFault::Away(error.without_url().to_string());
    let body = json!({"model": settings.model, "input": inputs, "dimensions": DIMENSIONS, "encoding_format": "float"});
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
    if let Some(wrong) = answer.data.iter().find(|vector| vector.embedding.len() != DIMENSIONS) {
        return Err(EngineFault::Settings(format!(
            "it gives vectors of {} numbers, {DIMENSIONS} are needed",
            wrong.embedding.len()
        )));
    }
    if answer.data.len() != inputs.len() {
        return Err(EngineFault::Away(format!("{} vectors for {} texts", answer.data.len(), inputs.len())));
    }
    Ok(answer.data.into_iter().map(|vector| vector.embedding).collect())
}
