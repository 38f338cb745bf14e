//! The renewal as a system: one host runs the issuer, and each other host runs a member.

use super::issuer::{self, Issuer, issued};
use super::member::{Birth, RenewingMember, SET_CLOCK};
use crate::system::runs;
use core::net::SocketAddr;
use core::time::Duration;
use phalanx_core::time::Wall;
use phalanx_sim::address::address;
use phalanx_sim::invariant::{Invariant, InvariantResult, Seen};
use phalanx_sim::scenario::plan::{Plan, ScheduledAction};
use phalanx_sim::scenario::{
    Arguments, Field, Form, Host, Scenario, Shape, Vocabulary, Words, any_arguments, text,
};
use phalanx_sim::world::{
    Cast, Definition, Process, ProcessEvent, ProcessView, Program, Scene, Start,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// The role of the host that runs the issuer.
const ISSUER: &str = "issuer";
/// The number of members that each member dials.
const DIALS: usize = 2;
/// The default lifetime of a certificate.
const LIFE: Duration = Duration::from_secs(24 * 3_600);
/// The time within which a member notices that its certificate is not valid and obtains another, even if some requests
/// are lost.
const NOTICED: Duration = Duration::from_secs(90);

/// The planted bug: all members draw the same random choices.
const SAME_SEED: &str = "same-seed";
/// The planted bug: a failed request is not retried.
const UNRETRIED: &str = "unretried";

/// A fleet that renews its certificates.
pub static RENEWAL: Definition = Definition {
    name: "renewal",
    command: "cargo run --",
    vocabulary,
    build,
    recoverable,
};

/// Recovery is possible if the issuer runs and no step changes a clock.
fn recoverable(scenario: &Scenario, plan: &Plan, at: Duration) -> Result<(), String> {
    let mut orders = plan.actions.iter();
    if orders.any(|planned| matches!(planned.action, ScheduledAction::Clock { .. })) {
        return Err("clocks differ".to_owned());
    }
    let issuer = scenario.hosts.iter().position(is_issuer);
    match issuer.filter(|host| runs(plan, *host, at)) {
        Some(_) => Ok(()),
        None => Err("the issuer does not run".to_owned()),
    }
}

static SETTINGS: [Field; 1] = [Field::empty(
    "certificates",
    "The certificates of the fleet.",
    Shape::Table(&CERTIFICATES),
)];

static CERTIFICATES: Form = Form {
    about: "The certificates that the issuer makes, and those that the members start with.",
    fields: &[Field::optional(
        "life",
        "How long a certificate is valid (default `24h`).",
        Shape::Time(text::positive),
    )],
    check: any_arguments,
};

fn vocabulary() -> Vocabulary {
    let issuer = Words {
        program: "issuer",
        settings: &SETTINGS,
        ..Words::default()
    };
    let member = Words {
        program: "member",
        events: vec!["renewed", "renewal-failed", "link-expired", "clock-set"],
        commands: vec![SET_CLOCK],
        check: Some(check),
        sabotage: vec![SAME_SEED, UNRETRIED],
        ..Words::default()
    };
    Vocabulary::of("the renewal", [issuer, member])
}

fn check(_: &str, with: &Value) -> Result<(), String> {
    match with["seconds"].as_u64() {
        Some(_) => Ok(()),
        None => Err(
            "`set-clock` needs `seconds`, the time by which the clock is set forward".to_owned(),
        ),
    }
}

fn life(settings: &Arguments) -> Duration {
    let table = settings.table("certificates");
    table.and_then(|table| table.time("life")).unwrap_or(LIFE)
}

fn is_issuer(host: &Host) -> bool {
    host.role.as_deref() == Some(ISSUER)
}

fn build(scenario: &Scenario, sabotage: &[String]) -> Result<Cast, String> {
    let hosts = || scenario.hosts.iter();
    let Some(issuer) = hosts().position(is_issuer) else {
        return Err("no node has the role `issuer`".to_owned());
    };
    let members = hosts().enumerate().filter(|(_, host)| !is_issuer(host));
    let mut address = address(issuer);
    address.set_port(issuer::PORT);
    let has = |word: &str| sabotage.iter().any(|it| it == word);
    let members = Members {
        hosts: members.map(|(host, _)| host).collect(),
        issuer: address,
        moved: BTreeMap::new(),
        same_seed: has(SAME_SEED),
        unretried: has(UNRETRIED),
    };
    if members.hosts.len() <= 2 * DIALS {
        return Err(format!("needs at least {} members", 2 * DIALS + 1));
    }
    Ok(Cast {
        programs: vec![Box::new(Issuers), Box::new(members)],
        hosts: hosts()
            .map(|host| vec![usize::from(!is_issuer(host))])
            .collect(),
    })
}

/// No member is without a valid certificate for long, whatever happens to its clock or to a request.
#[derive(Default)]
struct CertificateIsValid {
    /// The time in nanoseconds since which the certificate of each host is not valid.
    invalid: BTreeMap<usize, u64>,
    checked: u64,
}

impl Invariant for CertificateIsValid {
    fn name(&self) -> &'static str {
        "certificate-is-valid"
    }

    fn after_step(&mut self, seen: &Seen<'_>, _: &dyn Program) -> InvariantResult {
        self.checked += 1;
        if seen
            .view
            .of::<RenewingMember>()
            .is_none_or(RenewingMember::is_valid)
        {
            self.invalid.remove(&seen.host);
            return Ok(());
        }
        let since = *self.invalid.entry(seen.host).or_insert(seen.now);
        if Duration::from_nanos(seen.now - since) < NOTICED {
            return Ok(());
        }
        Err("has no valid certificate for a long time".to_owned())
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }

    fn on_start(&mut self, host: usize) {
        self.invalid.remove(&host);
    }
}

