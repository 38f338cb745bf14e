//! Checks that a certificate and a key exist, are PEM and belong together.
//!
//! The check needs no cryptography: a private key that carries its public point (PKCS#8 of an elliptic curve) belongs
//! to the certificate that holds the same bytes. Keys without a public point, such as RSA keys, pass the check.

use crate::disk::tree::FileTree;

const NO_FILE: &str = "error:80000002:system library::No such file or directory:calling fopen";

/// Checks a certificate and its key.
///
/// # Errors
/// The error is the text of nginx's message.
pub(super) fn check_pair(tree: &FileTree, certificate: &str, key: &str) -> Result<(), String> {
    let document = |path: &str, what: &str, reader: &str, label: &str, expecting: &str| {
        let fault = |why: String| Err(format!("cannot load {what} \"{path}\": {why}"));
        let Ok(text) = tree.read(path) else {
            return fault(format!(
                "BIO_new_file() failed (SSL: {NO_FILE}({path}, r) error:10000080:BIO routines::no such file)"
            ));
        };
        match decode(text, label) {
            Some(document) => Ok(document),
            None => fault(format!(
                "{reader}() failed (SSL: error:0480006C:PEM routines::no start line:Expecting: {expecting})"
            )),
        }
    };
    let held = document(
        certificate,
        "certificate",
        "PEM_read_bio_X509_AUX",
        "CERTIFICATE",
        "TRUSTED CERTIFICATE",
    )?;
    let private = document(
        key,
        "certificate key",
        "PEM_read_bio_PrivateKey",
        "PRIVATE KEY",
        "ANY PRIVATE KEY",
    )?;
    match public_point(&private) {
        Some(point) if !held.windows(point.len()).any(|bytes| bytes == point) => Err(format!(
            "SSL_CTX_use_PrivateKey(\"{key}\") failed (SSL: error:05800074:x509 certificate \
             routines::key values mismatch)"
        )),
        Some(_) | None => Ok(()),
    }
}

/// The uncompressed P-256 point at the end of a key: a byte 4 and two coordinates of 32 bytes.
fn public_point(key: &[u8]) -> Option<&[u8]> {
    let point = key.get(key.len().checked_sub(65)?..)?;
    (point.first() == Some(&4)).then_some(point)
}

/// The bytes of the first PEM document with this label.
fn decode(text: &[u8], label: &str) -> Option<Vec<u8>> {
    let text = core::str::from_utf8(text).ok()?;
    let start = format!("-----BEGIN {label}-----");
    let body = &text[text.find(&start)? + start.len()..];
    let body = &body[..body.find("-----END")?];
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for byte in body.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' | b'\r' | b'\n' => continue,
            _ => return None,
        };
        held = held << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits & 0xff) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(label: &str, body: &str) -> Vec<u8> {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n").into_bytes()
    }

    #[test]
    fn base64_is_decoded_over_line_breaks() {
        assert_eq!(
            decode(&pem("X", "aGVs\nbG8="), "X"),
            Some(b"hello".to_vec())
        );
        assert_eq!(decode(&pem("X", "a?"), "X"), None);
        assert_eq!(decode(b"nothing", "X"), None);
    }
}
