//! Mesh secrets as people keep them: a text that `phalanx ca secret` made, or a passphrase.
//!
//! A made secret is 128 random bits and a checksum of 32, in Crockford's alphabet (no I, L, O or U; read without regard
//! to case, and with O for 0 and I or L for 1), in eight groups of four after `phx1`. Whatever begins with `phx` and a
//! digit is meant to be one: a slip in it is an error, never a passphrase. Anything else is a passphrase.
//!
//! A text of secrets has one a line; empty lines and lines that begin with `#` are passed over. The first is what this
//! node mints its certificate from, all are accepted.
//!
//! Bounds: [`SECRETS_MAX`] in a text, [`PASSPHRASE_CHARS_MIN`] characters at least in a passphrase.

use super::error::{IdentityError, Place, Warning};
use super::files;
use crate::entropy::{self, NoEntropy};
use core::fmt;
use core::str::FromStr;
use ring::digest::{Context, SHA256};
use std::path::Path;
use zeroize::Zeroizing;

/// The most secrets that are accepted at one time.
pub const SECRETS_MAX: usize = 4;
/// The fewest characters of a passphrase.
pub const PASSPHRASE_CHARS_MIN: usize = 16;
/// The environment variable that holds secrets.
pub const SECRET_VARIABLE: &str = "PHALANX_SECRET";

/// The random bytes of a made secret.
pub(super) const BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 4;
const PREFIX: &str = "phx";
const VERSION: &str = "1";
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const BITS: usize = 5;
const CHARS: usize = (BYTES + CHECKSUM_BYTES) * 8 / BITS;
const GROUP: usize = 4;

/// What a mesh's certificates are derived from. It is wiped from memory when dropped, and not printed.
#[derive(Clone)]
pub struct Secret(pub(super) Kind);

#[derive(Clone)]
pub(super) enum Kind {
    Made(Zeroizing<[u8; BYTES]>),
    Passphrase(Zeroizing<String>),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_passphrase() {
            "Secret(a passphrase)"
        } else {
            "Secret(made)"
        })
    }
}

/// Why a text is no secret. It never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// It was made by a program that makes them in another way.
    #[error("is a secret of another version than phx1; use the version of Phalanx that made it")]
    Version,
    /// It has too few or too many characters.
    #[error("is a secret with {found} of its {CHARS} characters after phx1; copy it whole")]
    Length {
        /// How many it has.
        found: usize,
    },
    /// It holds a character that no secret has.
    #[error(
        "is a secret with the character {0:?}, which no secret has; compare it with the original"
    )]
    Character(char),
    /// Its checksum does not fit.
    #[error(
        "is a secret that does not fit its checksum: a character is mistyped; compare it with the original"
    )]
    Checksum,
    /// It is a passphrase that is too short.
    #[error(
        "is a passphrase of {found} characters; use at least {PASSPHRASE_CHARS_MIN}, or better a secret made by phalanx ca secret"
    )]
    Short {
        /// How many it has.
        found: usize,
    },
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut context = Context::new(&SHA256);
    context.update(b"phalanx mesh secret 1 checksum");
    context.update(bytes);
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&context.finish().as_ref()[..CHECKSUM_BYTES]);
    sum
}

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn make() -> Result<Self, NoEntropy> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        entropy::fill(bytes.as_mut_slice())?;
        Ok(Self(Kind::Made(bytes)))
    }

    /// Whether a person chose it.
    #[must_use]
    pub const fn is_passphrase(&self) -> bool {
        matches!(self.0, Kind::Passphrase(_))
    }

    /// As it is written into a file.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        match &self.0 {
            Kind::Passphrase(text) => text.clone(),
            Kind::Made(bytes) => Zeroizing::new(encode(bytes)),
        }
    }
}

fn encode(secret: &[u8; BYTES]) -> String {
    let mut text = format!("{PREFIX}{VERSION}");
    let all = secret.iter().copied().chain(checksum(secret));
    let (mut held, mut bits, mut count) = (0_u32, 0, 0);
    for byte in all {
        held = held << 8 | u32::from(byte);
        bits += 8;
        while bits >= BITS {
            bits -= BITS;
            if count % GROUP == 0 {
                text.push('-');
            }
            count += 1;
            text.push(char::from(ALPHABET[(held >> bits) as usize & 31]));
        }
    }
    text
}

fn value(character: char) -> Option<u32> {
    let plain = match character.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let at = ALPHABET
        .iter()
        .position(|known| char::from(*known) == plain)?;
    u32::try_from(at).ok()
}

