//! Asks the Kubernetes API whether a token is valid, and what its owner may do; and knows how these calls went of late.

use super::cluster::{Cluster, chain};
use super::right::{CALL, Review, Right};
use super::token::Token;
use super::{AccessRules, AuthSettings, TokenSource};
use crate::domain::identity::{Access, Identity};
use crate::error::{ActorError, NoVerdict};
use crate::metrics::Metrics;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use std::cell::RefCell;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The API group of the resources that a role names.
const GROUP: &str = "audit.kubernaut.ai";
/// A missing right is logged this often.
const TOLD: Duration = Duration::from_secs(60);

/// Asks an API server. The number of calls at once is limited.
pub(super) struct Reviewer {
    cluster: Cluster,
    client: RefCell<Result<Client, String>>,
    /// What the file of the API server's authority held when the client was made.
    authority: RefCell<Option<Vec<u8>>>,
    turns: Semaphore,
    /// The rights that the configured modes need, each with how its calls went.
    calls: Vec<(Right, RefCell<Calls>)>,
    metrics: Metrics,
}

/// How the calls of one kind went of late.
#[derive(Default)]
struct Calls {
    succeeded: Option<Instant>,
    /// The last call, where it failed.
    failed: Option<(Instant, NoVerdict)>,
    probed: Option<Instant>,
    told: Option<Instant>,
}

impl Reviewer {
    /// Must be called on the runtime where the client's connections will live.
    pub fn new(cluster: &Cluster, settings: &AuthSettings, metrics: &Metrics) -> Self {
        let (authority, client) = (cluster.authority(), cluster.client());
        if let Err(error) = &client {
            tracing::error!(error, "the API server cannot be asked");
        }
        let rights = [
            matches!(settings.tokens, TokenSource::Review { .. }).then_some(Right::ReviewTokens),
            matches!(settings.access, AccessRules::Rbac { .. }).then_some(Right::ReviewAccess),
        ];
        Reviewer {
            cluster: cluster.clone(),
            client: client.into(),
            authority: authority.into(),
            turns: Semaphore::new(settings.review_concurrency),
            calls: rights.into_iter().flatten().map(|right| (right, RefCell::default())).collect(),
            metrics: metrics.clone(),
        }
    }

    /// Takes up a new certificate of the API server's authority.
    pub fn reload(&self) {
        let authority = self.cluster.authority();
        if authority == *self.authority.borrow() {
            return;
        }
        match self.cluster.client() {
            Ok(client) => {
                *self.client.borrow_mut() = Ok(client);
                tracing::info!("the authority of the API server is reloaded");
            }
            Err(error) => tracing::error!(error, "the authority of the API server is not taken up"),
        }
        *self.authority.borrow_mut() = authority;
    }

    fn client(&self) -> Result<Client, NoVerdict> {
        self.client.borrow().clone().map_err(NoVerdict::Away)
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
        let status = self.ask(Right::ReviewTokens, &review).await?.status.unwrap_or_default();
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
        let status = self.ask(Right::ReviewAccess, &review).await?.status.unwrap_or_default();
        Ok(status.allowed && status.denied != Some(true))
    }

