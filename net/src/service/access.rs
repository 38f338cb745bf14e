//! The callers of requests. Core decides what they may do.

use crate::identity::Subject;
use crate::transport::Caller;
use phalanx_core::access::{self, Denial};
use tonic::{Request, Status};

/// Returns the caller of a request. A connection without a certificate does not get this far; its
/// requests are rejected nevertheless, and so are requests on unencrypted connections.
pub(crate) fn caller<T>(request: &Request<T>) -> Result<&Caller, Status> {
    let caller = request.extensions().get::<Caller>().ok_or_else(|| {
        Status::unauthenticated("no certificate was presented on this connection")
    })?;
    access::call(caller.encrypted).map_err(denied)?;
    Ok(caller)
}

/// Allows only holders that may see the members of the mesh.
pub(super) fn viewers<T>(request: &Request<T>) -> Result<(), Status> {
    access::view(&caller(request)?.peer.subject).map_err(denied)
}

/// Allows only administrators and holders of this node's own certificate.
pub(super) fn inner_circle<T>(own: &Subject, request: &Request<T>) -> Result<(), Status> {
    let subject = &caller(request)?.peer.subject;
    access::manage(subject, own).map_err(denied)
}

fn denied(denial: Denial) -> Status {
    Status::permission_denied(denial.to_string())
}
