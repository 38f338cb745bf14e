//! Converts errors of connections into dial errors and readable reasons.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "these enums of other crates are non-exhaustive"
)]

use phalanx_core::link::{CloseReason, DialError};
use rustls::{AlertDescription, CertificateError, Error as Tls};
use std::io;
use tonic::{Code, Status};

/// Converts an error of connecting, before any byte was exchanged.
pub(crate) fn connecting(error: &io::Error) -> DialError {
    match error.kind() {
        // A reset is not a refusal: a firewall or a proxy on the way resets connections to nodes that are alive.
        io::ErrorKind::ConnectionRefused => DialError::Refused,
        io::ErrorKind::TimedOut => DialError::TimedOut,
        // All other errors mean that the address cannot be reached from this machine.
        _ => DialError::Unreachable,
    }
}

/// Converts an error between connecting and the first reply.
pub(crate) fn dial_error(error: &io::Error) -> DialError {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Tls>());
    match (tls, error.kind()) {
        (Some(tls), _) => of_tls(tls),
        (None, io::ErrorKind::TimedOut) => DialError::TimedOut,
        (None, _) => DialError::Protocol(format!("it aborted the TLS handshake ({error})")),
    }
}

/// Converts an error of the connection after this end completed the TLS handshake. The other end speaks TLS, and its
/// alert may be lost with the connection.
pub(crate) fn after_handshake(error: &io::Error) -> DialError {
    let is_tls = error.get_ref().is_some_and(|inner| inner.is::<Tls>());
    if !is_tls && is_end(error) {
        return DialError::Untrusted(format!(
            "it ended the connection after the handshake ({error}); it may not accept the certificate of this end: check \
             that it has neither expired nor been revoked, and the clocks"
        ));
    }
    dial_error(error)
}

/// Converts an error of the call that opens a link; `failure` is the error of the connection below
/// it.
pub(crate) fn opening(status: &Status, failure: Option<io::Error>) -> DialError {
    // With TLS 1.3 the dialer's handshake completes before the acceptor has verified the dialer's
    // certificate.
    if let Some(failure) = failure {
        return after_handshake(&failure);
    }
    match status.code() {
        Code::PermissionDenied | Code::Unauthenticated => {
            DialError::Untrusted(status.message().to_owned())
        }
        Code::DeadlineExceeded => DialError::TimedOut,
        Code::Unavailable => DialError::Protocol("it closed the connection".to_owned()),
        code => DialError::Protocol(format!(
            "the link was not opened: {code}: {}",
            status.message()
        )),
    }
}

/// How a connection ended under an open link. `failure` is the error of the connection below HTTP/2, if there was one.
pub(crate) fn closing(status: &Status, failure: Option<&io::Error>) -> CloseReason {
    match failure.map(io::Error::kind) {
        Some(io::ErrorKind::UnexpectedEof) => CloseReason::Fin,
        Some(
            io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable,
        ) => CloseReason::TimedOut,
        Some(_) => CloseReason::Reset,
        None if is_timeout(status) => CloseReason::TimedOut,
        // The connection ended without an error, in the middle of the link's stream.
        None => CloseReason::Fin,
    }
}

/// Whether HTTP/2 gave the connection up because its pings were not answered.
fn is_timeout(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.to_string().contains("timed out") {
            return true;
        }
        source = error.source();
    }
    status.code() == Code::DeadlineExceeded
}

/// Converts an error of a TLS handshake.
fn of_tls(error: &Tls) -> DialError {
    match error {
        Tls::InvalidCertificate(why) => DialError::Untrusted(of_certificate(why)),
        Tls::NoCertificatesPresented => {
            DialError::Untrusted("it presents no certificate".to_owned())
        }
        Tls::AlertReceived(alert) => of_alert(*alert),
        Tls::InvalidMessage(_) => DialError::Protocol(
            "its bytes are not valid TLS; it may speak another protocol".to_owned(),
        ),
        other => DialError::Protocol(other.to_string()),
    }
}

/// Describes the problem with the other end's certificate.
pub(crate) fn of_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired; issue a new one".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet; compare the clocks".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "its certificate is signed by an unknown CA; issue one from this mesh's CA (phalanx ca \
             issue)"
                .to_owned()
        }
        CertificateError::BadSignature => {
            "its certificate is signed by a CA with the same name as the mesh's CA but another key; issue one from this \
             mesh's CA (phalanx ca issue)"
                .to_owned()
        }
        CertificateError::Revoked => "its certificate is revoked".to_owned(),
        CertificateError::Other(other) => other.to_string(),
        other => format!("its certificate is not valid: {other}"),
    }
}

/// Converts the alert that the other end sent before it aborted.
fn of_alert(alert: AlertDescription) -> DialError {
    let untrusted = |why: &str| {
        DialError::Untrusted(format!(
            "it does not accept the certificate of this end: {why}"
        ))
    };
    match alert {
        AlertDescription::UnknownCA => {
            untrusted("signed by a CA that it does not know; use a certificate of its mesh's CA")
        }
        // rustls sends this alert for a signature that does not match.
        AlertDescription::DecryptError => untrusted(
            "signed by a CA with the same name as its own CA but another key; use a certificate of its mesh's CA",
        ),
        AlertDescription::CertificateExpired => untrusted("expired; issue a new one"),
        AlertDescription::CertificateRevoked => untrusted("revoked"),
        AlertDescription::CertificateRequired => untrusted("none was presented"),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => untrusted(&format!("{alert:?}")),
        other => DialError::Protocol(format!("it aborted the TLS handshake with {other:?}")),
    }
}

/// Whether the other end closed the connection.
pub(crate) fn is_end(error: &io::Error) -> bool {
    let ends = [
        io::ErrorKind::UnexpectedEof,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::BrokenPipe,
        io::ErrorKind::NotConnected,
    ];
    ends.contains(&error.kind())
}

