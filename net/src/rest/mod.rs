//! HTTP with JSON beside gRPC, on the same port and with the same certificates.
//!
//! The options `google.api.http` of the protocol definitions are the only description of the routes: they drive the
//! [router](RestApi) and the OpenAPI document. A request becomes a call of the same service, with the caller of
//! its connection, so that REST allows what gRPC allows.
//!
//! - `binding`: the methods with their HTTP methods and path templates.
//! - `template`: path templates.
//! - `request`: the message of a request.
//! - `problem`: errors, as RFC 9457 describes them.
//! - `openapi`: the OpenAPI document.
//! - `handler`: one request; start there.
//!
//! JSON is the JSON of protocol buffers. Bounds: a body has at most
//! [`MESSAGE_BYTES_MAX`](crate::registry::MESSAGE_BYTES_MAX) bytes.

mod binding;
mod handler;
mod openapi;
mod problem;
mod request;
mod template;

pub use binding::BindingError;
pub use handler::RestApi;
