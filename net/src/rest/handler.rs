//! One request: the binding of its path, the call, and the answer.

use super::binding::{self, Binding, BindingError};
use super::openapi;
use super::problem::Problem;
use super::request::{self, RequestParts};
use crate::dynamic::DynamicCodec;
use crate::registry::MESSAGE_BYTES_MAX;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::header::{ALLOW, CONTENT_TYPE, ETAG, IF_MATCH};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use prost_reflect::{DynamicMessage, SerializeOptions};
use std::sync::Arc;
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;

/// The paths of REST.
const PATHS: &str = "/v1/{*path}";
/// The path of the OpenAPI document.
const OPENAPI: &str = "/v1/openapi.json";
/// The content type of answers.
const JSON: &str = "application/json";

/// The routes of the HTTP bindings of services.
#[derive(Clone, Debug)]
pub struct RestApi {
    bindings: Arc<[Binding]>,
    openapi: Arc<str>,
    services: Routes,
}

impl RestApi {
    /// Adds the HTTP bindings of a service to routes that have the service.
    ///
    /// # Errors
    /// If the bindings in the definitions are not valid.
    pub fn add(routes: Routes, service: &str) -> Result<Routes, BindingError> {
        let bindings = binding::of_service(service)?;
        let document = openapi::document(service, &bindings);
        let router = routes.clone().into_axum_router();
        let rest = Self {
            bindings: bindings.into(),
            openapi: document.to_string().into(),
            services: routes.prepare(),
        };
        let own = Router::new().route(PATHS, any(answer)).with_state(rest);
        Ok(router.merge(own).into())
    }

    /// The binding of a request with the values of its variables, or the methods of its path.
    fn find(&self, method: &Method, path: &str) -> Result<Found<'_>, Problem> {
        let mut allowed = Vec::new();
        for binding in &*self.bindings {
            let Some(variables) = binding.template.matches(path) else {
                continue;
            };
            if binding.http == *method {
                return Ok(Found::Binding(binding, variables));
            }
            allowed.push(binding.http.as_str());
        }
        if allowed.is_empty() {
            let detail = format!("{path}: there is no such path; {OPENAPI} has them all");
            return Err(Problem::new(StatusCode::NOT_FOUND, detail));
        }
        allowed.sort_unstable();
        allowed.dedup();
        Ok(Found::Other(allowed.join(", ")))
    }

    async fn call(&self, request: Request) -> Result<Response, Problem> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        if path == OPENAPI {
            return match parts.method {
                Method::GET => {
                    Ok(([(CONTENT_TYPE, JSON)], self.openapi.to_string()).into_response())
                }
                _ => Ok(not_allowed("GET")),
            };
        }
        let (binding, variables) = match self.find(&parts.method, path)? {
            Found::Binding(binding, variables) => (binding, variables),
            Found::Other(allowed) => return Ok(not_allowed(&allowed)),
        };
        let query = query(&parts.uri)?;
        let body = read(body, &parts.headers).await?;
        let tag = if_match(&parts.headers)?;
        let message = request::message(
            binding,
            &RequestParts {
                variables: &variables,
                query: &query,
                body: &body,
                if_match: tag.as_deref(),
            },
        );
        let message = message.map_err(|why| Problem::new(StatusCode::BAD_REQUEST, why))?;
        let method = &binding.method;
        let to = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let to = PathAndQuery::try_from(to);
        let to = to.map_err(|error| internal(&error))?;
        let codec = DynamicCodec {
            decodes: method.output(),
        };
        // The extensions have the caller of the connection.
        let request = tonic::Request::from_parts(MetadataMap::new(), parts.extensions, message);
        let mut client = Grpc::new(self.services.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        client.ready().await.map_err(|error| internal(&error))?;
        let reply = client.unary(request, to, codec).await;
        let reply = reply.map_err(|status| Problem::of_status(&status, tag.is_some()))?;
        shown(&reply.into_inner())
    }
}

/// What a path and a method lead to.
enum Found<'a> {
    /// A method of a service, with the values of the path's variables.
    Binding(&'a Binding, Vec<(&'a str, String)>),
    /// The path has these methods only.
    Other(String),
}

async fn answer(State(rest): State<RestApi>, request: Request) -> Response {
    let answered = rest.call(request).await;
    answered.unwrap_or_else(IntoResponse::into_response)
}

fn internal(error: &impl std::fmt::Display) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

fn not_allowed(allowed: &str) -> Response {
    let detail = format!("this path takes {allowed}");
    let mut response = Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).into_response();
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}

fn query(uri: &Uri) -> Result<Vec<(String, String)>, Problem> {
    let query = Query::<Vec<(String, String)>>::try_from_uri(uri);
    let wrong = |error| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            format!("the query is not valid: {error}"),
        )
    };
    Ok(query.map_err(wrong)?.0)
}

async fn read(body: Body, headers: &HeaderMap) -> Result<Vec<u8>, Problem> {
    let bytes = to_bytes(body, MESSAGE_BYTES_MAX).await;
    let bytes = bytes.map_err(|_| {
        let detail = format!("the body has more than {MESSAGE_BYTES_MAX} bytes or was cut off");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    })?;
    let kind = headers
        .get(CONTENT_TYPE)
        .map(|kind| kind.to_str().unwrap_or("?"));
    let is_json = kind.is_none_or(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case(JSON)
    });
    if !bytes.is_empty() && !is_json {
        let detail = format!("the body is {}; send {JSON}", kind.unwrap_or_default());
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    Ok(bytes.into())
}

