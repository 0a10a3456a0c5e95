//! The HTTP edge of the Data Storage Service: it parses requests, sends each to one actor, and maps the reply. The actors
//! and the rules of the domain are in `data-storage-actors`.

mod actors;
pub mod cli;
pub mod config;
mod connection;
pub mod embedded;
mod extract;
mod health;
mod json_rpc;
mod mcp;
mod middleware;
mod migrations;
pub mod openapi;
pub mod problem;
mod recent_attempts;
mod routes;
pub mod startup;
mod state;
mod systemd;
pub mod telemetry;
mod tls;
mod traces;
mod visible;
