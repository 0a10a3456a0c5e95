//! Asks the Kubernetes API whether a token is valid, and what its owner may do.

use super::token::Token;
use crate::domain::identity::{Access, Identity};
use crate::error::ActorError;
use crate::metrics::Metrics;
use futures_util::FutureExt;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How to reach an API server. The configuration holds credentials, so it is never printed.
#[derive(Clone)]
pub struct Cluster(Config);

impl Cluster {
    /// Reads a kubeconfig file, if one is given. Otherwise takes the service account of the pod in which this process
    /// runs.
    ///
    /// # Errors
    /// Why no API server is known, in words that follow the name of the setting.
    pub fn find(kubeconfig: Option<&Path>) -> Result<Self, String> {
        let mut config = match kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(|error| chain(&error))?;
                let options = KubeConfigOptions::default();
                // The future only reads files and never waits, so the first poll completes it.
                let loaded = Config::from_custom_kubeconfig(file, &options).now_or_never();
                loaded.ok_or("cannot be read at once")?.map_err(|error| chain(&error))?
            }
            None => Config::incluster().map_err(|_| "is not given, and this is no pod with a service account")?,
        };
        config.connect_timeout = Some(CALL);
        config.default_retry = false;
        Ok(Cluster(config))
    }

    /// The namespace of the pod, or of the kubeconfig's context.
    pub fn namespace(&self) -> &str {
        &self.0.default_namespace
    }

    pub fn address(&self) -> String {
        self.0.cluster_url.to_string()
    }
}

/// How long one call may take. A call is tried twice at most.
const CALL: Duration = Duration::from_secs(2);
/// The API group of the resources that a role names.
const GROUP: &str = "audit.kubernaut.ai";

/// Asks an API server. The number of calls at once is limited.
pub(super) struct Reviewer {
    client: Result<Client, kube::Error>,
    turns: Semaphore,
    metrics: Metrics,
}

impl Reviewer {
    /// Must be called on the runtime where the client's connections will live.
    pub fn new(cluster: &Cluster, concurrency: usize, metrics: &Metrics) -> Self {
        let client = Client::try_from(cluster.0.clone());
        if let Err(error) = &client {
            tracing::error!(error = chain(error), "the API server cannot be asked");
        }
        Reviewer { client, turns: Semaphore::new(concurrency), metrics: metrics.clone() }
    }

