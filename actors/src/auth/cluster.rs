//! How the API server is reached, and whether it can be used.

use super::right::{CALL, Review, Right};
use futures_util::FutureExt;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use std::path::{Path, PathBuf};
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
                let authority = authority_file(&file);
                let options = KubeConfigOptions::default();
                // The future only reads files and never waits, so the first poll completes it.
                let loaded = Config::from_custom_kubeconfig(file, &options).now_or_never();
                let mut config = loaded.ok_or("cannot be read at once")?.map_err(|error| chain(&error))?;
                // kube knows the file of a pod, but not that of a kubeconfig.
                config.root_cert_file = authority;
                config
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

    /// What the file of the API server's authority holds now, where there is a file.
    pub(super) fn authority(&self) -> Option<Vec<u8>> {
        std::fs::read(self.0.root_cert_file.as_ref()?).ok()
    }

    /// A client with the authority as it is now.
    pub(super) fn client(&self) -> Result<Client, String> {
        Client::try_from(self.0.clone()).map_err(|error| chain(&error))
    }

    pub fn address(&self) -> String {
        self.0.cluster_url.to_string()
    }
}

/// The file of the authority that the current context's cluster is known by; `None` where the kubeconfig holds the certificate itself.
fn authority_file(kubeconfig: &Kubeconfig) -> Option<PathBuf> {
    let current = kubeconfig.current_context.as_deref()?;
    let context = kubeconfig.contexts.iter().find(|context| context.name == current)?.context.as_ref()?;
    let cluster = kubeconfig.clusters.iter().find(|cluster| cluster.name == context.cluster)?.cluster.as_ref()?;
    // The content beats the file, as for kubectl.
    let file = cluster.certificate_authority.as_ref().filter(|_| cluster.certificate_authority_data.is_none());
    file.map(PathBuf::from)
}

/// The text of an error and its causes. The errors of this client name addresses and certificates, never the content
/// of a request.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
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
    let client = cluster.client()?;
    let token =
        TokenReview { spec: TokenReviewSpec { token: Some("check".into()), audiences: None }, ..Default::default() };
    try_out(&client, Right::ReviewTokens, &token).await?;
    if rbac {
        let spec = SubjectAccessReviewSpec {
            user: Some("check".into()),
            resource_attributes: Some(ResourceAttributes { verb: Some("get".into()), ..Default::default() }),
            ..Default::default()
        };
        try_out(&client, Right::ReviewAccess, &SubjectAccessReview { spec, ..Default::default() }).await?;
    }
    Ok(format!("{} answers, tokens may be reviewed", cluster.address()))
}

async fn try_out<R: Review>(client: &Client, right: Right, review: &R) -> Result<(), String> {
    match timeout(CALL, Api::<R>::all(client.clone()).create(&PostParams::default(), review)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(right.missing()),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err(format!("no answer within {CALL:?}")),
    }
}
