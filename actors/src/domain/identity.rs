//! The identity that a token belongs to.

use std::sync::Arc;

/// The identity behind a token, as Kubernetes names it: a user such as
/// `system:serviceaccount:kubernaut-system:gateway-sa`, its uid and its groups.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    pub user: Arc<str>,
    pub uid: Arc<str>,
    pub groups: Arc<[String]>,
}

/// What an identity wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    WriteRemediation,
    WriteWorkflow,
    Read,
}
