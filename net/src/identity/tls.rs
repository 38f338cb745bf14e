//! TLS by rustls on ring: TLS 1.3 only, HTTP/2, mutual authentication.
//!
//! A dialer often does not know the id of the node at an address (a seed address has no id), so the
//! name in the certificate is not compared with an address: the chain, the time and the key usage
//! are verified, and the peer's id is read from the SPIFFE id afterwards. Sessions are never
//! resumed: each connection verifies the certificates and negotiates encryption.

use super::error::IdentityError;
use super::facts::CertificateFacts;
use super::revocation::RevokedCertificates;
use super::trust::{CaName, MeshTrust, Trust};
use super::unencrypted;
use core::time::Duration;
use phalanx_core::subject::CertificateRole;
use phalanx_core::time::Wall;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
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
const HTTP_1: &[u8] = b"http/1.1";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Whether a connection must be encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// The connection must be encrypted.
    Demanded,
    /// The connection may be unencrypted, if the other end waives encryption too.
    Waived,
}

impl Encryption {
    fn provider(self) -> Arc<CryptoProvider> {
        let mut provider = ring::default_provider();
        if self == Self::Waived {
            // The first suite that both ends support is chosen.
            provider.cipher_suites.insert(0, unencrypted::SUITE);
        }
        Arc::new(provider)
    }
}

/// Returns whether a connection's traffic is encrypted, once its handshake is complete.
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

/// Creates the signer of a private key.
pub(super) fn signing_key(key: &PrivateKeyDer<'_>) -> Result<Arc<dyn SigningKey>, String> {
    ring::sign::any_supported_type(key).map_err(|error| {
        format!(
            "contains a private key of an unsupported type ({error}); use Ed25519, ECDSA or RSA"
        )
    })
}

/// Verifies that the first certificate is signed by one of `roots` and valid for `role`, as of
/// `now`.
pub(super) fn verify_chain(
    chain: &[CertificateDer<'static>],
    roots: &RootCertStore,
    role: CertificateRole,
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
    if role == CertificateRole::Node {
        verify_server(own, intermediates, roots, now).map_err(|error| in_words(&error))?;
    }
    Ok(())
}

/// Converts an error to plain text, for the common errors.
fn in_words(error: &Error) -> String {
    let Error::InvalidCertificate(reason) = error else {
        return error.to_string();
    };
    if matches!(reason, CertificateError::UnknownIssuer) {
        "it is signed by another CA".to_owned()
    } else if matches!(reason, CertificateError::BadSignature) {
        "it is signed by a CA with the same name but another key".to_owned()
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
    pub(super) facts: Arc<CertificateFacts>,
    pub(super) certified: Arc<CertifiedKey>,
    /// The name of the CA that signed the certificate (DER).
    issuer: Vec<u8>,
}

impl Credential {
    pub(super) fn new(facts: CertificateFacts, certified: CertifiedKey) -> Self {
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

/// Presents the first certificate whose CA the other end names, or the first certificate if it
/// names none of the CAs.
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
    revoked: &RevokedCertificates,
    encryption: Encryption,
) -> Result<Arc<ServerConfig>, IdentityError> {
    let what = "the TLS configuration for accepting";
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider())
        .build()
        .map_err(|error| crypto(what, &error))?;
    let mut config = ServerConfig::builder_with_provider(encryption.provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| crypto(what, &error))?
        .with_client_cert_verifier(Arc::new(UnrevokedClients {
            clients,
            revoked: revoked.clone(),
        }))
        .with_cert_resolver(Arc::new(Offer(Arc::clone(credentials))));
    // Links and gRPC need HTTP/2; REST takes both.
    config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

pub(super) fn client_config(
    credentials: &Arc<[Credential]>,
    roots: &Arc<RootCertStore>,
    (mesh_trust, revoked): (&Arc<MeshTrust>, &RevokedCertificates),
    encryption: Encryption,
) -> Result<Arc<ClientConfig>, IdentityError> {
    let what = "the TLS configuration for dialling";
    // In a mesh with secrets the dialer names its CAs in the first message: the acceptor chooses
    // its certificate by them, or can explain why it has none.
    let wanted = match mesh_trust.trust {
        Trust::Authority => None,
        Trust::Secrets(_) => Some(roots.subjects()),
    };
    let verifier = AnyNode {
        roots: Arc::clone(roots),
        mesh_trust: Arc::clone(mesh_trust),
        revoked: revoked.clone(),
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
    // The dialed node is not identified by a host name.
    config.enable_sni = false;
    Ok(Arc::new(config))
}

/// Returns whether a signature over a text is that of a certificate's key.
pub(super) fn verify_signature(
    certificate: &CertificateDer<'_>,
    scheme: SignatureScheme,
    text: &[u8],
    signature: &[u8],
) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return false;
    };
    let key = &parsed.public_key().subject_public_key.data;
    let supported = algorithms();
    let mut of_scheme = supported.mapping.iter().filter(|(it, _)| *it == scheme);
    of_scheme.any(|(_, all)| {
        let mut all = all.iter();
        all.any(|it| it.verify_signature(key, text, signature).is_ok())
    })
}

/// Accepts dialers with a valid certificate that is not revoked.
#[derive(Debug)]
struct UnrevokedClients {
    clients: Arc<dyn ClientCertVerifier>,
    revoked: RevokedCertificates,
}

impl ClientCertVerifier for UnrevokedClients {
    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.clients.verify_client_cert(own, intermediates, now)?;
        self.revoked.check(own)?;
        Ok(verified)
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.clients.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.clients
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.clients
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.clients.supported_verify_schemes()
    }
}

/// Accepts any acceptor with a valid node certificate of a trusted CA.
#[derive(Debug)]
struct AnyNode {
    roots: Arc<RootCertStore>,
    mesh_trust: Arc<MeshTrust>,
    revoked: RevokedCertificates,
    wanted: Option<Vec<DistinguishedName>>,
}

impl AnyNode {
    /// Replaces an error by a plain explanation if its reason is a mesh secret.
    fn explain(&self, own: &CertificateDer<'_>, error: Error) -> Error {
        if error != Error::InvalidCertificate(CertificateError::UnknownIssuer) {
            return error;
        }
        match self.mesh_trust.quarrel(&[CaName::of_issuer(own)]) {
            Some(why) => {
                let why = OtherError(Arc::new(Quarrel(why)));
                Error::InvalidCertificate(CertificateError::Other(why))
            }
            None => error,
        }
    }
}

/// Reason why a peer is not trusted.
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
        self.revoked.check(own)?;
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
