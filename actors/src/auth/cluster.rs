//! The Kubernetes API: whether a token is good, and what its owner may do.

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

/// How to reach an API server. It holds credentials, so it is never printed.
#[derive(Clone)]
pub struct Cluster(Config);

impl Cluster {
    /// From a kubeconfig file, else from the pod that this process runs in.
    ///
    /// # Errors
    /// Why there is none, in words that follow the name of a setting.
    pub fn find(kubeconfig: Option<&Path>) -> Result<Self, String> {
        let mut config = match kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(|error| chain(&error))?;
                let options = KubeConfigOptions::default();
                // It reads files, and waits for nothing.
                let loaded = Config::from_custom_kubeconfig(file, &options).now_or_never();
                loaded.ok_or("cannot be read at once")?.map_err(|error| chain(&error))?
            }
            None => Config::incluster().map_err(|_| "is not given, and this is no pod with a service account")?,
        };
        config.connect_timeout = Some(CALL);
        config.default_retry = false;
        Ok(Cluster(config))
    }

    /// The pod's namespace, or that of the kubeconfig's context.
    pub fn namespace(&self) -> &str {
        &self.0.default_namespace
    }

    pub fn address(&self) -> String {
        self.0.cluster_url.to_string()
    }
}

/// How long one call may take; it is made twice at most.
const CALL: Duration = Duration::from_secs(2);
/// The group of the resources that a role names.
const GROUP: &str = "audit.kubernaut.ai";

/// Asks an API server; few at once.
pub(super) struct Reviewer {
    client: Result<Client, kube::Error>,
    turns: Semaphore,
    metrics: Metrics,
}

impl Reviewer {
    /// Must be called on the runtime where its connections are to live.
    pub fn new(cluster: &Cluster, concurrency: usize, metrics: &Metrics) -> Self {
        let client = Client::try_from(cluster.0.clone());
        if let Err(error) = &client {
            tracing::error!(error = chain(error), "the API server cannot be asked");
        }
        Reviewer { client, turns: Semaphore::new(concurrency), metrics: metrics.clone() }
    }

    /// Whose token it is, `None` for nobody's.
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
        // A server that says nothing of audiences has checked its own, and not those.
        let granted = status.audiences.unwrap_or_default();
        if !audiences.is_empty() && !granted.iter().any(|audience| audiences.contains(audience)) {
            return Ok(None);
        }
        Ok(identity(status.user.unwrap_or_default()))
    }

    /// Whether an identity may do this.
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

    /// Puts one question, again once where the server could not answer.
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
        // Who gets no turn in time is not kept waiting: at a server that hangs the queue would only grow.
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

/// An error and its causes. Those of this client name addresses and certificates, never what was sent.
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

/// What `data-storage check` tries of an API server: whether it answers, and whether this service may ask it.
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