    /// The identity that the token belongs to; `None` if the API server does not accept the token.
    ///
    /// # Errors
    /// `Unavailable` when the API server gives no verdict.
    pub async fn review(&self, token: &Token, audiences: &[String]) -> Result<Option<Identity>, ActorError> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.expose().to_owned()),
                audiences: (!audiences.is_empty()).then(|| audiences.to_vec()),
            },
            ..Default::default()
        };
        let status = self.ask("token", &review).await?.status.unwrap_or_default();
        if status.authenticated != Some(true) {
            return Ok(None);
        }
        // A server whose answer names no audience has checked only its own audience, and not the configured ones.
        let granted = status.audiences.unwrap_or_default();
        if !audiences.is_empty() && !granted.iter().any(|audience| audiences.contains(audience)) {
            return Ok(None);
        }
        Ok(identity(status.user.unwrap_or_default()))
    }

    /// Whether an identity has this right.
    ///
    /// # Errors
    /// `Unavailable` when the API server gives no verdict.
    pub async fn allows(&self, identity: &Identity, access: Access, namespace: &str) -> Result<bool, ActorError> {
        let (verb, resource) = match access {
            Access::WriteRemediation => ("create", "remediations"),
            Access::WriteWorkflow => ("create", "workflows"),
            Access::Read => ("get", "remediations"),
        };
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(identity.user.to_string()),
                uid: Some(identity.uid.to_string()).filter(|uid| !uid.is_empty()),
                groups: Some(identity.groups.to_vec()),
                resource_attributes: Some(ResourceAttributes {
                    namespace: Some(namespace.to_owned()),
                    verb: Some(verb.to_owned()),
                    group: Some(GROUP.to_owned()),
                    resource: Some(resource.to_owned()),
                    ..Default::default()
                }),
                ..Default::default()
            },
            ..Default::default()
        };
        let status = self.ask("access", &review).await?.status.unwrap_or_default();
        Ok(status.allowed && status.denied != Some(true))
    }

    /// Sends one review. Sends the review a second time if the server could not answer.
    async fn ask<R>(&self, kind: &'static str, review: &R) -> Result<R, ActorError>
    where
        R: kube::Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let no_verdict = |why: &str| ActorError::NoVerdict(why.to_owned());
        let Ok(client) = &self.client else { return Err(no_verdict("there is no client")) };
        // A call that gets no turn in time fails. If it went on waiting, the queue at a server that hangs would only grow.
        let Ok(Ok(_turn)) = timeout(CALL, self.turns.acquire()).await else {
            return Err(no_verdict("no turn in time"));
        };
        let api: Api<R> = Api::all(client.clone());
        let mut tries = 0;
        loop {
            tries += 1;
            let started = Instant::now();
            let answer = timeout(CALL, api.create(&PostParams::default(), review)).await;
            let result = if matches!(answer, Ok(Ok(_))) { "success" } else { "failure" };
            self.metrics.reviews_total.with_label_values(&[kind, result]).inc();
            let seconds = started.elapsed().as_secs_f64();
            self.metrics.review_duration_seconds.with_label_values(&[kind]).observe(seconds);
            let (passing, fault) = match answer {
                Ok(Ok(review)) => return Ok(review),
                Ok(Err(kube::Error::Api(status))) => {
                    (status.code == 429 || status.code >= 500, format!("{} {}", status.code, status.reason))
                }
                Ok(Err(error)) => (true, chain(&error)),
                Err(_) => (true, "no answer in time".to_owned()),
            };
            tracing::warn!(kind, tries, fault, "the API server gave no verdict");
            if !passing || tries == 2 {
                return Err(ActorError::NoVerdict(fault));
            }
        }
    }
}

fn identity(user: UserInfo) -> Option<Identity> {
    let name = user.username.filter(|name| !name.is_empty())?;
    Some(Identity {
        user: name.into(),
        uid: user.uid.unwrap_or_default().into(),
        groups: user.groups.unwrap_or_default().into(),
    })
}

/// The text of an error and its causes. The errors of this client name addresses and certificates, never the content
/// of a request.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = error.source();
    }
    text
}

/// Tries an API server out for `data-storage check`: whether the server answers, and whether this service may create
/// reviews.
///
/// # Errors
/// What is wrong, in a sentence for the operator.
pub async fn check_cluster(cluster: &Cluster, rbac: bool) -> Result<String, String> {
    let client = Client::try_from(cluster.0.clone()).map_err(|error| chain(&error))?;
    let token =
        TokenReview { spec: TokenReviewSpec { token: Some("check".into()), audiences: None }, ..Default::default() };
    try_out(&client, "tokenreviews", &token).await?;
    if rbac {
        let spec = SubjectAccessReviewSpec {
            user: Some("check".into()),
            resource_attributes: Some(ResourceAttributes { verb: Some("get".into()), ..Default::default() }),
            ..Default::default()
        };
        try_out(&client, "subjectaccessreviews", &SubjectAccessReview { spec, ..Default::default() }).await?;
    }
    Ok(format!("{} answers, tokens may be reviewed", cluster.address()))
}

async fn try_out<R>(client: &Client, resource: &str, review: &R) -> Result<(), String>
where
    R: kube::Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    match timeout(CALL, Api::<R>::all(client.clone()).create(&PostParams::default(), review)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
            Err(format!("this service account may not create {resource}: bind it to system:auth-delegator"))
        }
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err(format!("no answer within {CALL:?}")),
    }
}