/// Describes why a handshake failed at the acceptor, and returns whether certificates are the reason. A reason about
/// mesh secrets (`quarrel`) is more informative than the certificate errors of TLS. A dialer that ends the connection
/// after a valid first message (`claims_were_read`) speaks TLS, and may have rejected this node's certificate.
pub(crate) fn accepting(
    error: &io::Error,
    claims_were_read: bool,
    quarrel: Option<String>,
) -> (String, bool) {
    if is_end(error) && claims_were_read {
        let why = quarrel.unwrap_or_else(|| "it may not trust this node".to_owned());
        return (
            format!("it ended the connection during the handshake: {why}"),
            false,
        );
    }
    match dial_error(error) {
        DialError::Untrusted(why) => (format!("not trusted: {}", quarrel.unwrap_or(why)), true),
        DialError::Protocol(why) => (why, false),
        other @ (DialError::Refused | DialError::TimedOut | DialError::Unreachable) => {
            (other.to_string(), false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io_error(tls: Tls) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, tls)
    }

    #[test]
    fn a_bad_certificate_is_untrusted_with_its_reason() {
        let error = io_error(Tls::InvalidCertificate(CertificateError::Expired));
        assert_eq!(
            dial_error(&error),
            DialError::Untrusted("its certificate has expired; issue a new one".to_owned())
        );
        let error = io_error(Tls::AlertReceived(AlertDescription::UnknownCA));
        assert!(
            matches!(dial_error(&error), DialError::Untrusted(why) if why.contains("does not know"))
        );
    }

    #[test]
    fn a_certificate_of_another_ca_is_named_with_the_mend() {
        for unknown in [
            CertificateError::UnknownIssuer,
            CertificateError::BadSignature,
        ] {
            let said = of_certificate(&unknown);
            assert!(said.contains("(phalanx ca issue)"), "{said}");
        }
        for alert in [AlertDescription::UnknownCA, AlertDescription::DecryptError] {
            let said = of_alert(alert).to_string();
            assert!(
                said.contains("use a certificate of its mesh's CA"),
                "{said}"
            );
        }
    }

    #[test]
    fn an_error_of_the_connection_takes_precedence_over_the_status() {
        let alert = io_error(Tls::AlertReceived(AlertDescription::CertificateExpired));
        let status = Status::unavailable("transport error");
        assert!(matches!(
            opening(&status, Some(alert)),
            DialError::Untrusted(_)
        ));
        assert!(matches!(opening(&status, None), DialError::Protocol(_)));
        let denied = Status::permission_denied("only nodes");
        assert_eq!(
            opening(&denied, None),
            DialError::Untrusted("only nodes".to_owned())
        );
    }

    #[test]
    fn a_connection_that_ends_after_the_handshake_does_not_speak_another_protocol() {
        for kind in [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset] {
            let failed = opening(&Status::unavailable("x"), Some(kind.into()));
            let DialError::Untrusted(why) = failed else {
                panic!("{failed:?}");
            };
            assert!(why.contains("may not accept the certificate"), "{why}");
        }
        let alert = io_error(Tls::AlertReceived(AlertDescription::CertificateExpired));
        let why = after_handshake(&alert).to_string();
        assert!(
            why.ends_with("certificate of this end: expired; issue a new one"),
            "{why}"
        );
    }

    #[test]
    fn a_broken_connection_is_not_taken_for_another_protocol() {
        for kind in [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset] {
            let (reason, untrusted) = accepting(&kind.into(), false, None);
            assert!(
                reason.starts_with("it aborted the TLS handshake ("),
                "{reason}"
            );
            assert!(!untrusted);
            let dialled = dial_error(&kind.into()).to_string();
            assert!(!dialled.contains("protocol"), "{dialled}");
        }
        let bytes = io_error(Tls::InvalidMessage(
            rustls::InvalidMessage::InvalidContentType,
        ));
        let (reason, _) = accepting(&bytes, false, None);
        assert!(reason.contains("may speak another protocol"), "{reason}");
    }

    #[test]
    fn a_failed_connect_is_refused_timed_out_or_unreachable() {
        let of = |kind: io::ErrorKind| connecting(&kind.into());
        assert_eq!(of(io::ErrorKind::ConnectionRefused), DialError::Refused);
        assert_eq!(of(io::ErrorKind::ConnectionReset), DialError::Unreachable);
        assert_eq!(of(io::ErrorKind::TimedOut), DialError::TimedOut);
        assert_eq!(of(io::ErrorKind::HostUnreachable), DialError::Unreachable);
        assert_eq!(of(io::ErrorKind::Other), DialError::Unreachable);
    }

    #[test]
    fn a_broken_connection_ended_by_fin_by_reset_or_by_a_time_out() {
        let status = Status::unknown("h2 protocol error");
        let of = |kind: io::ErrorKind| closing(&status, Some(&kind.into()));
        assert_eq!(of(io::ErrorKind::UnexpectedEof), CloseReason::Fin);
        assert_eq!(of(io::ErrorKind::ConnectionReset), CloseReason::Reset);
        assert_eq!(of(io::ErrorKind::BrokenPipe), CloseReason::Reset);
        assert_eq!(of(io::ErrorKind::TimedOut), CloseReason::TimedOut);
        assert_eq!(of(io::ErrorKind::HostUnreachable), CloseReason::TimedOut);
        assert_eq!(closing(&status, None), CloseReason::Fin);
        let pings = io::Error::other("keep-alive timed out");
        let status = Status::from_error(Box::new(pings));
        assert_eq!(closing(&status, None), CloseReason::TimedOut);
    }
}
