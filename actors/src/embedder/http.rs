//! An embedder behind an OpenAI-compatible endpoint.

use super::{Builtin, DIMENSIONS, Embedding, Space, split_camel_case};
use crate::domain::audit_text::AuditText;
use reqwest::{Client, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::time::sleep;
use uuid::Uuid;

/// Where it is. The key cannot be printed.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The whole URL, as `https://host/v1/embeddings`.
    pub url: String,
    pub model: String,
    pub key: Option<SecretString>,
}

impl HttpSettings {
    pub fn space(&self) -> Space {
        Space { id: format!("http:{}", self.model), min_similarity: 0.4, exact_share: 0.5, sparse: false }
    }
}

/// One try, and how many there are.
const TIMEOUT: Duration = Duration::from_secs(3);
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);
/// After so many failures in a row nobody asks for this long.
const BREAK_AFTER: u32 = 5;
const BREAK_FOR: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("it does not answer: {0}")]
    Away(String),
    #[error("it gives vectors of {0} numbers, 768 are needed")]
    Dimensions(usize),
    #[error("it refuses the text: {0}")]
    Refused(StatusCode),
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    index: usize,
    embedding: Vec<f32>,
}

/// Lives on the embedder's own thread.
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

    pub fn id(&self) -> String {
        self.settings.space().id
    }

    /// One vector a text. While the breaker is open nobody is asked.
    pub fn embed(&mut self, texts: &[AuditText], words: &Builtin) -> Result<Vec<Embedding>, HttpError> {
        if self.closed_until.is_some_and(|until| Instant::now() < until) {
            return Err(HttpError::Away("it failed too often, and is not asked for a while".into()));
        }
        let inputs: Vec<String> = texts.iter().map(told).collect();
        let vectors = self.runtime.block_on(ask(&self.client, &self.settings, &inputs));
        self.failures = match &vectors {
            Ok(_) | Err(HttpError::Refused(_)) => 0,
            Err(_) => self.failures + 1,
        };
        self.closed_until = (self.failures >= BREAK_AFTER).then(|| Instant::now() + BREAK_FOR);
        let vectors = vectors?.into_iter().zip(texts).zip(inputs);
        Ok(vectors.map(|((vector, text), input)| embedding(vector, text, &input, words)).collect())
    }
}

/// Tries an endpoint out.
///
/// # Errors
/// What is wrong with it.
pub async fn check_endpoint(settings: &HttpSettings) -> Result<(), HttpError> {
    let client = Client::builder().timeout(TIMEOUT).build().map_err(|error| HttpError::Away(error.to_string()))?;
    ask(&client, settings, &["check".to_owned()]).await.map(|_| ())
}

/// What an audit tells, as a sentence.
fn told(text: &AuditText) -> String {
    let name = text.alert_name.as_deref().map(|name| split_camel_case(name).join(" "));
    let parts = [name, text.reasoning.clone(), text.error_message.clone()];
    parts.into_iter().flatten().collect::<Vec<_>>().join(". ")
}

/// The words are compared exactly beside the vectors; a text without any is a pattern of its own.
fn embedding(vector: Vec<f32>, text: &AuditText, input: &str, words: &Builtin) -> Embedding {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    let vector = vector.into_iter().map(|x| x / length).collect();
    match words.embed(text) {
        Some(known) => Embedding { vector, ..known },
        None => {
            let digest = Sha256::digest(input.as_bytes());
            let mut head = [0; 16];
            head.copy_from_slice(&digest[..16]);
            Embedding { vector, features: super::Features::default(), pattern: Uuid::from_bytes(head) }
        }
    }
}

async fn ask(client: &Client, settings: &HttpSettings, inputs: &[String]) -> Result<Vec<Vec<f32>>, HttpError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match ask_once(client, settings, inputs).await {
            Err(HttpError::Away(_)) if tries < TRIES => sleep(PAUSE * tries).await,
            result => return result,
        }
    }
}

async fn ask_once(client: &Client, settings: &HttpSettings, inputs: &[String]) -> Result<Vec<Vec<f32>>, HttpError> {
    let away = |error: reqwest::Error| HttpError::Away(error.without_url().to_string());
    let body = json!({"model": settings.model, "input": inputs, "dimensions": DIMENSIONS, "encoding_format": "float"});
    let mut request = client.post(&settings.url).json(&body);
    if let Some(key) = &settings.key {
        request = request.bearer_auth(key.expose_secret());
    }
    let answer = request.send().await.map_err(away)?;
    match answer.status() {
        status if status.is_success() => {}
        status @ (StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::PAYLOAD_TOO_LARGE) => {
            return Err(HttpError::Refused(status));
        }
        status => return Err(HttpError::Away(status.to_string())),
    }
    let mut answer: Answer = answer.json().await.map_err(away)?;
    answer.data.sort_by_key(|vector| vector.index);
    if let Some(wrong) = answer.data.iter().find(|vector| vector.embedding.len() != DIMENSIONS) {
        return Err(HttpError::Dimensions(wrong.embedding.len()));
    }
    if answer.data.len() != inputs.len() {
        return Err(HttpError::Away(format!("{} vectors for {} texts", answer.data.len(), inputs.len())));
    }
    Ok(answer.data.into_iter().map(|vector| vector.embedding).collect())
}
