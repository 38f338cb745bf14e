//! Certificates and keys, as `nginx -t` checks them.

use super::{NginxUnderTest, Part, generation, plain_all, test};

const FAILED: &str = "nginx: configuration file P/gen/v1/nginx.conf test failed";

/// Writes a certificate and a key; with `fits`, both belong to one pair.
fn pair(part: Part<'_>, fits: bool) {
    let made = || {
        let key = rcgen::KeyPair::generate().expect("a key can be made");
        let names = vec!["a.test".to_owned()];
        let parameters = rcgen::CertificateParams::new(names).expect("the name is valid");
        let certificate = parameters
            .self_signed(&key)
            .expect("a certificate can be made");
        (certificate.pem(), key.serialize_pem())
    };
    let (certificate, key) = made();
    let (_, other) = made();
    part.write("gen/v1/c.pem", &certificate);
    part.write("gen/v1/k.pem", if fits { &key } else { &other });
}

fn said(part: Part<'_>, rest: &str) -> (i32, Vec<String>) {
    generation(
        part,
        "v1",
        "",
        &format!("server {{ listen 127.0.0.1:18443 ssl; {rest} }}"),
    );
    let ran = test(part, "v1");
    (ran.code, plain_all(part, &ran.stderr))
}

const BOTH: &str = "ssl_certificate c.pem; ssl_certificate_key k.pem;";

pub(super) fn a_missing_certificate_has_no_place(part: &mut dyn NginxUnderTest) {
    let absent = |what: &str, file: &str| {
        format!(
            "TIME [emerg] PID: cannot load {what} \"P/gen/v1/{file}\": BIO_new_file() failed (SSL: \
             error:80000002:system library::No such file or directory:calling fopen(P/gen/v1/{file}, r) \
             error:10000080:BIO routines::no such file)"
        )
    };
    assert_eq!(
        said(part, BOTH),
        (1, vec![absent("certificate", "c.pem"), FAILED.to_owned()])
    );
    pair(part, true);
    part.remove("gen/v1/k.pem");
    assert_eq!(
        said(part, BOTH),
        (
            1,
            vec![absent("certificate key", "k.pem"), FAILED.to_owned()]
        )
    );
    let no_key =
        "TIME [emerg] PID: no \"ssl_certificate_key\" is defined for certificate \"c.pem\"";
    let expected = vec![no_key.to_owned(), FAILED.to_owned()];
    assert_eq!(said(part, "ssl_certificate c.pem;"), (1, expected));
}

pub(super) fn a_key_of_another_certificate_is_a_mismatch(part: &mut dyn NginxUnderTest) {
    pair(part, false);
    let mismatch = "TIME [emerg] PID: SSL_CTX_use_PrivateKey(\"P/gen/v1/k.pem\") failed (SSL: error:05800074:x509 \
                    certificate routines::key values mismatch)";
    assert_eq!(
        said(part, BOTH),
        (1, vec![mismatch.to_owned(), FAILED.to_owned()])
    );
    part.write("gen/v1/c.pem", "no certificate");
    let text = "TIME [emerg] PID: cannot load certificate \"P/gen/v1/c.pem\": PEM_read_bio_X509_AUX() failed (SSL: \
                error:0480006C:PEM routines::no start line:Expecting: TRUSTED CERTIFICATE)";
    assert_eq!(
        said(part, BOTH),
        (1, vec![text.to_owned(), FAILED.to_owned()])
    );
}

pub(super) fn a_pair_that_fits_passes(part: &mut dyn NginxUnderTest) {
    pair(part, true);
    let (code, lines) = said(part, BOTH);
    assert_eq!(code, 0, "{lines:?}");
}

pub(super) fn a_tls_listener_needs_a_certificate(part: &mut dyn NginxUnderTest) {
    let fault = "TIME [emerg] PID: no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive in \
                 P/gen/v1/nginx.conf:16";
    assert_eq!(
        said(part, ""),
        (1, vec![fault.to_owned(), FAILED.to_owned()])
    );
}
