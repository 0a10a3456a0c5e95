//! What every request passes through, and every answer.

pub mod answer;
mod coding;
pub mod cors;
pub mod request;

pub use coding::{Coding, Unreadable, coding_of, decompressed};