struct Issuers;

impl Program for Issuers {
    fn name(&self) -> &'static str {
        "issuer"
    }

    fn start(&mut self, start: Start<'_>) -> Box<dyn Process> {
        Box::new(Issuer::new(start.wall, life(&start.scenario.settings)))
    }

    fn settled(&self, _: &Scene<'_>) -> Result<(), String> {
        Ok(())
    }
}

struct Members {
    /// The hosts of the members, in the order of the ring.
    hosts: Vec<usize>,
    issuer: SocketAddr,
    /// The number of seconds by which the clock of each host was moved. A machine's clock keeps this offset without
    /// power.
    moved: BTreeMap<usize, u64>,
    same_seed: bool,
    unretried: bool,
}

impl Members {
    /// Returns the hosts that the member of a host dials: the next members on the ring.
    fn dials(&self, host: usize) -> Vec<usize> {
        let from = self.hosts.iter().position(|it| *it == host);
        let after = self.hosts.iter().cycle().skip(from.unwrap_or(0) + 1);
        after
            .take(DIALS.min(self.hosts.len() - 1))
            .copied()
            .collect()
    }
}

impl Program for Members {
    fn name(&self) -> &'static str {
        "member"
    }

    fn start(&mut self, mut start: Start<'_>) -> Box<dyn Process> {
        let seed = if self.same_seed {
            0
        } else {
            start.random.next_u64()
        };
        let moved = self.moved.get(&start.host).copied().unwrap_or_default();
        let wall = Wall(start.wall.0 + moved);
        Box::new(RenewingMember::new(Birth {
            host: start.host,
            dials: self.dials(start.host),
            issuer: self.issuer,
            started: start.wall,
            moved,
            validity: issued(wall, life(&start.scenario.settings)),
            seed,
            unretried: self.unretried,
        }))
    }

    fn before_event(&mut self, host: usize, _: &dyn ProcessView, event: &ProcessEvent) {
        if let ProcessEvent::Command(command) = event
            && let Some(seconds) = command.with["seconds"].as_u64()
        {
            *self.moved.entry(host).or_default() += seconds;
        }
    }

    fn invariants(&self, _: &Scenario) -> Vec<Box<dyn Invariant>> {
        vec![Box::new(CertificateIsValid::default())]
    }

    /// Every member has a valid certificate and all its links, and every link uses the current certificates of both
    /// ends.
    fn settled(&self, scene: &Scene<'_>) -> Result<(), String> {
        for (host, member) in scene.of::<RenewingMember>() {
            let (name, has, outdated) = (scene.name(host), member.links(), member.outdated_links());
            if !member.is_valid() {
                return Err(format!("the certificate of {name} is not valid"));
            }
            if (has, outdated) != (2 * DIALS, 0) {
                return Err(format!(
                    "{name} has {has} links, {outdated} of them outdated"
                ));
            }
        }
        Ok(())
    }
}
