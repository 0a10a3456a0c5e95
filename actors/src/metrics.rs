//! Every metric of the service. The text beside a metric is its help text.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};
use std::sync::{Arc, Mutex, PoisonError};

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $field:ident: $kind:ident = $name:literal $([$($label:literal),*])?;)*) => {
        /// The metrics. They are registered once; clones are cheap and count together.
        #[derive(Clone)]
        pub struct Metrics { $($(#[doc = $help])+ pub $field: $kind,)* }

        impl Metrics {
            /// Registers all metrics.
            ///
            /// # Errors
            /// When one of the names is registered already.
            pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
                let metrics = Metrics { $($field: {
                    let metric = <$kind as Metric>::build($name, concat!($($help),+).trim(), &[$($($label),*)?])?;
                    registry.register(Box::new(metric.clone()))?;
                    metric
                },)* };
                metrics.begin();
                Ok(metrics)
            }
        }
    };
}

/// A kind of metric that is built from a name, a help text and labels.
trait Metric: Sized {
    fn build(name: &str, help: &str, labels: &[&str]) -> Result<Self, prometheus::Error>;
}

impl Metric for IntCounter {
    fn build(name: &str, help: &str, _: &[&str]) -> Result<Self, prometheus::Error> {
        IntCounter::with_opts(Opts::new(name, help))
    }
}

impl Metric for IntCounterVec {
    fn build(name: &str, help: &str, labels: &[&str]) -> Result<Self, prometheus::Error> {
        IntCounterVec::new(Opts::new(name, help), labels)
    }
}

impl Metric for IntGauge {
    fn build(name: &str, help: &str, _: &[&str]) -> Result<Self, prometheus::Error> {
        IntGauge::with_opts(Opts::new(name, help))
    }
}

impl Metric for Gauge {
    fn build(name: &str, help: &str, _: &[&str]) -> Result<Self, prometheus::Error> {
        Gauge::with_opts(Opts::new(name, help))
    }
}

impl Metric for IntGaugeVec {
    fn build(name: &str, help: &str, labels: &[&str]) -> Result<Self, prometheus::Error> {
        IntGaugeVec::new(Opts::new(name, help), labels)
    }
}

impl Metric for GaugeVec {
    fn build(name: &str, help: &str, labels: &[&str]) -> Result<Self, prometheus::Error> {
        GaugeVec::new(Opts::new(name, help), labels)
    }
}

/// Connections that are at work, and those that are idle.
pub type OpenConnections = (u32, u32);

/// A look at the connections of a pool, for as long as the pool is there.
type Look = Box<dyn Fn() -> Option<OpenConnections> + Send>;

/// The connections of all pools, counted when somebody asks. Pools of one name are added up.
#[derive(Clone)]
pub struct PoolConnections {
    gauge: IntGaugeVec,
    pools: Arc<Mutex<Vec<(&'static str, Look)>>>,
}

impl PoolConnections {
    /// Counts this pool for as long as `look` finds it.
    pub fn watch(&self, pool: &'static str, look: impl Fn() -> Option<OpenConnections> + Send + 'static) {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).push((pool, Box::new(look)));
    }
}

impl Metric for PoolConnections {
    fn build(name: &str, help: &str, labels: &[&str]) -> Result<Self, prometheus::Error> {
        Ok(PoolConnections { gauge: IntGaugeVec::build(name, help, labels)?, pools: Arc::default() })
    }
}

impl Collector for PoolConnections {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        for pool in POOLS {
            let (mut in_use, mut idle) = (0, 0);
            pools.retain(|(name, look)| {
                let found = if *name == pool { look() } else { Some((0, 0)) };
                let (more_in_use, more_idle) = found.unwrap_or_default();
                in_use += more_in_use;
                idle += more_idle;
                found.is_some()
            });
            self.gauge.with_label_values(&[pool, "in_use"]).set(in_use.into());
            self.gauge.with_label_values(&[pool, "idle"]).set(idle.into());
        }
        self.gauge.collect()
    }
}

