//! The service under attack: load, crashes, and a PostgreSQL of its own.
#![allow(clippy::disallowed_methods)] // a test reads the time and its own settings where it needs them

#[path = "../support/mod.rs"]
mod support;

mod alerts;
mod away;
mod backup;
mod black_hole;
mod busy;
mod clients;
mod databases;
mod embedded;
mod flood;
mod load;
mod memory;
mod nodes;
mod obstacles;
mod panics;
mod pgbouncer;
mod pictures;
mod replicas;
mod retention;
mod retention_beside;
mod rolling;
mod serving;
mod standby;
mod systemd;
mod torture;
mod totals;
mod upgrades;
