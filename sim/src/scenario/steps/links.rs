//! The steps that change chosen links, and the steps that reset connections.

use super::OwnKeysReader;
use crate::scenario::action::{NetworkAction, Pairs};
use crate::scenario::error::ScenarioError;
use crate::scenario::file::{At, LinkSettingTable, PairsTable, StepTable, Text, TextOr};
use crate::scenario::network::{Direction, LinkSetting};
use crate::scenario::text;
use crate::scenario::value::with;

/// The value of a step that changes links.
type SettingValue = At<TextOr<LinkSettingTable>>;

/// Parses the value of a setting.
type ReadSetting = fn(&str) -> Result<LinkSetting, String>;

impl OwnKeysReader<'_> {
    /// Converts the steps that change links.
    pub(super) fn links(&self, table: &StepTable) -> Result<Vec<NetworkAction>, ScenarioError> {
        let words: [(&str, &Option<SettingValue>, ReadSetting); 6] = [
            ("loss", &table.loss, |text| {
                text::share(text).map(LinkSetting::Loss)
            }),
            ("latency", &table.latency, |text| {
                text::latency(text).map(LinkSetting::Latency)
            }),
            ("bandwidth", &table.bandwidth, |text| {
                text::rate(text).map(LinkSetting::Bandwidth)
            }),
            ("mtu", &table.mtu, |text| {
                text::packet_size(text).map(LinkSetting::Mtu)
            }),
            ("duplicate", &table.duplicate, |text| {
                text::share(text).map(LinkSetting::Duplicate)
            }),
            ("corrupt", &table.corrupt, |text| {
                text::share(text).map(LinkSetting::Corrupt)
            }),
        ];
        let mut found = Vec::new();
        for (key, value, read) in words {
            if let Some(value) = value {
                found.push(self.link_setting(key, value, read)?);
            }
        }
        if let Some(reset) = &table.reset {
            found.push(NetworkAction::Reset(self.reset(reset)?));
        }
        Ok(found)
    }

    fn link_setting(
        &self,
        key: &str,
        value: &SettingValue,
        read: ReadSetting,
    ) -> Result<NetworkAction, ScenarioError> {
        match value.get_ref() {
            TextOr::Text(text) => {
                let at = value.span().start;
                let setting = read(text).map_err(|why| self.source.error(at, key, why))?;
                Ok(match setting {
                    LinkSetting::Loss(ppm) => NetworkAction::Loss(ppm),
                    LinkSetting::Latency(latency) => NetworkAction::Latency(latency),
                    LinkSetting::Bandwidth(_)
                    | LinkSetting::Mtu(_)
                    | LinkSetting::Duplicate(_)
                    | LinkSetting::Corrupt(_) => {
                        NetworkAction::Links(Pairs::All, Direction::Both, setting)
                    }
                })
            }
            TextOr::Table(table) => {
                let ends = (&table.from, &table.to, &table.fraction);
                let pairs = self.ends(key, value.span().start, ends)?;
                let direction = self.direction(table.direction.as_ref())?;
                let setting = with(self.source, &table.is, read)?;
                Ok(NetworkAction::Links(pairs, direction, setting))
            }
        }
    }

    fn reset(&self, value: &At<TextOr<PairsTable>>) -> Result<Pairs, ScenarioError> {
        let at = value.span().start;
        match value.get_ref() {
            TextOr::Text(text) => {
                let wrong = |why: String| self.source.error(at, "reset", why);
                let who = self.names.processes(text).map_err(wrong)?;
                let all = self.names.selector("all").map_err(wrong)?;
                Ok(Pairs::Between(who, all))
            }
            TextOr::Table(table) => match (&table.from, &table.to, &table.fraction) {
                // One end may consist of the processes of a program.
                (Some(from), Some(to), None) => {
                    Ok(Pairs::Between(self.processes(from)?, self.select(to)?))
                }
                ends => self.ends("reset", at, (ends.0, ends.1, ends.2)),
            },
        }
    }

    /// Reads pairs: `from` and `to`, or `fraction`.
    pub(super) fn ends(
        &self,
        key: &str,
        at: usize,
        ends: (&Option<Text>, &Option<Text>, &Option<Text>),
    ) -> Result<Pairs, ScenarioError> {
        match ends {
            (Some(from), Some(to), None) => {
                Ok(Pairs::Between(self.select(from)?, self.select(to)?))
            }
            (None, None, Some(share)) => {
                Ok(Pairs::Fraction(with(self.source, share, text::share)?))
            }
            _ => {
                let message = "needs `from` and `to`, or `fraction`";
                Err(self.source.error(at, key, message))
            }
        }
    }
}
