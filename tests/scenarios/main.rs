//! The scenario files: each passes, each can fail, and each invariant catches the bug it is there for.

mod files;
mod golden;
mod passes;
mod search;
mod self_check;
mod wrong;
