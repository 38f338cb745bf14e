//! A made-up daemon, the lighthouse, with settings of its own: what it takes, and which problems it reports.

use super::{
    DaemonProgram, Layers, Setting, SettingKey as _, SettingSource, Unit, inconsistencies, keys,
};
use core::ops::RangeInclusive;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

keys! {
    /// A setting of the lighthouse.
    enum SettingKey {
        Period = Setting::number("lamp.period_ms", "LIGHTHOUSE_LAMP_PERIOD_MS", Unit::Milliseconds, 100..=60_000)
            .flag("--period"),
        Ships = Setting::list("ships", "LIGHTHOUSE_SHIPS").flag("--ship"),
        Password = Setting::text("harbour.password", "LIGHTHOUSE_HARBOUR_PASSWORD").secret(),
    }
}

const PROGRAM: DaemonProgram = DaemonProgram::new("lighthouse", "LIGHTHOUSE_")
    .documents(&["LIGHTHOUSE_CHART"])
    .read_elsewhere(&["LIGHTHOUSE_CONFIG"]);

const GOOD: &str = r#"
ships = ["vega", "mira"]
[lamp]
period_ms = 5_000
[harbour]
password = "from-file"
"#;

/// A ship's name has lower-case letters only.
fn ship(text: &str) -> Result<String, &'static str> {
    if text.bytes().all(|byte| byte.is_ascii_lowercase()) {
        Ok(text.to_owned())
    } else {
        Err("is not a valid name; use a-z")
    }
}

/// A password of the lighthouse, which is long.
struct Password(String);

