//! Simulated worlds: hosts, programs and processes.
//!
//! A world consists of hosts that run programs. The engine handles hosts, clocks, disks, connections, datagrams and
//! time: it delivers a [`ProcessEvent`] to a [`Process`], performs its [`Effects`], and schedules it. A [`Program`]
//! creates the processes of one kind, keeps the data that their conditions and invariants need, and defines when they
//! have settled. A system is a [`Definition`]: its vocabulary ([`Vocabulary`](crate::scenario::Vocabulary)), and the
//! assignment of programs to hosts ([`Cast`]). A [`Scene`] is a world at one instant, with the names of the scenario.
//!
//! The mesh ([`MESH`](crate::mesh::MESH)) is a system; docs/your-own-machine.md shows how to write another.

pub mod local;
pub mod process;
pub mod program;
pub mod scene;

pub use local::{
    Answered, FileContent, Finished, Invocation, LocalHost, ProcessSignal, Query, Ran, Read,
    ReadOf, Reading, ResolveError, Resolved, Running, Signalling,
};
pub use process::{
    CloseReason, Command, DialError, DialId, Effect, Effects, InputInfo, LinkId, Message, Process,
    ProcessEvent, ProcessView, ReportedEvent, Ticket, Writing,
};
pub use program::{
    Cast, Definition, MeasuredMetric, ProcessStartError, Program, Start, StartFailed,
};
pub use scene::{HostTraffic, Scene, World, value};