    /// Whether the API server does what requests ask of it: the calls since the last probe tell; where there were none, the API server is asked
    /// whether it would.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn probe(&self) -> Result<(), NoVerdict> {
        for (right, calls) in &self.calls {
            self.probe_right(*right, calls).await?;
        }
        Ok(())
    }

    async fn probe_right(&self, right: Right, calls: &RefCell<Calls>) -> Result<(), NoVerdict> {
        let (failed, succeeded) = {
            let mut calls = calls.borrow_mut();
            let last = calls.probed.replace(Instant::now());
            let is_new = |time: Instant| last.is_none_or(|last| time > last);
            let failed = calls.failed.as_ref().map(|(time, why)| (is_new(*time), why.clone()));
            (failed, calls.succeeded.is_some_and(is_new))
        };
        let found = match failed {
            Some((true, why)) => Err(why),
            None if succeeded => Ok(()),
            failed => match self.may(right).await {
                Some(found) => found,
                // The API server cannot say. What calls met last holds.
                None => failed.map_or(Ok(()), |(_, why)| Err(why)),
            },
        };
        if let Err(NoVerdict::Refused(why)) = &found {
            self.tell(right, why);
        }
        found
    }

    fn calls_of(&self, right: Right) -> Option<&RefCell<Calls>> {
        self.calls.iter().find(|(other, _)| *other == right).map(|(_, calls)| calls)
    }

    /// Logs what only an operator can mend, once a minute.
    fn tell(&self, right: Right, why: &str) {
        let Some(calls) = self.calls_of(right) else { return };
        let mut calls = calls.borrow_mut();
        if calls.told.is_none_or(|told| told.elapsed() >= TOLD) {
            calls.told = Some(Instant::now());
            tracing::error!(why, "the Kubernetes API refuses this service");
        }
    }

    /// Whether the API server says that this service has the right; `None` where it cannot say.
    async fn may(&self, right: Right) -> Option<Result<(), NoVerdict>> {
        let client = match self.client() {
            Ok(client) => client,
            Err(why) => return Some(Err(why)),
        };
        let (group, resource) = right.resource();
        let spec = SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some("create".to_owned()),
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                ..Default::default()
            }),
            ..Default::default()
        };
        let question = SelfSubjectAccessReview { spec, ..Default::default() };
        match timeout(CALL, Api::all(client).create(&PostParams::default(), &question)).await {
            Ok(Ok(SelfSubjectAccessReview { status: Some(status), .. })) if status.allowed => Some(Ok(())),
            Ok(Ok(SelfSubjectAccessReview { status: Some(_), .. })) => Some(Err(NoVerdict::Refused(right.missing()))),
            Ok(Err(kube::Error::Api(status))) if status.code == 401 => Some(Err(refused(right, &status))),
            // The API server answers, but not to this question.
            Ok(Ok(_) | Err(kube::Error::Api(_))) => None,
            Ok(Err(error)) => Some(Err(NoVerdict::Away(chain(&error)))),
            Err(_) => Some(Err(NoVerdict::Away("no answer in time".to_owned()))),
        }
    }

    /// Sends one review, a second time if the server could not answer, and notes how that went.
    async fn ask<R: Review>(&self, right: Right, review: &R) -> Result<R, ActorError> {
        let result = self.send(right, review).await;
        if let Some(calls) = self.calls_of(right) {
            let mut calls = calls.borrow_mut();
            match &result {
                Ok(_) => (calls.succeeded, calls.failed) = (Some(Instant::now()), None),
                Err(why) => calls.failed = Some((Instant::now(), why.clone())),
            }
        }
        if let Err(NoVerdict::Refused(why)) = &result {
            self.tell(right, why);
        }
        Ok(result?)
    }

    async fn send<R: Review>(&self, right: Right, review: &R) -> Result<R, NoVerdict> {
        let away = |why: &str| NoVerdict::Away(why.to_owned());
        let client = self.client()?;
        // A call that gets no turn in time fails. If it went on waiting, the queue at a server that hangs would only grow.
        let Ok(Ok(_turn)) = timeout(CALL, self.turns.acquire()).await else {
            return Err(away("no turn in time"));
        };
        let (api, kind): (Api<R>, _) = (Api::all(client), right.kind());
        let mut tries = 0;
        loop {
            tries += 1;
            let started = Instant::now();
            let answer = timeout(CALL, api.create(&PostParams::default(), review)).await;
            let result = if matches!(answer, Ok(Ok(_))) { "success" } else { "failure" };
            self.metrics.reviews_total.with_label_values(&[kind, result]).inc();
            let seconds = started.elapsed().as_secs_f64();
            self.metrics.review_duration_seconds.with_label_values(&[kind]).observe(seconds);
            let (passing, why) = match answer {
                Ok(Ok(review)) => return Ok(review),
                Ok(Err(kube::Error::Api(status))) => match status.code {
                    401 | 403 => (false, refused(right, &status)),
                    code => (code == 429 || code >= 500, away(&format!("{code} {}", status.reason))),
                },
                Ok(Err(error)) => (true, away(&chain(&error))),
                Err(_) => (true, away("no answer in time")),
            };
            let (NoVerdict::Refused(fault) | NoVerdict::Away(fault)) = &why;
            tracing::warn!(kind, tries, fault, "the API server gave no verdict");
            if !passing || tries == 2 {
                return Err(why);
            }
        }
    }
}

/// What an answer with 401 or 403 says to the operator.
fn refused(right: Right, status: &kube::core::Status) -> NoVerdict {
    NoVerdict::Refused(match status.code {
        401 => "the API server does not accept this service's own token".to_owned(),
        _ => right.missing(),
    })
}

fn identity(user: UserInfo) -> Option<Identity> {
    let name = user.username.filter(|name| !name.is_empty())?;
    Some(Identity {
        user: name.into(),
        uid: user.uid.unwrap_or_default().into(),
        groups: user.groups.unwrap_or_default().into(),
    })
}
