//! Upgrades: of filled databases of every schema that was released or landed, beside traffic, and beside an older program.

mod captured;
mod distributed;
mod indexes;
mod locks;
