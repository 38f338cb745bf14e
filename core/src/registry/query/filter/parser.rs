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

use super::lexer::{Content, Keyword, Token, tokens};
use super::{
    Condition, FILTER_BYTES_MAX, FILTER_CONDITIONS_MAX, FILTER_DEPTH_MAX, FILTER_VALUES_MAX,
    FilterError, FilterNode,
};
use crate::registry::value::{FieldPath, ObjectValue};

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
    if parser.peek() == &Content::End {
        return Ok(FilterNode::All(Vec::new()));
    }
    let node = parser.any(0)?;
    match parser.peek() {
        Content::End => Ok(node),
        _ => parser.fail("expected AND, OR or the end of the filter"),
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

    fn peek(&self) -> &Content {
        &self.token().content
    }

    fn take(&mut self) -> Content {
        let content = self.peek().clone();
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        content
    }

    fn take_if(&mut self, content: &Content) -> bool {
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
        while self.take_if(&Content::Keyword(Keyword::Or)) {
            nodes.push(self.all(depth)?);
        }
        Ok(alone_or(nodes, FilterNode::Any))
    }

    fn all(&mut self, depth: usize) -> Result<FilterNode, FilterError> {
        let first = self.primary(depth)?;
        let mut nodes = vec![first];
        while self.take_if(&Content::Keyword(Keyword::And)) {
            nodes.push(self.primary(depth)?);
        }
        Ok(alone_or(nodes, FilterNode::All))
    }

    fn primary(&mut self, depth: usize) -> Result<FilterNode, FilterError> {
        if depth > FILTER_DEPTH_MAX {
            return self.fail("the filter has more than 32 levels of parentheses");
        }
        if self.take_if(&Content::Open) {
            let node = self.any(depth + 1)?;
            if !self.take_if(&Content::Close) {
                return self.fail("expected AND, OR or `)`");
            }
            return Ok(node);
        }
        let Content::Path(path) = self.peek().clone() else {
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

    fn condition(&mut self, path: &FieldPath) -> Result<Condition, FilterError> {
        match self.peek().clone() {
            Content::Operator(operator) => {
                self.take();
                Ok(Condition::Compare(operator, self.value()?))
            }
            Content::Keyword(Keyword::Contains) => {
                self.take();
                Ok(Condition::Contains(self.value()?))
            }
            Content::Keyword(Keyword::Like) => {
                self.take();
                match self.take_if_text() {
                    Some(pattern) => Ok(Condition::Like(pattern)),
                    None => self.fail("expected a text after LIKE"),
                }
            }
            Content::Keyword(Keyword::In) => {
                self.take();
                self.values().map(Condition::In)
            }
            Content::Keyword(Keyword::Is) => {
                self.take();
                let holds = !self.take_if(&Content::Keyword(Keyword::Not));
                match self.peek() {
                    Content::Keyword(Keyword::Null) => {
                        self.take();
                        Ok(Condition::Null(holds))
                    }
                    Content::Keyword(Keyword::Nan) => {
                        self.take();
                        Ok(Condition::Nan(holds))
                    }
                    _ => self.fail("expected NULL or NaN"),
                }
            }
            _ => self.fail(&format!(
                "expected =, !=, <, <=, >, >=, LIKE, CONTAINS, IN or IS after `{path}`"
            )),
        }
    }

    fn take_if_text(&mut self) -> Option<String> {
        let Content::Text(text) = self.peek().clone() else {
            return None;
        };
        self.take();
        Some(text)
    }

    fn value(&mut self) -> Result<ObjectValue, FilterError> {
        let value = match self.peek().clone() {
            Content::Text(text) => ObjectValue::Text(text),
            Content::Number(number) => ObjectValue::Number(number),
            Content::Keyword(Keyword::True) => ObjectValue::Bool(true),
            Content::Keyword(Keyword::False) => ObjectValue::Bool(false),
            Content::Keyword(Keyword::Null) => return self.fail("use IS NULL or IS NOT NULL"),
            Content::Keyword(Keyword::Nan) => return self.fail("use IS NaN or IS NOT NaN"),
            Content::Path(_) => return self.fail("expected a value; a text stands in quotes"),
            _ => return self.fail("expected a text, a number, true or false"),
        };
        self.take();
        Ok(value)
    }

    fn values(&mut self) -> Result<Vec<ObjectValue>, FilterError> {
        if !self.take_if(&Content::Open) {
            return self.fail("expected `(` after IN");
        }
        let mut values = vec![self.value()?];
        while self.take_if(&Content::Comma) {
            if values.len() == FILTER_VALUES_MAX {
                return self.fail("the list has more than 256 values");
            }
            values.push(self.value()?);
        }
        if !self.take_if(&Content::Close) {
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
