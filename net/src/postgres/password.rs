//! Passwords, from a URL, a file with a password, or a password file of libpq.

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

/// The password in the first line of a file.
///
/// # Errors
/// If the file cannot be read, or other users may read it.
pub(super) fn of_file(path: &Path) -> Result<PostgresPassword, String> {
    let text = read(path)?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(format!("{}: has no password", path.display()));
    }
    Ok(PostgresPassword::new(line.to_owned()))
}

/// The password for a host, a port, a database and a user in a password file of libpq.
///
/// # Errors
/// As [`of_file`].
pub(super) fn of_pass_file(
    path: &Path,
    fields: &[String; 4],
) -> Result<Option<PostgresPassword>, String> {
    Ok(find(&read(path)?, fields))
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

    #[test]
    fn lines_of_password_files_are_read_as_libpq_does() {
        let folder = tempfile::tempdir().unwrap();
        let lines = "# a comment\nother:*:*:*:no\nlocalhost:5432:r:u:of\\:libpq:x\n";
        let many = file(folder.path(), "many", lines, 0o600);
        let found = |port: &str| {
            let fields = ["localhost", port, "r", "u"].map(ToOwned::to_owned);
            let found = of_pass_file(&many, &fields).unwrap();
            found.map(|it| it.reveal().to_owned())
        };
        assert_eq!(found("5432").unwrap(), "of:libpq:x");
        assert_eq!(found("7"), None);
    }

    #[test]
    fn a_password_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let open = file(folder.path(), "open", "secret\n", 0o644);
        let error = of_file(&open).unwrap_err();
        assert!(error.contains("chmod 600"), "{error}");
        let empty = file(folder.path(), "empty", "\n", 0o600);
        assert!(of_file(&empty).unwrap_err().contains("has no password"));
        assert!(of_file(&folder.path().join("none")).is_err());
    }
}
