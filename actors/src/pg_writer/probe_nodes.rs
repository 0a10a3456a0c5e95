use super::PgWriterActor;
use crate::db::pool::Pool;
use crate::db::sqlstate::DatabaseError;
use crate::db::transaction::Transaction;
use crate::error::ActorError;
use crate::shards::Node;
use actix::prelude::*;
use std::time::Duration;

/// Asks which nodes the coordinator does not reach, where the tables are distributed.
#[derive(Message)]
#[rtype(result = "Result<Vec<String>, ActorError>")]
pub struct ProbeNodes;

/// How long the coordinator may take to list the nodes, and then each of them to answer: together less than who asks waits.
const LIST: Duration = Duration::from_millis(900);
const ANSWER: Duration = Duration::from_secs(2);

impl Handler<ProbeNodes> for PgWriterActor {
    type Result = ResponseFuture<Result<Vec<String>, ActorError>>;

    fn handle(&mut self, _: ProbeNodes, _: &mut Self::Context) -> Self::Result {
        let (pool, metrics) = (self.pool(), self.metrics().clone());
        Box::pin(async move {
            let pool = pool?;
            let mut away = Vec::new();
            let nodes = list(&pool).await?;
            let up = futures_util::future::join_all(nodes.iter().map(|node| is_up(&pool, node))).await;
            for (node, up) in nodes.iter().zip(up) {
                metrics.database_node_up.with_label_values(&[&node.to_string()]).set(up.into());
                if !up {
                    away.push(node.to_string());
                }
            }
            Ok(away)
        })
    }
}

async fn list(pool: &Pool) -> Result<Vec<Node>, DatabaseError> {
    let mut connection = pool.get().await?;
    let read = async |tx: &mut Transaction<'_>| {
        let list = tx.prepare(include_str!("list_nodes.sql")).await?;
        tx.client().query(&list, &[]).await
    };
    let rows = connection.autocommit("pg_writer.list_nodes", LIST, read).await?;
    let node = |row: &tokio_postgres::Row| Node {
        host: row.get("host"),
        port: u16::try_from(row.get::<_, i32>("port")).unwrap_or(5432),
    };
    Ok(rows.iter().map(node).collect())
}

/// Whether the coordinator reaches a node. One that does not say so in time does not.
async fn is_up(pool: &Pool, node: &Node) -> bool {
    let Ok(mut connection) = pool.get().await else { return true }; // the coordinator itself is another part's matter
    let ask = async |tx: &mut Transaction<'_>| {
        let check = "-- pg_writer.probe_node\nSELECT citus_check_connection_to_node($1, $2)";
        let check = tx.prepare(check).await?;
        Ok(tx.client().query_one(&check, &[&node.host, &i32::from(node.port)]).await?.get::<_, bool>(0))
    };
    connection.autocommit("pg_writer.probe_node", ANSWER, ask).await.unwrap_or(false)
}
