//! What can be wrong in a document is executed: the README's commands, the OpenAPI document, the lists of settings, metrics
//! and errors, the files of deploy/.

#[path = "../support/mod.rs"]
mod support;

mod deploy;
mod openapi;
mod pages;
