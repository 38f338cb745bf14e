//! Timings and bounds.

use super::key::DaemonKey;
use phalanx_core::gossip::{Tuning, TuningKey};
use phalanx_net::configuration::{Layers, SettingKey as _};

/// Returns the defaults, overridden by the given values.
pub(super) fn read(layers: &mut Layers<DaemonKey>) -> Tuning {
    let mut tuning = Tuning::default();
    for key in TuningKey::ALL {
        if let Some(number) = DaemonKey::named(key.path).and_then(|key| layers.number(key)) {
            // The layers have already checked the same bounds.
            let _checked = key.set(&mut tuning, number);
        }
    }
    for conflict in tuning.conflicts() {
        let (low, high) = (
            DaemonKey::named(conflict.low.path),
            DaemonKey::named(conflict.high.path),
        );
        let why = format!(
            "is {} ms, more than {} ({} ms); give them in this order",
            conflict.numbers.0, conflict.high.path, conflict.numbers.1
        );
        if let Some(low) = low {
            layers.conflict(low, high, why);
        }
    }
    tuning
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_operators_are_those_of_the_table() {
        let of_table = TuningKey::ALL.into_iter();
        let of_table = of_table.filter(|key| key.is_for_operators);
        let of_table: Vec<_> = of_table.map(|key| key.path).collect();
        let own = DaemonKey::ALL
            .iter()
            .filter(|key| key.name().starts_with("tuning."));
        assert_eq!(
            own.clone().map(|key| key.name()).collect::<Vec<_>>(),
            of_table
        );
        for key in own {
            let variable = key.name().replace('.', "_").to_uppercase();
            assert_eq!(key.variable(), format!("PHALANX_{variable}"));
        }
    }

    #[test]
    fn the_example_and_the_documentation_show_every_setting_with_its_default() {
        let example = include_str!("../../phalanxd.example.toml");
        let docs = include_str!("../../../../docs/running-a-mesh.md");
        for key in TuningKey::ALL
            .into_iter()
            .filter(|key| key.is_for_operators)
        {
            let default = key.get(&Tuning::default());
            let line = format!("# {} = {default}", key.name);
            assert!(example.lines().any(|text| text == line), "{line}");
            let row = format!(
                "| `{}` | {default} | {} | {} |",
                key.name, key.min, key.about
            );
            assert!(docs.lines().any(|text| text == row), "{row}");
        }
    }
}
