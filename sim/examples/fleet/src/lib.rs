//! A fleet on simulated hosts: mesh daemons, controllers, agents and nginx, several programs on each host.
//!
//! A controller deploys releases. The agent of each host makes an nginx configuration from a release, tests it,
//! replaces the live file atomically, makes nginx load it, and reports a version once nginx serves nothing else.
//!
//! - [`release`], [`messages`]: the data.
//! - [`controller`], [`agent`]: the processes. nginx and the resolver are fakes of the simulator.
//! - [`programs`], [`system`]: the programs, and the table that puts them on hosts.
//! - [`facts`], [`invariants`]: the properties that must hold.
//!
//! [`renewal`] is a second system: a fleet that renews its certificates.

pub mod agent;
pub mod controller;
pub mod facts;
pub mod invariants;
pub mod messages;
pub mod programs;
pub mod release;
pub mod renewal;
pub mod system;
