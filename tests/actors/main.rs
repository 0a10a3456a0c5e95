//! The actors from behind their handles, and the statements that they send.
#![allow(clippy::disallowed_methods)] // a test reads the time and its own settings where it needs them

mod handles;
mod house;
mod sql;