/// The bytes of what follows the prefix and version.
fn decode(text: &str) -> Result<Zeroizing<[u8; BYTES]>, SecretError> {
    let characters = text.chars().filter(|c| !matches!(c, '-' | ' '));
    let found = characters.clone().count();
    let mut bytes = Zeroizing::new([0; BYTES + CHECKSUM_BYTES]);
    let (mut held, mut bits, mut at) = (0_u32, 0, 0);
    for character in characters {
        held = held << BITS | value(character).ok_or(SecretError::Character(character))?;
        bits += BITS;
        if bits >= 8 {
            bits -= 8;
            if let Some(byte) = bytes.get_mut(at) {
                *byte = (held >> bits & 0xff) as u8;
            }
            at += 1;
        }
    }
    if found != CHARS {
        return Err(SecretError::Length { found });
    }
    let mut secret = Zeroizing::new([0; BYTES]);
    secret.copy_from_slice(&bytes[..BYTES]);
    if checksum(secret.as_slice()) != bytes[BYTES..] {
        return Err(SecretError::Checksum);
    }
    Ok(secret)
}

impl FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let text = text.trim();
        let begins = |prefix: &str| {
            text.get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        let digit = text.as_bytes().get(PREFIX.len());
        if begins(PREFIX) && digit.is_some_and(u8::is_ascii_digit) {
            let (version, rest) = text[PREFIX.len()..].split_once('-').unwrap_or_default();
            if version != VERSION {
                return Err(SecretError::Version);
            }
            return Ok(Self(Kind::Made(decode(rest)?)));
        }
        let found = text.chars().count();
        if found < PASSPHRASE_CHARS_MIN {
            return Err(SecretError::Short { found });
        }
        Ok(Self(Kind::Passphrase(Zeroizing::new(text.to_owned()))))
    }
}

/// The secrets of a text, at least one, and what should be mended.
pub(super) fn parse(
    place: &Place,
    text: &str,
) -> Result<(Vec<Secret>, Vec<Warning>), IdentityError> {
    let mut found: Vec<Secret> = Vec::new();
    let mut warnings = Vec::new();
    let wrong = |line: usize, why: String| IdentityError::Secret {
        place: place.clone(),
        line,
        why,
    };
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let secret: Secret = text
            .parse()
            .map_err(|why: SecretError| wrong(line, why.to_string()))?;
        if found.iter().any(|known| known.text() == secret.text()) {
            return Err(wrong(
                line,
                "is there twice; remove one of the two".to_owned(),
            ));
        }
        if found.len() == SECRETS_MAX {
            let why = format!(
                "is one too many: at most {SECRETS_MAX} are accepted at one time; remove old ones"
            );
            return Err(wrong(line, why));
        }
        if secret.is_passphrase() {
            warnings.push(Warning::Passphrase {
                place: place.clone(),
                line,
            });
        }
        found.push(secret);
    }
    if found.is_empty() {
        return Err(IdentityError::Unusable {
            place: place.clone(),
            why: "holds no secret; write one a line, made by phalanx ca secret".to_owned(),
        });
    }
    Ok((found, warnings))
}

/// The secrets in a file that no stranger may read.
pub(super) fn read(path: &Path) -> Result<(Vec<Secret>, Vec<Warning>), IdentityError> {
    let place = Place::File(path.to_owned());
    let bytes = Zeroizing::new(files::read(path)?);
    let warning = files::permissions(path);
    if let Some(Warning::OpenPermissions { mode, .. }) = &warning
        && mode & 0o007 != 0
    {
        return Err(IdentityError::Unusable {
            place,
            why: format!(
                "everybody on this machine may use it (mode {mode:04o}), and whoever knows a mesh's secret is any node of it; run: chmod 0600 {}",
                path.display()
            ),
        });
    }
    let text = core::str::from_utf8(&bytes).map_err(|_| IdentityError::Unusable {
        place: place.clone(),
        why: "is not text; a file of secrets has one a line".to_owned(),
    })?;
    let (secrets, mut warnings) = parse(&place, text)?;
    warnings.extend(warning);
    Ok((secrets, warnings))
}

/// Writes a secret to a new file that this user alone may read.
///
/// # Errors
/// When the file exists, or cannot be written.
pub fn write_secret(path: &Path, secret: &Secret) -> Result<(), IdentityError> {
    if path.exists() {
        return Err(IdentityError::Exists {
            path: path.to_owned(),
        });
    }
    let mut line = secret.text();
    line.push('\n');
    files::write_private(path, &line)
}

/// The fingerprints of the secrets in a file, for `mesh`, and what should be mended.
///
/// # Errors
/// When the file holds no secrets, or the mesh's name breaks the rules.
pub fn secret_fingerprints(
    path: &Path,
    mesh: &str,
) -> Result<(Vec<String>, Vec<Warning>), IdentityError> {
    let (secrets, warnings) = read(path)?;
    let fingerprints = secrets.iter().map(|secret| secret.fingerprint(mesh));
    Ok((fingerprints.collect::<Result<_, _>>()?, warnings))
}
