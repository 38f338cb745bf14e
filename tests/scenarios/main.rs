//! Tests of the scenario files: each passes, each can fail, and each invariant catches its planted
//! bug.

mod away;
mod files;
mod golden;
mod hunt;
mod latencies;
mod passes;
mod planted;
mod search;
mod self_check;
mod wrong;
