//! The actors of the Data Storage Service, each with its pool, and the rules that they work by. Nothing here knows HTTP.

mod attempts;
pub mod auth;
pub mod check;
pub mod db;
pub mod domain;
pub mod embedder;
pub mod error;
pub mod fuzzed;
pub mod handle;
pub mod metrics;
pub mod migrate;
pub mod outbox;
pub mod pg_writer;
pub mod query;
pub mod reindex;
pub mod retention;
mod shards;
pub mod similarity;
mod single_flight;
pub mod supervise;
pub mod totals;
pub mod trace;
pub mod vector_writer;
pub mod waiting;
