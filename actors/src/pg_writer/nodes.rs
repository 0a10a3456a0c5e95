//! The pools of the nodes that flushes go straight to.

use super::PgWriterSettings;
use super::shards::Node;
use crate::db::pool::{Pool, PoolSettings};
use crate::metrics::Metrics;
use std::cell::RefCell;
use std::collections::HashMap;

#[derive(Default)]
pub(super) struct Nodes(RefCell<HashMap<Node, Pool>>);

impl Nodes {
    /// The pool of a node. The node of each is one that Citus lists, so that there are few.
    pub fn pool(&self, node: &Node, settings: &PgWriterSettings, metrics: &Metrics) -> Pool {
        let mut pools = self.0.borrow_mut();
        let pool = pools.entry(node.clone()).or_insert_with(|| {
            let database = settings.pool.database.on_node(&node.host, node.port);
            Pool::new(&PoolSettings { name: "write_node", database, ..settings.pool.clone() }, metrics)
        });
        pool.clone()
    }
}