/// Words that label series. A series whose words are all known beforehand is there from the start, at 0: a rate of what happens for the first
/// time is seen.
pub const TABLES: [&str; 2] = ["remediation_audit", "workflow_audit"];
pub const POOLS: [&str; 4] = ["write", "read", "vector_write", "vector_read"];
const RESULTS: [&str; 2] = ["success", "failure"];
/// The reads, by the names of their routes' files.
pub const OPERATIONS: [&str; 12] = [
    "list_incidents",
    "get_incident",
    "timeline",
    "similar_incidents",
    "search_incidents",
    "facets",
    "success_rate",
    "counts",
    "list_audits",
    "get_audit",
    "list_workflows",
    "list_steps",
];

impl Metrics {
    /// Makes the series that are there from the start.
    fn begin(&self) {
        let counters: [(&IntCounterVec, &[&[&str]]); 10] = [
            (&self.outcomes_total, &[&["completed", "failed", "cancelled", "rolled_back"]]),
            (&self.trace_spans_total, &[&["exported", "dropped"]]),
            (&self.write_total, &[&TABLES, &RESULTS]),
            (&self.query_total, &[&OPERATIONS, &RESULTS]),
            (&self.validation_failures_total, &[&["other"], &["required", "invalid", "too_long", "unknown_word"]]),
            (&self.fact_conflicts_total, &[&["alert_name", "namespace", "cluster"]]),
            (&self.dualwrite_failure_total, &[&["embedder", "vector_store", "audit_database", "queue_full"]]),
            (&self.reviews_total, &[&["token", "access"], &RESULTS]),
            (&self.rate_limited_total, &[&["identity", "token_review", "read"]]),
            (&self.searches_total, &[&["memory", "scan", "matching", "index"]]),
        ];
        for (metric, words) in counters {
            for labels in combinations(words) {
                metric.with_label_values(&labels);
            }
        }
        let histograms: [(&HistogramVec, &[&str]); 4] = [
            (&self.write_duration_seconds, &TABLES),
            (&self.query_duration_seconds, &OPERATIONS),
            (&self.review_duration_seconds, &["token", "access"]),
            (&self.pool_wait_seconds, &POOLS),
        ];
        for (metric, words) in histograms {
            for label in words {
                metric.with_label_values(&[label]);
            }
        }
        for pool in POOLS {
            for gauge in [&self.pool_connections_max, &self.database_up, &self.database_serving] {
                gauge.with_label_values(&[pool]);
            }
        }
        for database in ["audit", "vector"] {
            self.database_size_bytes.with_label_values(&[database]);
        }
    }
}

/// Every combination of one word of each list.
fn combinations<'a>(lists: &[&[&'a str]]) -> Vec<Vec<&'a str>> {
    lists.iter().fold(vec![Vec::new()], |begun, list| {
        begun.iter().flat_map(|words| list.iter().map(move |word| [&words[..], &[*word]].concat())).collect()
    })
}

/// Upper bounds of a histogram's buckets: seconds, from a tenth of a millisecond to ten seconds; bytes of an answer; and rows of a flush.
pub const SECONDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const BYTES: &[f64] = &[256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0];
const ROWS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

fn buckets(name: &str) -> Vec<f64> {
    match name {
        name if name.ends_with("_seconds") => SECONDS.to_vec(),
        name if name.ends_with("_bytes") => BYTES.to_vec(),
        _ => ROWS.to_vec(),
    }
}

impl Metric for Histogram {
    fn build(name: &str, help: &str, _: &[&str]) -> Result<Self, prometheus::Error> {
        Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets(name)))
    }
}

impl Metric for HistogramVec {
    fn build(name: &str, help: &str, labels: &[&str]) -> Result<Self, prometheus::Error> {
        HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets(name)), labels)
    }
}

