//! The rules of the product, without a database or a socket: what an audit is, when two audits are the
//! same, and how the audits of one remediation request add up to one incident.

pub mod attributes;
pub mod audit;
pub mod audit_filter;
pub mod audit_id;
pub mod audit_text;
pub mod bucket;
pub mod content;
pub mod copied_facts;
pub mod cursor;
pub mod dimension;
pub mod embedding_job;
pub mod facets;
pub mod facts;
pub mod fields;
pub mod filter;
pub mod go_duration;
pub mod identity;
pub mod incident;
pub mod invalid;
pub mod json;
pub mod long_text;
pub mod outcome;
pub mod parameters;
pub mod remediation;
pub mod search;
pub mod severity;
pub mod span;
pub mod status;
pub mod time;
pub mod totals;
pub mod traceparent;
pub mod walk;
pub mod words;
pub mod workflow;
pub mod workload;
