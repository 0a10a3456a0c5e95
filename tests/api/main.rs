//! The REST API from outside, on the built program and a real PostgreSQL.
#![allow(clippy::disallowed_methods)] // a test reads the time and its own settings where it needs them

#[path = "../support/mod.rs"]
mod support;

mod attempts;
mod bad_requests;
mod command_line;
mod console;
mod conventions;
mod embedders;
mod facts;
mod go_clients;
mod health_and_metrics;
mod idempotency;
mod import;
mod incident_facts;
mod list_incidents;
mod mcp;
mod outcomes;
mod posted_fields;
mod questions;
mod rate_limits;
mod recall;
mod search;
mod targets;
mod tls;
mod tokens;
mod totals;
mod traces;
mod vectors;
