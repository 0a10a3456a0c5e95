//! The service under attack: load, crashes, and a PostgreSQL of its own.

#[path = "../support/mod.rs"]
mod support;

mod away;
mod black_hole;
mod clients;
mod databases;
mod embedded;
mod flood;
mod load;
mod panics;
mod pgbouncer;
mod replicas;
mod retention;
mod standby;
mod systemd;
mod torture;
mod totals;
mod upgrades;
