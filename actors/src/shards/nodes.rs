//! The pools of the nodes that one goes straight to.

use super::Node;
use crate::db::pool::{Pool, PoolSettings};
use crate::metrics::Metrics;
use std::cell::RefCell;
use std::collections::HashMap;

#[derive(Default)]
pub(crate) struct Nodes(RefCell<HashMap<Node, Pool>>);

impl Nodes {
    /// The pool of a node. The node of each is one that Citus lists, so that there are few.
    pub fn pool(&self, node: &Node, name: &'static str, settings: &PoolSettings, metrics: &Metrics) -> Pool {
        let mut pools = self.0.borrow_mut();
        let pool = pools.entry(node.clone()).or_insert_with(|| {
            let database = settings.database.on_node(&node.host, node.port);
            Pool::new(&PoolSettings { name, database, ..settings.clone() }, metrics)
        });
        pool.clone()
    }
}
