//! A fleet on simulated hosts: one host runs a mesh daemon and a controller, the others run a mesh daemon, an agent
//! and a fake nginx.
//!
//! [`controller`], [`agent`] and [`nginx`] are processes; [`messages`] go between them; [`system`] is the table that
//! puts the programs on hosts.

pub mod agent;
pub mod controller;
pub mod messages;
pub mod nginx;
pub mod system;
