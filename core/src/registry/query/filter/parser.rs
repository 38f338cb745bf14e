//! The parser of filters: recursive descent.
//!
//! ```text
//! any       = all { "OR" all }
//! all       = primary { "AND" primary }
//! primary   = "(" any ")" | path condition
//! condition = ("=" | "!=" | "<" | "<=" | ">" | ">=") value
//!           | "LIKE" text | "CONTAINS" value | "IN" "(" value { "," value } ")"
//!           | "IS" [ "NOT" ] ( "NULL" | "NaN" )
//! value     = text | number | "true" | "false"
//! ```

use super::error::FilterError;
use super::lexer::{Keyword, Token, TokenContent, tokens};
use super::node::{FieldCondition, FilterNode};
use crate::registry::value::{FieldPath, ObjectValue};

/// Maximum length of a filter, in bytes.
pub const FILTER_BYTES_MAX: usize = 8_192;
/// Maximum number of nested parentheses.
pub const FILTER_DEPTH_MAX: usize = 32;
/// Maximum number of conditions on fields.
pub const FILTER_CONDITIONS_MAX: usize = 256;
/// Maximum number of values of one `IN`.
pub const FILTER_VALUES_MAX: usize = 256;

/// Reads a filter; an empty text matches all objects.
pub(super) fn parse(text: &str) -> Result<FilterNode, FilterError> {
    if text.len() > FILTER_BYTES_MAX {
        let problem = "the filter has more than 8192 bytes";
        return Err(FilterError::new(text, 0, problem));
    }
    let mut parser = Parser {
        text,
        tokens: tokens(text)?,
        next: 0,
        conditions: 0,
    };
    if parser.peek() == &TokenContent::End {
        return Ok(FilterNode::All(Vec::new()));
    }
    let node = parser.any(0)?;
    if parser.peek() == &TokenContent::End {
        Ok(node)
    } else {
        parser.fail("expected AND, OR or the end of the filter")
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    next: usize,
    conditions: usize,
}

impl Parser<'_> {
    fn token(&self) -> &Token {
        // The last token is `End`, which `take` does not pass.
        &self.tokens[self.next]
    }

    fn peek(&self) -> &TokenContent {
        &self.token().content
    }

    fn take(&mut self) -> TokenContent {
        let content = self.peek().clone();
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        content
    }

    fn take_if(&mut self, content: &TokenContent) -> bool {
        let is = self.peek() == content;
        if is {
            self.take();
        }
        is
    }

    fn fail<T>(&self, problem: &str) -> Result<T, FilterError> {
        Err(FilterError::new(self.text, self.token().at, problem))
    }

    fn any(&mut self, depth: usize) -> Result<FilterNode, FilterError> {
        let first = self.all(depth)?;
        let mut nodes = vec![first];
        while self.take_if(&TokenContent::Keyword(Keyword::Or)) {
            nodes.push(self.all(depth)?);
        }
        Ok(alone_or(nodes, FilterNode::Any))
    }

    fn all(&mut self, depth: usize) -> Result<FilterNode, FilterError> {
        let first = self.primary(depth)?;
        let mut nodes = vec![first];
        while self.take_if(&TokenContent::Keyword(Keyword::And)) {
            nodes.push(self.primary(depth)?);
        }
        Ok(alone_or(nodes, FilterNode::All))
    }

    fn primary(&mut self, depth: usize) -> Result<FilterNode, FilterError> {
        if depth > FILTER_DEPTH_MAX {
            return self.fail("the filter has more than 32 levels of parentheses");
        }
        if self.take_if(&TokenContent::Open) {
            let node = self.any(depth + 1)?;
            if !self.take_if(&TokenContent::Close) {
                return self.fail("expected AND, OR or `)`");
            }
            return Ok(node);
        }
        let TokenContent::Path(path) = self.peek().clone() else {
            return self.fail("expected a field name or `(`; a field that is called like a keyword stands in backticks");
        };
        self.take();
        if self.conditions == FILTER_CONDITIONS_MAX {
            return self.fail("the filter has more than 256 conditions");
        }
        self.conditions += 1;
        let condition = self.condition(&path)?;
        Ok(FilterNode::Field(path, condition))
    }

    fn condition(&mut self, path: &FieldPath) -> Result<FieldCondition, FilterError> {
        match self.peek().clone() {
            TokenContent::Operator(operator) => {
                self.take();
                Ok(FieldCondition::Compare(operator, self.value()?))
            }
            TokenContent::Keyword(Keyword::Contains) => {
                self.take();
                Ok(FieldCondition::Contains(self.value()?))
            }
            TokenContent::Keyword(Keyword::Like) => {
                self.take();
                match self.take_if_text() {
                    Some(pattern) => Ok(FieldCondition::Like(pattern)),
                    None => self.fail("expected a text after LIKE"),
                }
            }
            TokenContent::Keyword(Keyword::In) => {
                self.take();
                self.values().map(FieldCondition::In)
            }
            TokenContent::Keyword(Keyword::Is) => {
                self.take();
                let holds = !self.take_if(&TokenContent::Keyword(Keyword::Not));
                if self.take_if(&TokenContent::Keyword(Keyword::Null)) {
                    Ok(FieldCondition::Null(holds))
                } else if self.take_if(&TokenContent::Keyword(Keyword::Nan)) {
                    Ok(FieldCondition::Nan(holds))
                } else {
                    self.fail("expected NULL or NaN")
                }
            }
            TokenContent::Keyword(_)
            | TokenContent::Path(_)
            | TokenContent::Text(_)
            | TokenContent::Number(_)
            | TokenContent::Open
            | TokenContent::Close
            | TokenContent::Comma
            | TokenContent::End => self.fail(&format!(
                "expected =, !=, <, <=, >, >=, LIKE, CONTAINS, IN or IS after `{path}`"
            )),
        }
    }

    fn take_if_text(&mut self) -> Option<String> {
        let TokenContent::Text(text) = self.peek().clone() else {
            return None;
        };
        self.take();
        Some(text)
    }

    fn value(&mut self) -> Result<ObjectValue, FilterError> {
        let value = match self.peek().clone() {
            TokenContent::Text(text) => ObjectValue::Text(text),
            TokenContent::Number(number) => ObjectValue::Number(number),
            TokenContent::Keyword(Keyword::True) => ObjectValue::Bool(true),
            TokenContent::Keyword(Keyword::False) => ObjectValue::Bool(false),
            TokenContent::Keyword(Keyword::Null) => return self.fail("use IS NULL or IS NOT NULL"),
            TokenContent::Keyword(Keyword::Nan) => return self.fail("use IS NaN or IS NOT NaN"),
            TokenContent::Path(_) => return self.fail("expected a value; a text stands in quotes"),
            TokenContent::Keyword(_)
            | TokenContent::Operator(_)
            | TokenContent::Open
            | TokenContent::Close
            | TokenContent::Comma
            | TokenContent::End => return self.fail("expected a text, a number, true or false"),
        };
        self.take();
        Ok(value)
    }

    fn values(&mut self) -> Result<Vec<ObjectValue>, FilterError> {
        if !self.take_if(&TokenContent::Open) {
            return self.fail("expected `(` after IN");
        }
        let mut values = vec![self.value()?];
        while self.take_if(&TokenContent::Comma) {
            if values.len() == FILTER_VALUES_MAX {
                return self.fail("the list has more than 256 values");
            }
            values.push(self.value()?);
        }
        if !self.take_if(&TokenContent::Close) {
            return self.fail("expected `,` or `)`");
        }
        Ok(values)
    }
}

/// The only node, or all nodes joined.
fn alone_or(mut nodes: Vec<FilterNode>, join: fn(Vec<FilterNode>) -> FilterNode) -> FilterNode {
    match nodes.pop() {
        Some(only) if nodes.is_empty() => only,
        Some(last) => {
            nodes.push(last);
            join(nodes)
        }
        None => join(nodes),
    }
}
