//! Who may ask what.

use crate::identity::{Role, Subject};
use crate::transport::Caller;
use tonic::{Request, Status};

/// Who asks. Without a certificate nobody gets this far; a request that did is refused all the same, and so is one that
/// everybody on the way can read.
pub(super) fn caller<T>(request: &Request<T>) -> Result<&Caller, Status> {
    let caller = request.extensions().get::<Caller>().ok_or_else(|| {
        Status::unauthenticated("no certificate was presented on this connection")
    })?;
    if caller.encrypted {
        return Ok(caller);
    }
    Err(Status::permission_denied(
        "this connection is not encrypted; only links go over such, connect anew for calls",
    ))
}

/// Refuses all but administrators and who has this node's own certificate.
pub(super) fn inner_circle<T>(own: &Subject, request: &Request<T>) -> Result<(), Status> {
    let subject = &caller(request)?.peer.subject;
    if subject.role() == Role::Admin || subject.id() == own.id() {
        return Ok(());
    }
    Err(Status::permission_denied(format!(
        "{subject} may not do this; use an administrator's certificate (phalanx ca issue --admin) or this node's own"
    )))
}
