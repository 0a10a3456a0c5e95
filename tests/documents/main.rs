//! What can be wrong in a document is executed: the README's commands, the OpenAPI document, the lists of settings, metrics
//! and errors, the files of deploy/, the clients of examples/.
#![allow(clippy::disallowed_methods)] // a test reads the time and its own settings where it needs them

#[path = "../support/mod.rs"]
mod support;

mod blocks;
mod deploy;
mod examples;
mod kubernetes;
mod monitoring;
mod openapi;
mod pages;
mod sessions;
