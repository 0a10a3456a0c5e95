//! Settings of tokens, rights and rate limits.

use super::values::{duration, number, positive_duration};
use super::{Reader, Settings, given};
use data_storage_actors::auth::{AccessLists, AccessRules, Cluster, TokenFile, VerdictTimes};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Who may do what, and how often.
#[derive(Clone)]
pub struct AuthConfig {
    pub tokens: Tokens,
    pub access: AccessRules,
    /// The API server, if it reviews tokens or rights.
    pub cluster: Option<Cluster>,
    pub times: VerdictTimes,
    pub review_concurrency: usize,
    /// These limits are per second; 0 means no limit.
    pub reviews_per_peer: u32,
    pub requests_per_identity: u32,
    pub open_reads_per_peer: u32,
    /// Whether reads need a token.
    pub reads: bool,
}

/// Where the tokens come from.
#[derive(Clone)]
pub enum Tokens {
    /// The command needs no tokens.
    Unused,
    /// Random tokens, in the embedded folder.
    Own,
    File(TokenFile),
    Review {
        audiences: Arc<[String]>,
    },
}

const NAMESPACE: &str = "system:serviceaccount:kubernaut-system";
const WRITERS_REMEDIATION: [&str; 3] = ["gateway-sa", "aianalysis-controller-sa", "kubernetes-executor-sa"];
const WRITERS_WORKFLOW: [&str; 1] = ["workflowexecution-controller-sa"];

impl Reader {
    /// Without `with_tokens`, the settings of tokens are ignored.
    pub(super) fn auth(&mut self, s: &Settings, embedded: bool, with_tokens: bool) -> AuthConfig {
        let tokens = if with_tokens { self.tokens(s, embedded) } else { Tokens::Unused };
        let rbac = self.or("AUTHZ_MODE", &s.authz_mode, "list", |text| match text {
            "list" => Ok(false),
            "rbac" => Ok(true),
            _ => Err("must be list or rbac".into()),
        });
        let asks = matches!(tokens, Tokens::Review { .. }) || (rbac && with_tokens);
        let cluster = if asks { self.cluster(s) } else { None };
        let access = if rbac { self.rbac(s, cluster.as_ref()) } else { self.lists(s) };
        let requests = self.or("RATE_LIMIT_RPS", &s.rate_limit_rps, "100", |text| number(text, 0, 1_000_000));
        let reviews =
            self.or("TOKEN_REVIEW_RPS_PER_PEER", &s.token_review_rps_per_peer, "20", |text| number(text, 0, 1_000_000));
        AuthConfig {
            tokens,
            access,
            cluster,
            times: VerdictTimes {
                yes: self.or("TOKEN_CACHE_TTL", &s.token_cache_ttl, "30s", positive_duration),
                no: self.or("TOKEN_CACHE_NEGATIVE_TTL", &s.token_cache_negative_ttl, "5s", duration),
            },
            review_concurrency: self
                .or("TOKEN_REVIEW_CONCURRENCY", &s.token_review_concurrency, "16", |text| number(text, 1, 1000)),
            // If requests have no limit, token reviews have none either.
            reviews_per_peer: if requests == 0 { 0 } else { reviews },
            requests_per_identity: requests,
            open_reads_per_peer: self
                .or("READ_RATE_LIMIT_RPS", &s.read_rate_limit_rps, "0", |text| number(text, 0, 1_000_000)),
            reads: self.or("AUTH_READS", &s.auth_reads, "false", |text| match text {
                "true" => Ok(true),
                "false" => Ok(false),
                _ => Err("must be true or false".into()),
            }),
        }
    }

    fn tokens(&mut self, s: &Settings, embedded: bool) -> Tokens {
        let default = if embedded { "static" } else { "kubernetes" };
        match given(&s.auth_mode).unwrap_or(default) {
            "static" => match given(&s.auth_tokens_file) {
                Some(path) => match TokenFile::open(Path::new(path)) {
                    Ok(file) => Tokens::File(file),
                    Err(fault) => {
                        self.fault("AUTH_TOKENS_FILE", fault);
                        Tokens::Unused
                    }
                },
                None if embedded => Tokens::Own,
                None => {
                    self.fault("AUTH_TOKENS_FILE", "is needed with AUTH_MODE=static");
                    Tokens::Unused
                }
            },
            "kubernetes" => Tokens::Review { audiences: list(&s.token_audiences).collect() },
            _ => {
                self.fault("AUTH_MODE", "must be kubernetes or static");
                Tokens::Unused
            }
        }
    }

    fn cluster(&mut self, s: &Settings) -> Option<Cluster> {
        let file = given(&s.kubeconfig).map(PathBuf::from);
        match Cluster::find(file.as_deref()) {
            Ok(cluster) => Some(cluster),
            Err(fault) => {
                let how = if file.is_some() { "" } else { ": set it, or AUTH_MODE=static with AUTH_TOKENS_FILE" };
                self.fault("KUBECONFIG", format!("{fault}{how}"));
                None
            }
        }
    }

    fn rbac(&mut self, s: &Settings, cluster: Option<&Cluster>) -> AccessRules {
        let namespace = given(&s.authz_namespace).or(cluster.map(Cluster::namespace)).unwrap_or("default");
        AccessRules::Rbac { namespace: namespace.into() }
    }

    fn lists(&mut self, s: &Settings) -> AccessRules {
        AccessRules::Lists(Arc::new(AccessLists {
            writers_remediation: self.users("WRITERS_REMEDIATION", &s.writers_remediation, &WRITERS_REMEDIATION),
            writers_workflow: self.users("WRITERS_WORKFLOW", &s.writers_workflow, &WRITERS_WORKFLOW),
            readers: self.users("READERS", &s.readers, &[]),
        }))
    }

    /// A list of user names. The default names are accounts of the product's namespace.
    fn users(&mut self, variable: &'static str, value: &Option<String>, default: &[&str]) -> HashSet<String> {
        if given(value).is_none() {
            return default.iter().map(|name| format!("{NAMESPACE}:{name}")).collect();
        }
        let users: HashSet<String> = list(value).collect();
        if users.is_empty() {
            self.fault(variable, "names nobody");
        }
        users
    }
}

/// The parts between commas.
fn list(value: &Option<String>) -> impl Iterator<Item = String> {
    given(value).unwrap_or_default().split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned)
}
