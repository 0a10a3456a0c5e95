//! The console, in a real Chromium that is driven like a person's.
#![allow(clippy::disallowed_methods)] // a test reads the time and its own settings where it needs them

#[path = "../support/mod.rs"]
mod support;

mod access;
mod browser;
mod faults;
mod follow;
mod keyboard;
mod reader;
mod size;
mod texts;
mod views;
