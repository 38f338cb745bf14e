//! The daemon as a process: what it says, how it ends, and what it makes of bad input.

mod bad_input;
mod daemon;
mod life;
mod mesh;
mod place;
