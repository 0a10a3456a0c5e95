//! What every request passes through, and every answer.

pub mod answer;
mod coding;
pub mod cors;
mod reads;
pub mod request;

pub use coding::{Coding, Unreadable, coding_of, decompressed};