/// The entity tag of the header `If-Match`; none if it is absent or `*`.
fn if_match(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all(IF_MATCH).iter();
    let Some(value) = given.next() else {
        return Ok(None);
    };
    let text = value.to_str().ok().filter(|_| given.next().is_none());
    if text == Some("*") {
        return Ok(None);
    }
    let tag = text.and_then(|text| text.trim().strip_prefix('"')?.strip_suffix('"'));
    let tag = tag.filter(|tag| !tag.is_empty() && !tag.contains('"'));
    let wrong = || {
        let detail = "If-Match: is not one entity tag in quotes, as the header ETag has it";
        Problem::new(StatusCode::BAD_REQUEST, detail)
    };
    Ok(Some(tag.ok_or_else(wrong)?.to_owned()))
}

/// The answer with a message. The entity tag of its metadata is the header `ETag`, too.
fn shown(message: &DynamicMessage) -> Result<Response, Problem> {
    let options = SerializeOptions::new().skip_default_fields(true);
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut text);
    let written = message.serialize_with_options(&mut serializer, &options);
    written.map_err(|error| internal(&error))?;
    let mut response = ([(CONTENT_TYPE, JSON)], text).into_response();
    if let Some(tag) = entity_tag(message)
        && let Ok(tag) = HeaderValue::from_str(&format!("\"{tag}\""))
    {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}

fn entity_tag(message: &DynamicMessage) -> Option<String> {
    let metadata = message.get_field_by_name("metadata")?;
    let tag = metadata.as_message()?.get_field_by_name("etag")?;
    let tag = tag.as_str().filter(|tag| !tag.is_empty());
    tag.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::ObjectApi;

    #[test]
    fn the_bindings_of_the_registry_are_valid_and_documented() {
        let bindings = binding::of_service(ObjectApi::NAME).unwrap();
        let document = openapi::document(ObjectApi::NAME, &bindings);
        let objects = &document["paths"]["/v1/objects"];
        assert_eq!(objects["get"]["operationId"], "ListObjects");
        assert_eq!(objects["post"]["operationId"], "CreateObject");
        let one = &document["paths"]["/v1/objects/{name}"]["get"];
        assert_eq!(
            one["description"],
            "Returns one object. NOT_FOUND if it does not exist."
        );
        let status = &document["paths"]["/v1/registry/status"]["get"]["responses"]["200"];
        let schema = "#/components/schemas/RegistryStatus";
        assert_eq!(
            status["content"]["application/json"]["schema"]["$ref"],
            schema
        );
        let metadata = &document["components"]["schemas"]["ObjectMetadata"]["properties"];
        assert_eq!(metadata["createTime"]["format"], "date-time");
        assert!(binding::of_service("phalanx.registry.v1.Other").is_err());
    }

    /// The text of the message of a request, whose path variables are all `services/shop`.
    fn build(
        (http, name): (Method, &str),
        query: &[(&str, &str)],
        body: &str,
        if_match: Option<&str>,
    ) -> Result<String, String> {
        let bindings = binding::of_service(ObjectApi::NAME).unwrap();
        let mut bindings = bindings.iter();
        let is_asked = |it: &&Binding| it.http == http && it.method.name() == name;
        let binding = bindings.find(is_asked).unwrap();
        let fields = binding.template.fields();
        let variables: Vec<_> = fields.map(|it| (it, "services/shop".to_owned())).collect();
        let query = query.iter();
        let query = query.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let query: Vec<_> = query.collect();
        let parts = RequestParts {
            variables: &variables,
            query: &query,
            body: body.as_bytes(),
            if_match,
        };
        request::message(binding, &parts).map(|message| message.to_string())
    }

    #[test]
    fn a_request_becomes_a_message_or_names_the_field_that_is_wrong() {
        let list = |query: &[(&str, &str)]| build((Method::GET, "ListObjects"), query, "", None);
        let good = [
            ("selector", "services"),
            ("pageSize", "5"),
            ("field_mask", "name"),
        ];
        let message = list(&good).unwrap();
        assert!(message.contains("selector:\"services\""), "{message}");
        assert!(message.contains("page_size:5"), "{message}");
        for (wrong, expected) in [
            (("page_size", "x"), "page_size: \"x\" is not a whole number"),
            (
                ("other", "x"),
                "other: is not a field; there is fieldMask, filter",
            ),
            (("with_total_size", "1"), "is neither true nor false"),
            (("view", "WHOLE"), "WHOLE"),
        ] {
            let why = list(&[wrong]).unwrap_err();
            assert!(why.contains(expected), "{why}");
        }
        let why = list(&[("filter", "a"), ("filter", "b")]).unwrap_err();
        assert!(why.contains("is given twice"), "{why}");
    }

    #[test]
    fn a_body_and_a_condition_belong_to_requests_that_have_them() {
        let get = (Method::GET, "ListObjects");
        let why = build(get.clone(), &[], "{}", None).unwrap_err();
        assert!(why.contains("has no body"), "{why}");
        let why = build(get, &[], "", Some("x")).unwrap_err();
        assert!(why.contains("If-Match"), "{why}");
        let update = |body: &str| build((Method::PATCH, "UpdateObject"), &[], body, Some("tag"));
        let message = update(r#"{"name": "services/other", "body": {"tier": "web"}}"#).unwrap();
        assert!(message.contains("name:\"services/shop\""), "{message}");
        assert!(message.contains("etag:\"tag\""), "{message}");
        for (body, expected) in [("[]", "is not a JSON object"), ("{\"nam\": 1}", "nam")] {
            let why = update(body).unwrap_err();
            assert!(why.contains(expected), "{why}");
        }
    }
}
