//! The words of a system: what scenario files may ask of it.

use serde_json::Value;

/// Says what is wrong with what goes with a word.
pub type Check = fn(&str, &Value) -> Result<(), String>;

/// The words of a system.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    /// The name of the system.
    pub name: &'static str,
    /// The events that its nodes report.
    pub events: Vec<&'static str>,
    /// The conditions it can judge, besides `converged`, `event`, `state` and `agree`, which every system has.
    pub conditions: Vec<&'static str>,
    /// The metrics it has, besides those of traffic, which every system has.
    pub metrics: Vec<&'static str>,
    /// Figures of single nodes that metrics may bound (`ProcessView::gauge`).
    pub gauges: Vec<&'static str>,
    /// The programs that hosts run.
    pub programs: Vec<&'static str>,
    /// The commands of a workload.
    pub commands: Vec<&'static str>,
    /// Those of the commands that real daemons cannot be given, so that the engine `wire` refuses them.
    pub simulated_commands: Vec<&'static str>,
    /// Whether its processes have certificates, to which the step `certificate` can do something.
    pub certificates: bool,
    /// Says what is wrong with what goes with a command, or with a condition of the system's own.
    pub check: Option<Check>,
    /// The mechanisms that can be broken on purpose.
    pub sabotage: Vec<&'static str>,
}
