//! The service under attack: load, crashes, and a PostgreSQL of its own.

#[path = "../support/mod.rs"]
mod support;

mod black_hole;
mod embedded;
mod load;
mod replicas;
mod totals;
