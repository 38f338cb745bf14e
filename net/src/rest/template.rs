//! Path templates of `google.api.http`, without verbs behind variables.
//!
//! `/v1/objects/{name=**}` takes `/v1/objects/services/shop` with `name` = `services/shop`. `*` takes one segment, `**` all
//! that follow.

use percent_encoding::percent_decode_str;

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// This text.
    Literal(String),
    /// One segment that is not empty.
    One,
    /// All segments that follow, at least one.
    Rest,
}

/// A variable: the path of a field, and the segments that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Variable {
    field: String,
    from: usize,
    to: usize,
}

/// A path template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathTemplate {
    segments: Vec<Segment>,
    variables: Vec<Variable>,
}

impl PathTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with the template.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |problem: &str| Err(format!("the path template {text:?} {problem}"));
        let Some(mut rest) = text.strip_prefix('/') else {
            return wrong("does not begin with /");
        };
        let (mut segments, mut variables) = (Vec::new(), Vec::new());
        loop {
            if let Some(inner) = rest.strip_prefix('{') {
                let Some((variable, behind)) = inner.split_once('}') else {
                    return wrong("has a variable without an end");
                };
                let (field, pattern) = variable.split_once('=').unwrap_or((variable, "*"));
                let from = segments.len();
                segments.extend(pattern.split('/').map(segment));
                let (field, to) = (field.to_owned(), segments.len());
                variables.push(Variable { field, from, to });
                rest = behind;
            } else {
                let end = rest.find('/').unwrap_or(rest.len());
                segments.push(segment(&rest[..end]));
                rest = &rest[end..];
            }
            match rest.strip_prefix('/') {
                Some(behind) => rest = behind,
                None if rest.is_empty() => break,
                None => return wrong("has text behind a variable"),
            }
        }
        let before = segments.iter().rev().skip(1);
        if before.clone().any(|it| *it == Segment::Rest) {
            return wrong("has ** before its end");
        }
        Ok(Self {
            segments,
            variables,
        })
    }

    /// The values of the variables in a path; none if the path is another one. A value that is not UTF-8 is taken with
    /// replacement characters, which no name contains.
    pub(super) fn matches(&self, path: &str) -> Option<Vec<(&str, String)>> {
        let path = path.strip_prefix('/')?;
        let mut given: Vec<&str> = path.split('/').collect();
        if self.segments.last() == Some(&Segment::Rest) {
            let fixed = self.segments.len() - 1;
            let start: usize = given.get(..fixed)?.iter().map(|it| it.len() + 1).sum();
            let rest = path.get(start..).filter(|rest| !rest.is_empty())?;
            given.truncate(fixed);
            given.push(rest);
        }
        let fits = given.len() == self.segments.len()
            && given
                .iter()
                .zip(&self.segments)
                .all(|(given, segment)| match segment {
                    Segment::Literal(text) => given == text,
                    Segment::One | Segment::Rest => !given.is_empty(),
                });
        let value = |variable: &'_ Variable| {
            let raw = given[variable.from..variable.to].join("/");
            percent_decode_str(&raw).decode_utf8_lossy().into_owned()
        };
        fits.then(|| {
            let variables = self.variables.iter();
            let values = variables.map(|it| (it.field.as_str(), value(it)));
            values.collect()
        })
    }

    /// The fields that the path has.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|it| it.field.as_str())
    }

    /// The path as OpenAPI writes it, each variable as one parameter.
    pub(super) fn openapi(&self) -> String {
        let mut text = String::new();
        let mut index = 0;
        while index < self.segments.len() {
            text.push('/');
            let variable = self.variables.iter().find(|it| it.from == index);
            match (variable, &self.segments[index]) {
                (Some(variable), _) => {
                    text.push_str(&format!("{{{}}}", parameter(&variable.field)));
                    index = variable.to;
                    continue;
                }
                (None, Segment::Literal(literal)) => text.push_str(literal),
                (None, Segment::One) => text.push('*'),
                (None, Segment::Rest) => text.push_str("**"),
            }
            index += 1;
        }
        text
    }
}

/// The name of a path's parameter: methods of one path name the same value by different fields.
pub(super) fn parameter(field: &str) -> &str {
    field.rsplit_once('.').map_or(field, |(_, last)| last)
}

fn segment(text: &str) -> Segment {
    match text {
        "*" => Segment::One,
        "**" => Segment::Rest,
        text => Segment::Literal(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(template: &str, path: &str) -> Option<String> {
        let template = PathTemplate::parse(template).unwrap();
        let values = template.matches(path)?;
        let values = values
            .iter()
            .map(|(field, value)| format!("{field}={value}"));
        Some(values.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_path_gives_the_values_of_its_variables() {
        let all = "/v1/objects/{name=**}";
        for (template, path, expected) in [
            (all, "/v1/objects/services/shop", Some("name=services/shop")),
            (
                all,
                "/v1/objects///shop/orders/o-17",
                Some("name=//shop/orders/o-17"),
            ),
            (
                all,
                "/v1/objects/%2F%2Fshop%2Forders",
                Some("name=//shop/orders"),
            ),
            (all, "/v1/objects", None),
            (all, "/v1/objects/", None),
            (all, "/v2/objects/services/shop", None),
            ("/v1/objects:apply", "/v1/objects:apply", Some("")),
            ("/v1/objects:apply", "/v1/objects", None),
            (
                "/v1/{it=a/*}/b/{other}",
                "/v1/a/x/b/y",
                Some("it=a/x other=y"),
            ),
            ("/v1/{it=a/*}/b/{other}", "/v1/a//b/y", None),
            ("/v1/{it=a/*}/b/{other}", "/v1/a/x/b/y/z", None),
        ] {
            assert_eq!(
                matched(template, path).as_deref(),
                expected,
                "{template} {path}"
            );
        }
        assert_eq!(
            PathTemplate::parse("/v1/{it=a/*}/b/{other}")
                .unwrap()
                .openapi(),
            "/v1/{it}/b/{other}"
        );
    }

    #[test]
    fn a_wrong_template_says_what_is_wrong() {
        for (template, problem) in [
            ("v1", "does not begin with /"),
            ("/v1/{name", "has a variable without an end"),
            ("/v1/{name}:verb", "has text behind a variable"),
            ("/v1/{name=**}/x", "has ** before its end"),
        ] {
            let why = PathTemplate::parse(template).unwrap_err();
            assert!(why.ends_with(problem), "{why}");
        }
    }
}