metrics! {
    /// Audits written, by table and status (success, failure). A replay is not a write.
    write_total: IntCounterVec = "datastorage_write_total" ["table", "status"];
    /// Time from when the writer receives an audit to the audit's commit, by table.
    write_duration_seconds: HistogramVec = "datastorage_write_duration_seconds" ["table"];
    /// Remediation audits written that state a final status, by that status (completed, failed, cancelled, rolled_back).
    outcomes_total: IntCounterVec = "datastorage_outcomes_total" ["status"];
    /// How the attempts of the incidents of the last seven days ended, by alert, action and outcome (completed, failed, recurred), of the 50 pairs of alert and
    /// action with the most of them. Absent until one has ended.
    recent_attempts: IntGaugeVec = "datastorage_recent_attempts" ["alert_name", "action_type", "outcome"];
    /// Audits that were answered as replays.
    write_replays_total: IntCounter = "datastorage_write_replays_total";
    /// Reads, by operation and status (success, failure). An answer is a success, a 5xx a failure; what a client did wrong is neither.
    query_total: IntCounterVec = "datastorage_query_total" ["operation", "status"];
    /// Time of a read, from its head to its answer, by operation.
    query_duration_seconds: HistogramVec = "datastorage_query_duration_seconds" ["operation"];
    /// Requests that were refused because of a field, by field and reason (required, invalid, too_long, unknown_word).
    /// Fields that the contract does not name count as other.
    validation_failures_total: IntCounterVec = "datastorage_validation_failures_total" ["field", "reason"];
    /// Audits that stated another alert name, namespace or cluster than their incident had, by field: one request name may stand for two
    /// incidents.
    fact_conflicts_total: IntCounterVec = "datastorage_fact_conflicts_total" ["field"];
    /// Time to embed a batch of texts.
    embedding_generation_duration_seconds: Histogram = "datastorage_embedding_generation_duration_seconds";
    /// Audits whose vector was written after their commit.
    dualwrite_success_total: IntCounter = "datastorage_dualwrite_success_total";
    /// Audits whose vector could not be written in one try, by reason (embedder, vector_store, audit_database,
    /// queue_full). They stay in the outbox.
    dualwrite_failure_total: IntCounterVec = "datastorage_dualwrite_failure_total" ["reason"];
    /// How often the service went on without its vector store.
    fallback_mode_total: IntCounter = "datastorage_fallback_mode_total";
    /// Texts whose embedding was found in the cache.
    cache_hits_total: IntCounter = "datastorage_cache_hits_total";
    /// Texts whose embedding was not found in the cache.
    cache_misses_total: IntCounter = "datastorage_cache_misses_total";
    /// Tokens whose verdict was in the token cache.
    token_cache_hits_total: IntCounter = "datastorage_token_cache_hits_total";
    /// Tokens whose verdict was not in the token cache.
    token_cache_misses_total: IntCounter = "datastorage_token_cache_misses_total";
    /// Calls to the Kubernetes API, by kind (token, access) and result (success, failure).
    reviews_total: IntCounterVec = "datastorage_reviews_total" ["kind", "result"];
    /// Time of a call to the Kubernetes API, by kind.
    review_duration_seconds: HistogramVec = "datastorage_review_duration_seconds" ["kind"];
    /// Requests that a rate limit refused, by limit (identity, token_review, read).
    rate_limited_total: IntCounterVec = "datastorage_rate_limited_total" ["limit"];
    /// Calls of tools by agents, by tool and status (success, invalid, not_found, failure).
    mcp_calls_total: IntCounterVec = "datastorage_mcp_calls_total" ["tool", "status"];
    /// Time of a call, by tool.
    mcp_call_duration_seconds: HistogramVec = "datastorage_mcp_call_duration_seconds" ["tool"];
    /// Bytes of the text that a call is answered with, by tool.
    mcp_answer_bytes: HistogramVec = "datastorage_mcp_answer_bytes" ["tool"];
    /// Bytes of long answers that are on their way to clients.
    answers_in_flight_bytes: IntGauge = "datastorage_answers_in_flight_bytes";
    /// Audits that wait for their flush.
    write_queue_depth: IntGauge = "datastorage_write_queue_depth";
    /// Audits committed in one flush.
    flush_rows: Histogram = "datastorage_flush_rows";
    /// Rows in the outbox: audits whose vector is still to be written.
    outbox_rows: IntGauge = "datastorage_outbox_rows";
    /// Rows in the outbox whose text the embedder refused too often. The service does not try them again.
    outbox_set_aside_rows: IntGauge = "datastorage_outbox_set_aside_rows";
    /// Age of the oldest row in the outbox.
    outbox_lag_seconds: IntGauge = "datastorage_outbox_lag_seconds";
    /// Searches, by kind: all patterns were compared in memory (memory) or by the vector store (scan), those of the incidents that fit a filter by the
    /// vector store (matching), or the index was asked (index).
    searches_total: IntCounterVec = "datastorage_searches_total" ["kind"];
    /// Share of the true ten nearest patterns that the index finds, over the last queries that were compared.
    /// Absent until some were compared.
    search_recall_ratio: GaugeVec = "datastorage_search_recall_ratio" [];
    /// Patterns that searches compare in memory, as far as it is read what they mean; 0 while searches ask the vector store.
    held_patterns: IntGauge = "datastorage_held_patterns";
    /// Memory that these patterns take.
    held_patterns_bytes: IntGauge = "datastorage_held_patterns_bytes";
    /// Attempts that success rates are counted from in memory; 0 while PostgreSQL counts them.
    held_attempts: IntGauge = "datastorage_held_attempts";
    /// Memory that these attempts take.
    held_attempts_bytes: IntGauge = "datastorage_held_attempts_bytes";
    /// Permits of an actor's handle, all of them.
    actor_permits: IntGaugeVec = "datastorage_actor_permits" ["actor"];
    /// Permits of an actor's handle that requests hold now.
    actor_permits_in_use: IntGaugeVec = "datastorage_actor_permits_in_use" ["actor"];
    /// Requests that an actor's handle refused, by reason (no_permit, deadline, down, queue_full).
    actor_rejected_total: IntCounterVec = "datastorage_actor_rejected_total" ["actor", "reason"];
    /// Time that an actor took to answer.
    actor_duration_seconds: HistogramVec = "datastorage_actor_duration_seconds" ["actor"];
    /// Actors started again after they died.
    actor_restarts_total: IntCounterVec = "datastorage_actor_restarts_total" ["actor"];
    /// Connections of a pool, by state (in_use, idle).
    pool_connections: PoolConnections = "datastorage_pool_connections" ["pool", "state"];
    /// How long a caller waited for a connection of a pool, be it in vain.
    pool_wait_seconds: HistogramVec = "datastorage_pool_wait_seconds" ["pool"];
    /// Most connections that a pool may have.
    pool_connections_max: IntGaugeVec = "datastorage_pool_connections_max" ["pool"];
    /// Time of a database transaction, by the name that opens its statements.
    db_transaction_duration_seconds: HistogramVec = "datastorage_db_transaction_duration_seconds" ["name"];
    /// Whether a database answered the last probe (1) or not (0), by pool.
    database_up: IntGaugeVec = "datastorage_database_up" ["pool"];
    /// Whether a database serves what it is asked (1) or not (0), by pool: it answers, takes writes where it is written to, and of the
    /// requests of the last ten seconds some succeeded.
    database_serving: IntGaugeVec = "datastorage_database_serving" ["pool"];
    /// Whether a node of a distributed database answered the coordinator at the last probe (1) or not (0). One without nodes has none.
    database_node_up: IntGaugeVec = "datastorage_database_node_up" ["node"];
    /// Size of a database on disk (audit, vector), as of the last minute.
    database_size_bytes: IntGaugeVec = "datastorage_database_size_bytes" ["database"];
    /// How far the read database is behind its primary; 0 where it is the primary.
    replica_lag_seconds: Gauge = "datastorage_replica_lag_seconds";
    /// Months after this one whose partition is there.
    partitions_ahead_months: IntGauge = "datastorage_partitions_ahead_months";
    /// Connections from clients that are open now.
    client_connections: IntGauge = "datastorage_client_connections";
    /// Most connections from clients that may be open.
    client_connections_max: IntGauge = "datastorage_client_connections_max";
    /// When the certificate of the REST API ends, as seconds since 1970; 0 without TLS.
    tls_certificate_expiry_timestamp_seconds: IntGauge = "datastorage_tls_certificate_expiry_timestamp_seconds";
    /// Spans of traces, by result (exported, dropped).
    trace_spans_total: IntCounterVec = "datastorage_trace_spans_total" ["result"];
    /// 1, with the version of the program and the commit that it is made from.
    build_info: IntGaugeVec = "datastorage_build_info" ["version", "commit"];
}
