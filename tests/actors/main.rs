//! The actors from behind their handles, and the statements that they send.

mod handles;
mod house;
mod sql;
