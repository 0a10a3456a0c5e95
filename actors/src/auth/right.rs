//! The rights that this service needs at the API server.

use k8s_openapi::ClusterResourceScope;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::time::Duration;

/// How long one call may take. A call is tried twice at most.
pub(super) const CALL: Duration = Duration::from_secs(2);

/// What this service must be allowed to do at the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    ReviewTokens,
    ReviewAccess,
}

impl Right {
    /// The API group and the resource of which objects are created.
    pub fn resource(self) -> (&'static str, &'static str) {
        match self {
            Right::ReviewTokens => ("authentication.k8s.io", "tokenreviews"),
            Right::ReviewAccess => ("authorization.k8s.io", "subjectaccessreviews"),
        }
    }

    /// The label of its metrics.
    pub fn kind(self) -> &'static str {
        match self {
            Right::ReviewTokens => "token",
            Right::ReviewAccess => "access",
        }
    }

    /// For operators: what is missing, and what to do.
    pub fn missing(self) -> String {
        let (group, resource) = self.resource();
        format!(
            "this service account may not create {resource}.{group}: bind it to the ClusterRole system:auth-delegator"
        )
    }
}

/// A question to the API server that is asked by creating it.
pub(super) trait Review:
    kube::Resource<DynamicType = (), Scope = ClusterResourceScope> + Clone + Debug + Serialize + DeserializeOwned
{
}

impl<T> Review for T where
    T: kube::Resource<DynamicType = (), Scope = ClusterResourceScope> + Clone + Debug + Serialize + DeserializeOwned
{
}
