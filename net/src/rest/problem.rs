//! Errors as documents of the type `application/problem+json` (RFC 9457).

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The content type of problems.
const PROBLEM: &str = "application/problem+json";

/// An error of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    /// The members beyond the standard ones.
    extensions: Map<String, Value>,
    /// Seconds after which the request may be repeated.
    retry_after: Option<u64>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            extensions: Map::new(),
            retry_after: None,
        }
    }

    /// The problem of a refused call. `conditional`: the request had `If-Match`.
    pub(super) fn of_status(status: &Status, conditional: bool) -> Self {
        let details = status.get_error_details();
        let mut extensions = Map::from_iter([("code".to_owned(), word(status.code()).into())]);
        if let Some(info) = details.error_info() {
            extensions.insert("reason".to_owned(), info.reason.clone().into());
            if !info.metadata.is_empty() {
                extensions.insert("metadata".to_owned(), json!(info.metadata));
            }
        }
        if let Some(request) = details.bad_request() {
            let violations = request.field_violations.iter();
            let violations =
                violations.map(|it| json!({"field": it.field, "description": it.description}));
            extensions.insert("violations".to_owned(), violations.collect());
        }
        let retry = details.retry_info().and_then(|info| info.retry_delay);
        Self {
            status: http_status(status.code(), conditional),
            detail: status.message().to_owned(),
            extensions,
            // The header has whole seconds.
            retry_after: retry.map(|delay| delay.as_secs() + u64::from(delay.subsec_nanos() > 0)),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let mut document = json!({
            "type": "about:blank",
            "title": title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(members) = document.as_object_mut() {
            members.extend(self.extensions);
        }
        let mut response = (self.status, document.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// The status of HTTP for a code, as `google/rpc/code.proto` maps them.
fn http_status(code: Code, conditional: bool) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        // The state of the objects does not allow the request.
        Code::FailedPrecondition => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Aborted if conditional => StatusCode::PRECONDITION_FAILED,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        // 499 has no constant: the client has gone, and reads no answer.
        Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// The name of a code.
const fn word(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
