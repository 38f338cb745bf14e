//! The part of the demo about two regions: copies, a cut, a refused write, a heal.

use super::tool::ToolPath;
use super::{Looked, Stage, name};
use crate::failure::CommandError;
use crate::fleet::Fleet;
use phalanx_core::registry::name::RegionId;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;
use std::time::Instant;

/// The regions; the first one is the primary region.
const REGIONS: [&str; 2] = ["eu", "us"];
/// Index of the registry of the primary region.
const OWNER: usize = 0;
/// Index of the other registry.
const OTHER: usize = 1;

/// The part of `phalanx registry status --json` that the demo reads.
#[derive(Deserialize)]
struct RegistryState {
    region: String,
    serving: bool,
    obstacle: String,
    copies: Vec<CopyState>,
}

/// The state of a copy.
#[derive(Deserialize)]
struct CopyState {
    region: String,
    following: bool,
    lag: u64,
}

fn service(id: &str) -> String {
    format!("name: services/{id}\n")
}

/// Whether both registries take writes and have the latest batches of each other.
fn linked(tool: &ToolPath, fleet: &Fleet) -> Result<Looked<()>, CommandError> {
    for index in [OWNER, OTHER] {
        let state: RegistryState = tool.ask(fleet, index, &["registry", "status"])?;
        let copy = state
            .copies
            .iter()
            .find(|it| it.region == REGIONS[1 - index]);
        if !state.serving {
            return Ok(Err(format!("{}: {}", state.region, state.obstacle)));
        }
        if !copy.is_some_and(|it| it.following && it.lag == 0) {
            return Ok(Err(format!(
                "{} has no current copy of the other region",
                state.region
            )));
        }
    }
    Ok(Ok(()))
}

/// Writes an object at a registry; returns the refusal, if it is refused.
fn written(
    tool: &ToolPath,
    fleet: &Fleet,
    index: usize,
    file: &Path,
    id: &str,
) -> Result<Looked<()>, CommandError> {
    std::fs::write(file, service(id)).map_err(CommandError::failed)?;
    let file = file.display().to_string();
    let answer = tool.ask::<Value>(fleet, index, &["registry", "apply", "-f", &file]);
    Ok(answer.map(drop).map_err(|refusal| refusal.to_string()))
}

fn exists(tool: &ToolPath, fleet: &Fleet, index: usize, id: &str) -> Looked<()> {
    let name = format!("services/{id}");
    let answer = tool.ask::<Value>(fleet, index, &["registry", "get", &name]);
    answer.map(drop).map_err(|failure| failure.to_string())
}

impl Stage<'_> {
    /// Two regions copy each other, are cut and heal.
    pub(super) fn regions(&mut self) -> Result<(), CommandError> {
        let regions = REGIONS.iter().map(|region| region.parse::<RegionId>());
        let regions: Vec<_> = regions
            .collect::<Result<_, _>>()
            .map_err(CommandError::failed)?;
        let mut fleet = Fleet::prepare("regions", REGIONS.len(), |_| Vec::new(), &regions)?;
        let result = self.two_regions(&mut fleet);
        let ended = fleet.end();
        result.and(ended)
    }

    fn two_regions(&mut self, fleet: &mut Fleet) -> Result<(), CommandError> {
        let file = fleet.folder().join("object.yaml");
        self.title("Two regions")?;
        self.say(format!(
            "{} runs the registry of region eu, the primary one, and {} that of us. Each copies the objects of the other.",
            name(fleet, OWNER),
            name(fleet, OTHER)
        ))?;
        let start = Instant::now();
        fleet.start_all()?;
        let (_, took) = self.until("linking the regions", start, fleet, linked)?;
        self.say(format!("After {took} both follow each other."))?;
        let asked = Instant::now();
        let write = |tool: &ToolPath, fleet: &Fleet| written(tool, fleet, OTHER, &file, "shop");
        self.until("writing a service", asked, fleet, write)?;
        self.say("A service is written at us: us routes the write to eu, which owns services, and reads it in its copy.")?;
        self.title("The regions are cut")?;
        self.say(format!("{} is killed by SIGKILL.", name(fleet, OWNER)))?;
        fleet.daemon(OWNER).kill()?;
        let asked = Instant::now();
        let refused = |tool: &ToolPath, fleet: &Fleet| {
            let refusal = written(tool, fleet, OTHER, &file, "late")?;
            let is_clear = |text: &String| text.contains("region eu owns it and cannot be reached");
            Ok(match refusal {
                Err(text) if is_clear(&text) => Ok(text),
                Err(text) => Err(text),
                Ok(()) => Err("the write was taken".to_owned()),
            })
        };
        let (refusal, _) = self.until("refusing a write", asked, fleet, refused)?;
        self.say("us refuses a write to a service, and says why:")?;
        self.say(refusal.trim())?;
        let read = |tool: &ToolPath, fleet: &Fleet| Ok(exists(tool, fleet, OTHER, "shop"));
        self.until("reading the copy", asked, fleet, read)?;
        self.say("It reads the service from its copy.")?;
        self.title("The regions heal")?;
        let start = Instant::now();
        fleet.daemon(OWNER).start()?;
        let (_, took) = self.until("healing", start, fleet, linked)?;
        let write = |tool: &ToolPath, fleet: &Fleet| written(tool, fleet, OTHER, &file, "late");
        self.until("writing again", start, fleet, write)?;
        let read = |tool: &ToolPath, fleet: &Fleet| Ok(exists(tool, fleet, OWNER, "late"));
        self.until("reading at the owner", start, fleet, read)?;
        self.say(format!(
            "{} starts again. After {took} both follow each other, and us takes the write that it refused.",
            name(fleet, OWNER)
        ))
    }
}
