//! Authorization of calls.

use crate::identity::{CertificateRole, Subject};
use crate::transport::Caller;
use tonic::{Request, Status};

/// Returns the caller of a request. A connection without a certificate does not get this far; its
/// requests are rejected nevertheless, and so are requests on unencrypted connections.
pub(super) fn caller<T>(request: &Request<T>) -> Result<&Caller, Status> {
    let caller = request.extensions().get::<Caller>().ok_or_else(|| {
        Status::unauthenticated("no certificate was presented on this connection")
    })?;
    if caller.encrypted {
        return Ok(caller);
    }
    Err(Status::permission_denied(
        "this connection is not encrypted and may carry only links; open an encrypted connection for calls",
    ))
}

/// Allows only administrators and holders of this node's own certificate.
pub(super) fn inner_circle<T>(own: &Subject, request: &Request<T>) -> Result<(), Status> {
    let subject = &caller(request)?.peer.subject;
    if subject.role() == CertificateRole::Admin || subject.id() == own.id() {
        return Ok(());
    }
    Err(Status::permission_denied(format!(
        "{subject} may not do this; use an administrator's certificate (phalanx ca issue --admin) or this node's own"
    )))
}
