//! rustls on ring: TLS 1.3 alone, HTTP/2, and both ends prove who they are.
//!
//! A dialer often does not know whom it will reach (a seed address has no id), so the name in the certificate
//! is not compared with an address: the chain, the time and the purpose are verified, and who it is comes from
//! the SPIFFE id afterwards. Sessions are never resumed: each connection proves its certificates anew, and agrees anew on
//! whether it is encrypted.

use super::error::IdentityError;
use super::facts::Facts;
use super::subject::Role;
use super::trust::{Claim, Standing, Trust};
use super::unencrypted;
use core::time::Duration;
use phalanx_core::time::Wall;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert,
    WebPkiClientVerifier,
};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{
    CertificateError, ClientConfig, CommonState, DigitallySignedStruct, DistinguishedName, Error,
    OtherError, RootCertStore, ServerConfig, SignatureScheme,
};
use std::sync::Arc;
use x509_parser::prelude::{FromDer as _, X509Certificate};

const HTTP_2: &[u8] = b"h2";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Whether connections have to be encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// They have.
    Demanded,
    /// They are not, if the other end waives it too.
    Waived,
}

impl Encryption {
    fn provider(self) -> Arc<CryptoProvider> {
        let mut provider = ring::default_provider();
        if self == Self::Waived {
            // The first that both have is taken.
            provider.cipher_suites.insert(0, unencrypted::SUITE);
        }
        Arc::new(provider)
    }
}

/// Whether what goes over a connection whose handshake is over can be read by its two ends alone.
pub(crate) fn is_encrypted(connection: &CommonState) -> bool {
    let agreed = connection.negotiated_cipher_suite();
    agreed.is_some_and(|suite| suite.suite() != unencrypted::NAME)
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    provider().signature_verification_algorithms
}

fn crypto(what: &'static str, why: &impl ToString) -> IdentityError {
    IdentityError::Crypto {
        what,
        why: why.to_string(),
    }
}

/// The signer of a private key.
pub(super) fn signing_key(key: &PrivateKeyDer<'_>) -> Result<Arc<dyn SigningKey>, String> {
    ring::sign::any_supported_type(key).map_err(|error| {
        format!(
            "holds a private key of a kind that cannot be used ({error}); use Ed25519, ECDSA or RSA"
        )
    })
}

/// Whether the first certificate is signed by one of `roots` and fit for `role`, as of `now`.
pub(super) fn verify_chain(
    chain: &[CertificateDer<'static>],
    roots: &RootCertStore,
    role: Role,
    now: Wall,
) -> Result<(), String> {
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.0));
    let (own, intermediates) = chain.split_first().ok_or("there is no certificate")?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots.clone()), provider())
        .build()
        .map_err(|error| error.to_string())?;
    verifier
        .verify_client_cert(own, intermediates, now)
        .map_err(|error| in_words(&error))?;
    if role == Role::Node {
        verify_server(own, intermediates, roots, now).map_err(|error| in_words(&error))?;
    }
    Ok(())
}

/// The reason without the library's notation, where it is a common one.
fn in_words(error: &Error) -> String {
    let Error::InvalidCertificate(reason) = error else {
        return error.to_string();
    };
    if matches!(reason, CertificateError::UnknownIssuer) {
        "another CA signed it".to_owned()
    } else if matches!(reason, CertificateError::BadSignature) {
        "a CA with the same name and another key signed it".to_owned()
    } else {
        reason.to_string()
    }
}

