//! Passwords, from a URL, a file with a password, or a password file of libpq.

use super::settings::{PostgresHost, PostgresSettings};
use crate::durable;
use std::fmt;
use std::fs;
use std::path::Path;
use zeroize::Zeroizing;

/// Maximum size of a file with passwords, in bytes.
const BYTES_MAX: u64 = 64 * 1024;

/// A password. No output shows it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct PostgresPassword(Zeroizing<String>);

impl PostgresPassword {
    pub(super) fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PostgresPassword {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PostgresPassword(…)")
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    let place = path.display();
    let check = "check that it exists and that this user may read it";
    let failed = |error| format!("{place}: cannot be read: {error}; {check}");
    private(path).map_err(failed)??;
    let bytes = durable::read_regular(path, BYTES_MAX).map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{place}: is not valid UTF-8"))?;
    Ok(Zeroizing::new(text))
}

/// Whether a file is closed to other users.
#[cfg(unix)]
fn private(path: &Path) -> std::io::Result<Result<(), String>> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path)?.permissions().mode();
    let place = path.display();
    Ok(match mode & 0o077 {
        0 => Ok(()),
        _ => Err(format!(
            "{place}: other users may read the password; run chmod 600 {place}"
        )),
    })
}

#[cfg(not(unix))]
fn private(path: &Path) -> std::io::Result<Result<(), String>> {
    fs::metadata(path).map(|_| Ok(()))
}

/// The password for a host; none if no source has one.
///
/// # Errors
/// If a file cannot be read.
pub(super) fn password_for(
    settings: &PostgresSettings,
    host: &PostgresHost,
) -> Result<Option<PostgresPassword>, String> {
    if let Some(password) = &settings.password {
        return Ok(Some(password.clone()));
    }
    if let Some(path) = &settings.password_file {
        let text = read(path)?;
        let line = text.lines().next().unwrap_or_default();
        if line.is_empty() {
            return Err(format!("{}: has no password", path.display()));
        }
        return Ok(Some(PostgresPassword::new(line.to_owned())));
    }
    let Some(path) = &settings.pass_file else {
        return Ok(None);
    };
    let text = read(path)?;
    let fields = [
        host.name().to_owned(),
        host.port().to_string(),
        settings.database.clone(),
        settings.user.clone(),
    ];
    Ok(find(&text, &fields))
}

/// The password of the first line that matches these fields.
fn find(text: &str, fields: &[String; 4]) -> Option<PostgresPassword> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(split).find_map(|mut line| {
        let matches = line.len() == 5
            && (line.iter().zip(fields)).all(|(given, wanted)| given == "*" || given == wanted);
        matches.then(|| PostgresPassword::new(line.swap_remove(4)))
    })
}

/// The fields of a line `HOST:PORT:DATABASE:USER:PASSWORD`, in which a backslash protects the character after it.
fn split(line: &str) -> Vec<String> {
    let (mut fields, mut escaped) = (vec![String::new()], false);
    for character in line.chars() {
        let is_end = character == ':' && !escaped && fields.len() < 5;
        if is_end {
            fields.push(String::new());
        } else if character == '\\' && !escaped {
            escaped = true;
            continue;
        } else if let Some(field) = fields.last_mut() {
            field.push(character);
        }
        escaped = false;
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn file(folder: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn found(url: &str, password: Option<PathBuf>, pass: Option<PathBuf>) -> Option<String> {
        let settings = PostgresSettings::parse(url).unwrap();
        let settings = settings.with_password_file(password).with_pass_file(pass);
        let found = password_for(&settings, &settings.hosts[0]);
        found.unwrap().map(|it| it.reveal().to_owned())
    }

    #[test]
    fn a_password_comes_from_the_url_then_the_file_then_the_password_file_of_libpq() {
        let folder = tempfile::tempdir().unwrap();
        let one = file(folder.path(), "one", "of-file\n", 0o600);
        let lines = "# a comment\nother:*:*:*:no\nlocalhost:5432:r:u:of\\:libpq:x\n";
        let many = file(folder.path(), "many", lines, 0o600);
        let url = "postgres://u:of-url@localhost/r";
        assert_eq!(found(url, Some(one.clone()), None).unwrap(), "of-url");
        let url = "postgres://u@localhost/r";
        assert_eq!(
            found(url, Some(one), Some(many.clone())).unwrap(),
            "of-file"
        );
        assert_eq!(found(url, None, Some(many.clone())).unwrap(), "of:libpq:x");
        let url = "postgres://u@localhost:7/r";
        assert_eq!(found(url, None, Some(many)), None);
        assert_eq!(found(url, None, None), None);
    }

    #[test]
    fn a_password_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let open = file(folder.path(), "open", "secret\n", 0o644);
        let settings = PostgresSettings::parse("postgres://u@localhost/r").unwrap();
        let settings = settings.with_password_file(Some(open));
        let error = password_for(&settings, &settings.hosts[0]).unwrap_err();
        assert!(error.contains("chmod 600"), "{error}");
    }
}
