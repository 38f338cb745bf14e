//! Reloads: the settings that change while the node runs, and the log lines about them.
//!
//! A reload is logged by its result: it changed settings, it changed nothing, or some of it failed. The log limits the
//! lines of each result, because a program may request reloads without end.

use super::{Advertised, Daemon, TakenCertificates, advertised, checked_content};
use crate::DaemonError;
use crate::config::{Advertise, DaemonSettings, Discovery};
use phalanx_core::gossip::Input;
use phalanx_core::link::Address;

/// A line of a reload.
enum ReloadLine {
    Warning(String),
    /// A setting that changed, and takes effect at the next start.
    NeedsRestart(&'static str),
    Certificates(TakenCertificates),
    Advertised(Advertised),
}

impl ReloadLine {
    const fn is_warning(&self) -> bool {
        match self {
            Self::Warning(_) | Self::NeedsRestart(_) => true,
            Self::Certificates(_) | Self::Advertised(_) => false,
        }
    }

    fn log(&self) {
        match self {
            Self::Warning(warning) => tracing::warn!("{warning}"),
            Self::NeedsRestart(key) => {
                tracing::warn!(key, "this setting changed; restart the daemon to apply it");
            }
            Self::Certificates(taken) => taken.log(&[]),
            Self::Advertised(advertised) => advertised.log(),
        }
    }
}

/// The result of a reload.
struct Reloaded {
    lines: Vec<ReloadLine>,
    /// Whether a setting or the certificate changed; `None` if the previous configuration is kept.
    changed: Option<bool>,
}

impl Reloaded {
    fn failed(problem: &str) -> Self {
        let line = format!("reload failed: keeping the previous configuration: {problem}");
        Self {
            lines: vec![ReloadLine::Warning(line)],
            changed: None,
        }
    }

    /// The name of the result, for the limits of the log.
    fn kind(&self) -> &'static str {
        match self.changed {
            None => "reload that failed",
            Some(_) if self.lines.iter().any(ReloadLine::is_warning) => "reload with warnings",
            Some(true) => "reload with changes",
            Some(false) => "reload without changes",
        }
    }

    fn log(&self) {
        for line in &self.lines {
            line.log();
        }
        match self.changed {
            None => {}
            Some(true) => tracing::info!("the configuration was reloaded"),
            Some(false) => tracing::info!("the configuration was reloaded; nothing changed"),
        }
    }
}

impl DaemonSettings {
    /// Returns the names of settings that differ and cannot change while the node runs.
    fn fixed_that_differ(&self, new: &Self) -> Vec<&'static str> {
        let fixed = [
            ("id or mesh", self.subject == new.subject),
            ("listen", self.listen == new.listen),
            ("advertise", self.advertise == new.advertise),
            ("state_dir", self.state_dir == new.state_dir),
            ("log.format", self.log_format == new.log_format),
            ("tuning", self.tuning == new.tuning),
            ("trusted_subnets", self.trusted == new.trusted),
            ("metrics.listen", self.metrics == new.metrics),
            ("registry", self.registry == new.registry),
        ];
        let differs = fixed.into_iter().filter(|(_, same)| !same);
        differs.map(|(key, _)| key).collect()
    }

    /// These settings with the changeable ones of `new`.
    fn with_changeable_of(&self, new: Self) -> Self {
        let Self {
            targets,
            discovery,
            nickname,
            kind,
            services,
            metadata,
            certificates,
            log_filter,
            ..
        } = new;
        Self {
            targets,
            discovery,
            nickname,
            kind,
            services,
            metadata,
            certificates,
            log_filter,
            ..self.clone()
        }
    }
}

impl Daemon {
    /// Applies the settings that can change while the node runs; logs the names of changed settings that cannot.
    pub(super) async fn reload(
        &mut self,
        read: Result<DaemonSettings, String>,
    ) -> Result<(), DaemonError> {
        let reloaded = match read {
            Ok(new) => self.apply(new).await?,
            Err(problems) => Reloaded::failed(&problems),
        };
        if self.log.admits_request(reloaded.kind()) {
            reloaded.log();
        }
        Ok(())
    }

    async fn apply(&mut self, new: DaemonSettings) -> Result<Reloaded, DaemonError> {
        let checked = checked_content(&new, Some(new.listen), self.node.identity().trust());
        if let Err(problem) = checked {
            return Ok(Reloaded::failed(&problem));
        }
        let mut lines = Vec::new();
        let mut changed = false;
        match self.take_certificates(&new).await? {
            Ok(taken) => {
                changed |= taken.replaced.is_some();
                self.warned.clone_from(&taken.warnings);
                lines.push(ReloadLine::Certificates(taken));
            }
            Err(problem) => lines.push(ReloadLine::Warning(format!(
                "reload failed: keeping the previous certificates: {problem}"
            ))),
        }
        let fixed = self.settings.fixed_that_differ(&new);
        lines.extend(fixed.into_iter().map(ReloadLine::NeedsRestart));
        let new = self.settings.with_changeable_of(new);
        changed |= new != self.settings;
        self.log.configure(&new.log_filter);
        let resolved = match &new.advertise {
            Advertise::At(Address::Name(_)) => Some(advertised(&new, self.node.address()).await),
            Advertise::At(Address::Socket(_)) | Advertise::Listen | Advertise::Nowhere => None,
        };
        let mut address = None;
        match resolved {
            Some(Ok(advertised)) => {
                address = advertised.address;
                lines.push(ReloadLine::Advertised(advertised));
            }
            Some(Err(problem)) => lines.push(ReloadLine::Warning(format!(
                "reload: keeping the previous advertised address: {problem}"
            ))),
            None => {}
        }
        self.announce(&new, address).await?;
        let stopped = |_| DaemonError::Run("the node has stopped".to_owned());
        if new.discovery != self.settings.discovery {
            let order = Input::Discover(new.discovery == Discovery::On);
            self.node.send(order).await.map_err(stopped)?;
        }
        if new.targets != self.settings.targets {
            let (addresses, replace) = (new.targets.clone(), true);
            let order = Input::Seeds { addresses, replace };
            self.node.send(order).await.map_err(stopped)?;
        }
        self.settings = new;
        Ok(Reloaded {
            lines,
            changed: Some(changed),
        })
    }
}
