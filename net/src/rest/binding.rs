//! The methods that have an HTTP binding.

use super::template::PathTemplate;
use crate::dynamic::definitions;
use axum::http::Method;
use prost_reflect::{DynamicMessage, FileDescriptor, MethodDescriptor, ServiceDescriptor, Value};

/// The HTTP methods that a binding can have, by the name of their field.
const METHODS: [(&str, Method); 5] = [
    ("get", Method::GET),
    ("put", Method::PUT),
    ("post", Method::POST),
    ("delete", Method::DELETE),
    ("patch", Method::PATCH),
];

/// An HTTP binding of the definitions that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the HTTP bindings of {service}: {problem}")]
pub struct BindingError {
    service: String,
    problem: String,
}

/// The part of a request that the body of the HTTP request has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BindingBody {
    /// Nothing.
    Absent,
    /// The whole request.
    Whole,
    /// One field.
    Field(String),
}

/// A method under one HTTP method and path.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub(super) method: MethodDescriptor,
    pub(super) http: Method,
    pub(super) template: PathTemplate,
    pub(super) body: BindingBody,
}

/// The bindings of a service, in the order of the definitions.
///
/// # Errors
/// If the service does not exist, or a binding is not valid.
pub(super) fn of_service(name: &str) -> Result<Vec<Binding>, BindingError> {
    let wrong = |problem: String| BindingError {
        service: name.to_owned(),
        problem,
    };
    let pool = definitions().map_err(wrong)?;
    let option = pool.get_extension_by_name("google.api.http");
    let option = option.ok_or_else(|| wrong("google.api.http is not defined".to_owned()))?;
    let service: Option<ServiceDescriptor> = pool.get_service_by_name(name);
    let service = service.ok_or_else(|| wrong("is not defined".to_owned()))?;
    let mut bindings = Vec::new();
    for method in service.methods() {
        let options = method.options();
        if !options.has_extension(&option) {
            continue;
        }
        let rule = options.get_extension(&option);
        let Some(rule) = rule.as_message() else {
            continue;
        };
        bindings.push(of_rule(&method, rule).map_err(wrong)?);
        let further = rule.get_field_by_name("additional_bindings");
        for rule in further.iter().filter_map(|it| it.as_list()).flatten() {
            if let Some(rule) = rule.as_message() {
                bindings.push(of_rule(&method, rule).map_err(wrong)?);
            }
        }
    }
    Ok(bindings)
}

fn of_rule(method: &MethodDescriptor, rule: &DynamicMessage) -> Result<Binding, String> {
    let text = |field: &str| match rule.get_field_by_name(field).as_deref() {
        Some(Value::String(text)) => text.clone(),
        Some(_) | None => String::new(),
    };
    let named = METHODS
        .iter()
        .find(|(field, _)| rule.has_field_by_name(field));
    let (field, http) = named.ok_or_else(|| format!("{} has no path", method.name()))?;
    if method.is_client_streaming() || method.is_server_streaming() {
        return Err(format!("{} is a stream", method.name()));
    }
    let body = match text("body").as_str() {
        "" => BindingBody::Absent,
        "*" => BindingBody::Whole,
        field => BindingBody::Field(field.to_owned()),
    };
    Ok(Binding {
        method: method.clone(),
        http: http.clone(),
        template: PathTemplate::parse(&text(field))?,
        body,
    })
}

/// The comment above a definition.
pub(super) fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let info = file.file_descriptor_proto().source_code_info.as_ref();
    let locations = info.into_iter().flat_map(|info| &info.location);
    let location = locations.into_iter().find(|it| it.path == path);
    let comment = location.and_then(|it| it.leading_comments.as_deref());
    let lines = comment.unwrap_or_default().lines().map(str::trim);
    lines.collect::<Vec<_>>().join(" ").trim().to_owned()
}