fn verify_server(
    own: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    roots: &RootCertStore,
    now: UnixTime,
) -> Result<(), Error> {
    let own = ParsedCertificate::try_from(own)?;
    verify_server_cert_signed_by_trust_anchor(&own, roots, intermediates, now, algorithms().all)
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub(super) struct Credential {
    pub(super) facts: Arc<Facts>,
    pub(super) certified: Arc<CertifiedKey>,
    /// The name of the CA that signed it (DER).
    issuer: Vec<u8>,
}

impl Credential {
    pub(super) fn new(facts: Facts, certified: CertifiedKey) -> Self {
        let own = certified.cert.first();
        let issuer = own
            .and_then(|own| X509Certificate::from_der(own).ok())
            .map(|(_, parsed)| parsed.issuer().as_raw().to_vec());
        Self {
            facts: Arc::new(facts),
            certified: Arc::new(certified),
            issuer: issuer.unwrap_or_default(),
        }
    }
}

/// Shows the first certificate whose CA the other end names; the first of all if it names none of them.
#[derive(Debug)]
struct Offer(Arc<[Credential]>);

impl Offer {
    fn choose<'a>(
        &self,
        wanted: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Option<Arc<CertifiedKey>> {
        let is_wanted = |held: &&Credential| wanted.clone().any(|name| name == held.issuer);
        let chosen = self.0.iter().find(is_wanted).or(self.0.first());
        chosen.map(|held| Arc::clone(&held.certified))
    }
}

impl ResolvesServerCert for Offer {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let wanted = hello.certificate_authorities().unwrap_or_default();
        self.choose(wanted.iter().map(AsRef::as_ref))
    }
}

impl ResolvesClientCert for Offer {
    fn resolve(&self, wanted: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.choose(wanted.iter().copied())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

pub(super) fn server_config(
    credentials: &Arc<[Credential]>,
    roots: &Arc<RootCertStore>,
    encryption: Encryption,
) -> Result<Arc<ServerConfig>, IdentityError> {
    let what = "the TLS configuration for accepting";
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider())
        .build()
        .map_err(|error| crypto(what, &error))?;
    let mut config = ServerConfig::builder_with_provider(encryption.provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| crypto(what, &error))?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::new(Offer(Arc::clone(credentials))));
    config.alpn_protocols = vec![HTTP_2.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

pub(super) fn client_config(
    credentials: &Arc<[Credential]>,
    roots: &Arc<RootCertStore>,
    standing: &Arc<Standing>,
    encryption: Encryption,
) -> Result<Arc<ClientConfig>, IdentityError> {
    let what = "the TLS configuration for dialling";
    // Whoever holds secrets says which: the other end chooses its certificate by it, or knows why there is none.
    let wanted = match standing.trust {
        Trust::Authority => None,
        Trust::Secrets(_) => Some(roots.subjects()),
    };
    let verifier = AnyNode {
        roots: Arc::clone(roots),
        standing: Arc::clone(standing),
        wanted,
    };
    let mut config = ClientConfig::builder_with_provider(encryption.provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| crypto(what, &error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(Offer(Arc::clone(credentials))));
    config.alpn_protocols = vec![HTTP_2.to_vec()];
    config.resumption = Resumption::disabled();
    // What we dial has no name to ask for.
    config.enable_sni = false;
    Ok(Arc::new(config))
}

/// Accepts any acceptor with a valid node certificate of our CA.
#[derive(Debug)]
struct AnyNode {
    roots: Arc<RootCertStore>,
    standing: Arc<Standing>,
    wanted: Option<Vec<DistinguishedName>>,
}

impl AnyNode {
    /// The error, in words if it is for the mesh's secret.
    fn explain(&self, own: &CertificateDer<'_>, error: Error) -> Error {
        if error != Error::InvalidCertificate(CertificateError::UnknownIssuer) {
            return error;
        }
        match self.standing.quarrel(&[Claim::of_issuer(own)]) {
            Some(why) => {
                let why = OtherError(Arc::new(Quarrel(why)));
                Error::InvalidCertificate(CertificateError::Other(why))
            }
            None => error,
        }
    }
}

/// Why the other end is none of ours.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Quarrel(String);

impl ServerCertVerifier for AnyNode {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        verify_server(own, intermediates, &self.roots, now)
            .map_err(|error| self.explain(own, error))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.wanted.as_deref()
    }
}