impl core::str::FromStr for Password {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() < 8 {
            return Err("is too short; use at least 8 letters");
        }
        Ok(Self(text.to_owned()))
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Settings {
    period: Duration,
    ships: Vec<String>,
    password: String,
    chart: Option<String>,
    warnings: Vec<String>,
}

/// Reads the file, whose path is `FILE` in problems, the variables and the flags.
fn load(
    file: Option<&str>,
    variables: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Settings, Vec<String>> {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("lighthouse.toml");
    if let Some(file) = file {
        fs::write(&path, file).unwrap();
    }
    let variables = variables
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let flags = flags.iter().map(|(flag, text)| (*flag, (*text).to_owned()));
    let path = file.map(|_| path.as_path());
    let named = |problem: String| match path {
        Some(path) => problem.replace(path.to_str().unwrap(), "FILE"),
        None => problem,
    };
    read(path, variables, flags).map_err(|problems| problems.into_iter().map(named).collect())
}

fn read<'a>(
    path: Option<&Path>,
    variables: impl Iterator<Item = (OsString, OsString)>,
    flags: impl Iterator<Item = (&'a str, String)>,
) -> Result<Settings, Vec<String>> {
    let mut layers = Layers::<SettingKey>::read(&PROGRAM, path, variables, flags)?;
    let period = layers.duration(SettingKey::Period);
    let ships = layers.items(SettingKey::Ships, ship);
    let password = layers.parsed::<Password>(SettingKey::Password);
    if layers.given(SettingKey::Password).is_none() {
        layers.missing(SettingKey::Password);
    }
    let settings = password.map(|password| Settings {
        period: period.unwrap_or(Duration::from_secs(10)),
        ships,
        password: password.0,
        chart: layers.document("LIGHTHOUSE_CHART"),
        warnings: layers.warnings(),
    });
    layers.finish(settings)
}

#[test]
fn a_later_layer_wins_and_replaces_lists_as_a_whole() {
    let file = load(Some(GOOD), &[], &[]).unwrap();
    assert_eq!(file.period, Duration::from_secs(5));
    assert_eq!(file.ships, ["vega", "mira"]);
    assert_eq!(file.password, "from-file");
    let variables = [
        ("LIGHTHOUSE_LAMP_PERIOD_MS", "200"),
        ("LIGHTHOUSE_SHIPS", "argo, , lyra"),
        ("LIGHTHOUSE_HARBOUR_PASSWORD", "from-variable"),
        ("LIGHTHOUSE_CHART", "line 1\nline 2"),
    ];
    let environment = load(Some(GOOD), &variables, &[]).unwrap();
    assert_eq!(environment.period, Duration::from_millis(200));
    assert_eq!(environment.ships, ["argo", "lyra"]);
    assert_eq!(environment.password, "from-variable");
    assert_eq!(environment.chart.as_deref(), Some("line 1\nline 2"));
    let flags = [
        ("--period", "300"),
        ("--ship", "antares"),
        ("--ship", "spica"),
    ];
    let flags = load(Some(GOOD), &variables, &flags).unwrap();
    assert_eq!(flags.period, Duration::from_millis(300));
    assert_eq!(flags.ships, ["antares", "spica"]);
    assert_eq!(flags.password, "from-variable");
}

#[test]
fn each_value_knows_its_source() {
    let variables = [("LIGHTHOUSE_HARBOUR_PASSWORD".into(), "from-variable".into())];
    let flags = [("--period", "300".to_owned())];
    let layers = Layers::<SettingKey>::read(&PROGRAM, None, variables, flags).unwrap();
    let source = |key| layers.given(key).map(|given| given.origin.source());
    assert_eq!(source(SettingKey::Period), Some(SettingSource::Flags));
    assert_eq!(
        source(SettingKey::Password),
        Some(SettingSource::Environment)
    );
    assert_eq!(source(SettingKey::Ships), None);
    assert!(
        SettingSource::File < SettingSource::Environment
            && SettingSource::Environment < SettingSource::Flags
    );
}

#[test]
fn unknown_names_are_reported_with_their_place_and_the_nearest_known_name() {
    let file = GOOD.replace("period_ms", "peroid_ms");
    assert_eq!(
        load(Some(&file), &[], &[]).unwrap_err(),
        ["FILE:4: lamp.peroid_ms: unknown key; did you mean \"lamp.period_ms\"?"]
    );
    let file = GOOD.replace("ships", "zzz");
    assert_eq!(
        load(Some(&file), &[], &[]).unwrap_err(),
        ["FILE:2: zzz: unknown key; lighthouse --help says what can be set"]
    );
    assert_eq!(
        load(Some(GOOD), &[], &[("--shop", "vega")]).unwrap_err(),
        ["--shop: unknown flag; did you mean --ship?"]
    );
    assert_eq!(
        load(Some(GOOD), &[], &[("--nowhere", "")]).unwrap_err(),
        ["--nowhere: unknown flag; lighthouse --help lists the flags"]
    );
    let variables = [
        ("LIGHTHOUSE_SHIP", "vega"),
        ("LIGHTHOUSE_CONFIG", "/etc/lighthouse.toml"),
        ("ELSEWHERE", "1"),
    ];
    assert_eq!(
        load(Some(GOOD), &variables, &[]).unwrap().warnings,
        [
            "environment variable LIGHTHOUSE_SHIP: means nothing to lighthouse; did you mean LIGHTHOUSE_SHIPS?"
        ]
    );
}

#[test]
fn a_number_out_of_bounds_is_reported_at_each_place() {
    let bounds = "lamp.period_ms: \"99\" is not a whole number from 100 to 60000";
    let file = GOOD.replace("5_000", "99");
    assert_eq!(
        load(Some(&file), &[], &[]).unwrap_err(),
        [format!("FILE:4: {bounds}")]
    );
    assert_eq!(
        load(Some(GOOD), &[("LIGHTHOUSE_LAMP_PERIOD_MS", "99")], &[]).unwrap_err(),
        [format!(
            "environment variable LIGHTHOUSE_LAMP_PERIOD_MS: {bounds}"
        )]
    );
    assert_eq!(
        load(Some(GOOD), &[], &[("--period", "99")]).unwrap_err(),
        [format!("--period: {bounds}")]
    );
    for good in ["100", "60000"] {
        assert!(
            load(Some(GOOD), &[], &[("--period", good)]).is_ok(),
            "{good}"
        );
    }
}

#[test]
fn every_problem_of_the_values_is_reported() {
    let variables = [("LIGHTHOUSE_SHIPS", "vega,MIRA,7")];
    assert_eq!(
        load(None, &variables, &[("--period", "soon")]).unwrap_err(),
        [
            "--period: lamp.period_ms: \"soon\" is not a whole number from 100 to 60000",
            "environment variable LIGHTHOUSE_SHIPS: ships: \"MIRA\" is not a valid name; use a-z",
            "environment variable LIGHTHOUSE_SHIPS: ships: \"7\" is not a valid name; use a-z",
            "harbour.password: is missing; give it in the configuration file or as LIGHTHOUSE_HARBOUR_PASSWORD",
        ]
    );
}

#[test]
fn no_message_shows_a_secret_and_no_flag_takes_one() {
    assert_eq!(
        load(
            Some(GOOD),
            &[("LIGHTHOUSE_HARBOUR_PASSWORD", "hunter2")],
            &[]
        )
        .unwrap_err(),
        [
            "environment variable LIGHTHOUSE_HARBOUR_PASSWORD: harbour.password: the value is too short; use at \
             least 8 letters"
        ]
    );
    let typed = GOOD.replace("\"from-file\"", "1234567890");
    let problems = load(Some(&typed), &[], &[]).unwrap_err();
    assert_eq!(
        problems,
        ["FILE:6: harbour.password: is of the type integer; write a string, in quotes"]
    );
    let variables = [("LIGHTHOUSE_HARBOUR_PASSWORD".into(), "from-variable".into())];
    let layers = Layers::<SettingKey>::read(&PROGRAM, None, variables, []).unwrap();
    let shown = format!("{layers:?}");
    assert!(!shown.contains("from-variable"), "{shown}");
    assert_eq!(SettingKey::Password.flag(), None);
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_text_is_reported() {
    use std::os::unix::ffi::OsStringExt as _;
    let broken = OsString::from_vec(vec![0xff]);
    let variables = [
        ("LIGHTHOUSE_SHIPS".into(), broken.clone()),
        ("ELSEWHERE".into(), broken),
    ];
    assert_eq!(
        Layers::<SettingKey>::read(&PROGRAM, None, variables, []).unwrap_err(),
        ["environment variable LIGHTHOUSE_SHIPS: is not valid UTF-8"]
    );
}

#[test]
fn a_table_of_keys_is_checked_for_mistakes() {
    keys! {
        /// Settings that are declared wrongly.
        enum Wrong {
            Lamp = Setting::text("lamp", "WRONG_LAMP"),
            Period = Setting::number("lamp.period", "WRONG_PERIOD_MS", Unit::Milliseconds, 1..=9),
            Colour = Setting::text("lamp.colour", "WRONG_LAMP").flag("--colour").secret(),
            Height = Setting::number("height", "WRONG_HEIGHT", Unit::Count, RangeInclusive::new(9, 1)),
        }
    }
    assert_eq!(inconsistencies::<SettingKey>(), Vec::<String>::new());
    assert_eq!(
        inconsistencies::<Wrong>(),
        [
            "lamp: is a table, too",
            "lamp.period: the unit _ms is not in both names",
            "lamp.colour: WRONG_LAMP is declared twice",
            "lamp.colour: a secret cannot have a flag",
            "height: no number is within 9 and 1",
        ]
    );
}
