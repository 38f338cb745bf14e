//! The table of systems that a tool knows; reads scenario files of any of these systems.

use crate::scenario::{DEFAULT_SYSTEM, Scenario, ScenarioError, Vocabulary, Words, nearest};
use crate::world::Definition;
use serde::Deserialize;
use serde_spanned::Spanned;
use std::path::Path;

/// The systems that a tool knows.
#[derive(Clone, Copy, Debug)]
pub struct Systems<'a>(pub &'a [&'static Definition]);

/// The key that names the system of a scenario file.
#[derive(Deserialize)]
struct Head {
    system: Option<Spanned<String>>,
}

impl Systems<'_> {
    /// Returns the system of this name.
    ///
    /// # Errors
    /// The error contains the nearest name and all names.
    pub fn named(self, name: &str) -> Result<&'static Definition, String> {
        let found = self.0.iter().find(|system| system.name == name);
        found.copied().ok_or_else(|| {
            let names = self.0.iter().map(|system| system.name);
            let list: Vec<&str> = names.clone().collect();
            let list = list.join(", ");
            match nearest(name, names) {
                Some(near) => {
                    format!("there is no system `{name}`; did you mean `{near}`? there is {list}")
                }
                None => format!("there is no system `{name}`; there is {list}"),
            }
        })
    }

    /// Returns the words of all systems together, for a schema of all their files.
    #[must_use]
    pub fn vocabulary(self) -> Vocabulary {
        let mut programs: Vec<Words> = Vec::new();
        for system in self.0 {
            for words in (system.vocabulary)().programs {
                if programs.iter().all(|known| known.program != words.program) {
                    programs.push(words);
                }
            }
        }
        Vocabulary {
            name: "all systems",
            programs,
        }
    }

    /// Returns the system that the text of a scenario file names by the key `system`; the mesh if the key is absent.
    ///
    /// # Errors
    /// Returns an error if the key's value is not the name of a system.
    pub fn of_text(self, file: &str, text: &str) -> Result<&'static Definition, ScenarioError> {
        // A text that is not TOML names no system; the reader of the file reports the TOML error.
        let head: Head = toml::from_str(text).unwrap_or(Head { system: None });
        let error = |line, message| ScenarioError {
            file: file.to_owned(),
            line,
            key: "system".to_owned(),
            message,
        };
        match head.system {
            Some(name) => self.named(name.get_ref()).map_err(|why| {
                let before = &text.as_bytes()[..name.span().start];
                let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
                error(line, why)
            }),
            None => self.named(DEFAULT_SYSTEM).map_err(|why| {
                let missing = format!("is missing, so it is `{DEFAULT_SYSTEM}`; {why}");
                error(1, missing)
            }),
        }
    }

    /// Reads every scenario of a file that a selection matches, and returns its system.
    ///
    /// # Errors
    /// Returns the errors of [`Self::of_text`] and of [`Scenario::load_all`].
    pub fn load_all(
        self,
        path: &Path,
        selection: Option<&str>,
    ) -> Result<(&'static Definition, Vec<Scenario>), ScenarioError> {
        let system = self.of_file(path)?;
        let scenarios = Scenario::load_all(path, &(system.vocabulary)(), selection)?;
        Ok((system, scenarios))
    }

    /// Reads the one scenario of a file that a selection matches, and returns its system.
    ///
    /// # Errors
    /// Returns the errors of [`Self::of_text`] and of [`Scenario::load_one`].
    pub fn load_one(
        self,
        path: &Path,
        selection: Option<&str>,
    ) -> Result<(&'static Definition, Scenario), ScenarioError> {
        let system = self.of_file(path)?;
        let scenario = Scenario::load_one(path, &(system.vocabulary)(), selection)?;
        Ok((system, scenario))
    }

    fn of_file(self, path: &Path) -> Result<&'static Definition, ScenarioError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|why| ScenarioError {
            file: file.clone(),
            line: 0,
            key: String::new(),
            message: format!("cannot be read: {why}"),
        })?;
        self.of_text(&file, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::MESH;

    static SHOP: Definition = Definition {
        name: "shop",
        command: "shop",
        ..MESH
    };

    fn read(systems: &[&'static Definition], text: &str) -> Result<&'static str, String> {
        let found = Systems(systems).of_text("x.toml", text);
        found
            .map(|system| system.name)
            .map_err(|why| why.to_string())
    }

    #[test]
    fn a_file_names_its_system_or_has_the_mesh() {
        let both: &[&'static Definition] = &[&MESH, &SHOP];
        assert_eq!(read(both, "scenario = 1\n").unwrap(), "mesh");
        assert_eq!(read(both, "system = \"mesh\"\n").unwrap(), "mesh");
        assert_eq!(read(both, "system = \"shop\"\n[[at]]\n").unwrap(), "shop");
        // The reader of the file reports text that is not TOML.
        assert_eq!(read(both, "system = \n").unwrap(), "mesh");
    }

    #[test]
    fn an_unknown_system_is_an_error_with_line_nearest_name_and_list() {
        let both: &[&'static Definition] = &[&MESH, &SHOP];
        let near = read(both, "scenario = 1\nsystem = \"shpo\"\n").unwrap_err();
        assert_eq!(
            near,
            "x.toml:2: system: there is no system `shpo`; did you mean `shop`? there is mesh, shop"
        );
        let far = read(both, "system = \"warehouse\"\n").unwrap_err();
        assert!(far.ends_with("`warehouse`; there is mesh, shop"), "{far}");
        let none = read(&[&SHOP], "scenario = 1\n").unwrap_err();
        assert!(
            none.starts_with("x.toml:1: system: is missing, so it is `mesh`"),
            "{none}"
        );
    }
}
