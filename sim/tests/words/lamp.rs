//! A program whose own vocabulary has words of every kind: a lamp beside each mesh node.

use phalanx_core::identity::NodeId;
use phalanx_core::time::Instant;
use phalanx_sim::invariant::{Invariant, InvariantResult, Seen};
use phalanx_sim::mesh;
use phalanx_sim::scenario::{
    Arguments, Engine, Extent, FaultWord, Field, Form, OwnArguments, OwnCondition, Scenario, Shape,
    StepWord, Vocabulary, Words, any_arguments, any_text, text,
};
use phalanx_sim::world::{
    Cast, Definition, Effects, Process, ProcessEvent, ProcessView, Program, ReportedEvent, Scene,
    Start,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The program's name.
const LAMP: &str = "lamp";
/// The planted bug: the fuse does not limit the brightness.
pub(crate) const NO_FUSE: &str = "no-fuse";
/// The default value of the fuse.
const FUSE: u64 = 100;

const MODEL: &[Engine] = &[Engine::Model];

/// The vocabulary of the program.
pub(crate) fn words() -> Words {
    Words {
        program: LAMP,
        settings: &SETTINGS,
        hosts: &HOSTS,
        steps: &STEPS,
        conditions: &CONDITIONS,
        holds: vec!["bright-alike"],
        events: vec!["dimmed"],
        metrics: vec!["switched"],
        counters: vec!["dark-reports"],
        gauges: vec!["brightness"],
        commands: vec!["switch"],
        faults: &[FaultWord {
            word: "jam",
            engines: MODEL,
        }],
        check: Some(check),
        sabotage: vec![NO_FUSE],
        ..Words::default()
    }
}

static SETTINGS: [Field; 1] = [Field::empty(
    "wiring",
    "The wiring of all lamps.",
    Shape::Table(&WIRING),
)];

static WIRING: Form = Form {
    about: "How lamps are wired.",
    fields: &[Field::optional(
        "fuse",
        "The greatest brightness.",
        Shape::U32,
    )],
    check: any_arguments,
};

static HOSTS: [Field; 1] = [Field::optional(
    "brightness",
    "The brightness at the start (default 1).",
    Shape::U32,
)];

// guide: steps
static STEPS: [StepWord; 3] = [
    step("dim", "Lamps change their brightness.", Extent::Once, &DIM),
    step("jam", "Lamps obey no order.", Extent::Until("free"), &ALONE),
    step("free", "Lamps obey again.", Extent::Ends("jam"), &ALONE),
];

const fn step(
    key: &'static str,
    about: &'static str,
    extent: Extent,
    form: &'static Form,
) -> StepWord {
    StepWord {
        field: Field::optional(key, about, Shape::Table(form)),
        extent,
        steady: false,
        engines: MODEL,
    }
}

static DIM: Form = Form {
    about: "Which lamps, and how bright.",
    fields: &[
        Field::needed("who", "The nodes.", Shape::Processes),
        Field::needed("to", "The brightness.", Shape::U32),
        Field::optional("note", "Why.", Shape::Text(any_text)),
        Field::optional("over", "How long it takes.", Shape::Time(text::positive)),
    ],
    check: any_arguments,
};
// guide: end

static ALONE: Form = Form {
    about: "Which lamps.",
    fields: &[Field::needed("who", "The nodes.", Shape::Processes)],
    check: any_arguments,
};

static CONDITIONS: [Field; 1] = [Field::optional(
    "shines",
    "Some lamps are at least so bright.",
    Shape::Table(&SHINES),
)];

static SHINES: Form = Form {
    about: "Which lamps shine how brightly.",
    fields: &[
        Field::optional("who", "The nodes (default `all`).", Shape::Processes),
        Field::optional("min", "At least (default 1).", Shape::U32),
        Field::optional("max", "At most.", Shape::U32),
    ],
    check: possible,
};

fn possible(arguments: &Arguments) -> Result<(), String> {
    let (min, max) = (arguments.number("min"), arguments.number("max"));
    if min.unwrap_or(0) > max.unwrap_or(u64::MAX) {
        return Err("`min` is above `max`".to_owned());
    }
    Ok(())
}

fn check(word: &str, with: &Value) -> Result<(), String> {
    match word {
        "switch" if !with["on"].is_boolean() => {
            Err("`switch` needs `on` in `with`: true or false".to_owned())
        }
        _ => Ok(()),
    }
}

/// The mesh and lamps: every host runs both.
pub(crate) static STREET: Definition = Definition {
    name: "street",
    command: "street",
    vocabulary,
    build: |scenario, broken| {
        let mesh = mesh::new(scenario, &vocabulary().sabotage_of("mesh", broken))?;
        let fuse = scenario.settings.table("wiring");
        let fuse = fuse.and_then(|wiring| wiring.number("fuse"));
        let lamps = Lamps {
            fuse: fuse.unwrap_or(FUSE),
            broken: broken.iter().any(|word| word == NO_FUSE),
            switched: BTreeMap::new(),
        };
        Ok(Cast {
            programs: vec![Box::new(mesh), Box::new(lamps)],
            hosts: vec![vec![0, 1]; scenario.hosts.len()],
        })
    },
    recoverable: |_, _, _| Ok(()),
};

fn vocabulary() -> Vocabulary {
    Vocabulary::of("the street", [mesh::words(), words()])
}

/// All lamps of one run.
struct Lamps {
    fuse: u64,
    broken: bool,
    /// The instants at which the lamp of each host was switched.
    switched: BTreeMap<usize, Vec<u64>>,
}

/// A lamp.
#[derive(Debug)]
struct Lamp {
    brightness: u64,
    /// The maximum brightness; none if the fuse does not limit it.
    fuse: Option<u64>,
    on: bool,
    jammed: bool,
}

/// A lamp reports its brightness.
#[derive(Debug)]
struct Dimmed(u64);

impl ReportedEvent for Dimmed {
    fn described(&self) -> (&'static str, Option<&NodeId>) {
        ("dimmed", None)
    }
}

impl Lamp {
    fn shines(&self) -> u64 {
        if self.on { self.brightness } else { 0 }
    }
}

impl ProcessView for Lamp {
    fn digest(&self) -> u64 {
        self.brightness << 2 | u64::from(self.on) << 1 | u64::from(self.jammed)
    }

    fn state(&self) -> Value {
        json!({ "shines": self.shines(), "jammed": self.jammed })
    }

    fn gauge(&self, name: &str) -> Option<u64> {
        (name == "brightness").then(|| self.shines())
    }
}

impl Process for Lamp {
    fn concerns(&self, event: &ProcessEvent) -> bool {
        matches!(event, ProcessEvent::Command(command) if command.name != "announce")
    }

    fn on_event(&mut self, _: Instant, event: ProcessEvent, out: &mut Effects) {
        let ProcessEvent::Command(command) = event else {
            return;
        };
        match command.name.as_str() {
            "jam" => self.jammed = true,
            "free" => self.jammed = false,
            _ if self.jammed => {}
            "switch" => self.on = command.with["on"] == true,
            "dim" => {
                let to = command.with["to"].as_u64().unwrap_or_default();
                self.brightness = to.min(self.fuse.unwrap_or(u64::MAX));
                out.report(Dimmed(self.brightness));
            }
            other => panic!("a lamp has no order `{other}`"),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn view(&self) -> &dyn ProcessView {
        self
    }
}

impl Program for Lamps {
    fn name(&self) -> &'static str {
        LAMP
    }

    fn start(&mut self, start: Start<'_>) -> Box<dyn Process> {
        Box::new(Lamp {
            brightness: start.spec().own.number("brightness").unwrap_or(1),
            fuse: (!self.broken).then_some(self.fuse),
            on: true,
            jammed: false,
        })
    }

    fn after_step(&mut self, seen: &Seen<'_>) {
        self.switched.entry(seen.host).or_default().push(seen.now);
    }

    fn invariants(&self, _: &Scenario) -> Vec<Box<dyn Invariant>> {
        vec![Box::new(Fused(self.fuse))]
    }

    fn settled(&self, scene: &Scene<'_>) -> Result<(), String> {
        match scene.of::<Lamp>().find(|(_, lamp)| lamp.jammed) {
            None => Ok(()),
            Some((host, _)) => Err(format!("{} is jammed", scene.name(host))),
        }
    }

    fn holds(&self, scene: &Scene<'_>, condition: &OwnCondition) -> Result<(), String> {
        let lamps = scene.observers_of::<Lamp>(&condition.who)?;
        match &condition.said {
            OwnArguments::Keyed(with) => {
                let (min, max) = (with.number("min"), with.number("max"));
                let bound = min.unwrap_or(1)..=max.unwrap_or(u64::MAX);
                match lamps
                    .iter()
                    .find(|(_, lamp)| !bound.contains(&lamp.shines()))
                {
                    None => Ok(()),
                    Some((host, lamp)) => {
                        Err(format!("{} shines {}", scene.name(*host), lamp.shines()))
                    }
                }
            }
            OwnArguments::With(_) => {
                let first = lamps[0].1.shines();
                match lamps.iter().find(|(_, lamp)| lamp.shines() != first) {
                    None => Ok(()),
                    Some((host, _)) => Err(format!("{} differs", scene.name(*host))),
                }
            }
        }
    }

    fn metric(
        &self,
        _: &Scene<'_>,
        word: &str,
        who: &[usize],
        (from, to): (u64, u64),
    ) -> Result<u64, String> {
        assert_eq!(word, "switched");
        let all = who.iter().filter_map(|host| self.switched.get(host));
        let inside = all.flatten().filter(|at| (from..to).contains(at));
        Ok(inside.count() as u64)
    }

    fn counts(&self, _: &Scene<'_>, word: &str, event: &dyn ReportedEvent) -> bool {
        assert_eq!(word, "dark-reports");
        event.of::<Dimmed>().is_some_and(|dimmed| dimmed.0 == 0)
    }
}

/// No lamp exceeds the brightness that the fuse allows.
struct Fused(u64);

impl Invariant for Fused {
    fn name(&self) -> &'static str {
        "fused"
    }

    fn after_step(&mut self, seen: &Seen<'_>, _: &dyn Program) -> InvariantResult {
        let lamp = seen.view.of::<Lamp>();
        match lamp.filter(|lamp| lamp.brightness > self.0) {
            Some(lamp) => Err(format!("has {}", lamp.brightness)),
            None => Ok(()),
        }
    }
}
