//! Tests of filters: evaluation, printing, errors.

use super::lexer::Operator;
use super::node::FieldCondition;
use super::*;
use crate::registry::object::tests::{any_object, object};
use crate::registry::value::tests::any_number;
use crate::registry::value::{FieldPath, ObjectTable, ObjectValue};
use proptest::prelude::*;

fn any_literal() -> impl Strategy<Value = ObjectValue> {
    let finite = any_number().prop_filter("filters have finite numbers", |it| it.is_finite());
    prop_oneof![
        any::<bool>().prop_map(ObjectValue::Bool),
        finite.prop_map(ObjectValue::Number),
        "[ab%_\\\\'\"\né]{0,4}".prop_map(ObjectValue::Text),
    ]
}

fn any_condition() -> impl Strategy<Value = FieldCondition> {
    let operator = prop::sample::select(Operator::ALL).prop_map(|(_, operator)| operator);
    prop_oneof![
        4 => (operator, any_literal()).prop_map(|(it, value)| FieldCondition::Compare(it, value)),
        1 => prop::collection::vec(any_literal(), 1..4).prop_map(FieldCondition::In),
        1 => any_literal().prop_map(FieldCondition::Contains),
        1 => "[ab%_\\\\'\"]{0,4}".prop_map(FieldCondition::Like),
        1 => any::<bool>().prop_map(FieldCondition::Null),
        1 => any::<bool>().prop_map(FieldCondition::Nan),
    ]
}

/// Filters on the fields that [`any_object`] sets.
pub(crate) fn any_filter() -> impl Strategy<Value = ObjectFilter> {
    let names = prop::collection::vec("[abc]|in|metadata|name|x y", 1..3);
    let path = names.prop_map(|names| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        FieldPath::of(&names)
    });
    let field = (path, any_condition()).prop_map(|(path, it)| FilterNode::Field(path, it));
    let node = field.prop_recursive(3, 12, 3, |inner| {
        let nodes = || prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            nodes().prop_map(FilterNode::All),
            nodes().prop_map(FilterNode::Any),
        ]
    });
    node.prop_map(|root| ObjectFilter { root })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_printed_filter_is_read_as_an_equal_one(filter in any_filter(), it in any_object()) {
        let printed = filter.to_string();
        let read: ObjectFilter = printed.parse().map_err(|error| {
            TestCaseError::fail(format!("{printed}: {error}"))
        })?;
        prop_assert_eq!(read.matches(&it), filter.matches(&it), "{}", printed);
        prop_assert_eq!(read.to_string().parse::<ObjectFilter>(), Ok(read));
    }

    #[test]
    fn reading_never_panics(text in "([ab.()=<>!,`'\"\\\\ -]|AND|OR|IN|IS|NOT|NULL|NaN|LIKE|[0-9e.]|é){0,20}") {
        if let Ok(filter) = text.parse::<ObjectFilter>() {
            prop_assert_eq!(filter.to_string().parse::<ObjectFilter>(), Ok(filter));
        }
    }

    #[test]
    fn reading_any_text_never_panics(text in any::<String>()) {
        drop(text.parse::<ObjectFilter>());
    }
}

fn order() -> Object {
    let list = ObjectValue::texts(["eu", "us"]);
    let nan = ObjectValue::Number("0".parse().unwrap());
    let inner = ObjectTable::from([("a.b".to_owned(), "c".into())]);
    object(
        "//shop/orders/1",
        ObjectTable::from([
            ("count".to_owned(), 3.into()),
            ("title".to_owned(), "Shop no. 1".into()),
            ("regions".to_owned(), list),
            ("paid".to_owned(), ObjectValue::Bool(true)),
            ("none".to_owned(), ObjectValue::Null),
            ("zero".to_owned(), nan),
            ("inner".to_owned(), ObjectValue::Table(inner)),
        ]),
    )
}

#[test]
fn conditions_hold_as_documented() {
    let it = order();
    for (filter, expected) in [
        ("", true),
        ("count = 3 AND title = 'Shop no. 1'", true),
        ("count >= 3.0 and count < 3.5", true),
        ("count = \"3\"", false),
        ("count != \"3\"", true),
        ("count > \"2\"", false),
        ("missing != 1", false),
        ("none != 1", false),
        ("missing IS NULL AND none IS NULL", true),
        ("count IS NOT NULL", true),
        ("count IS NaN OR count IS NOT NaN AND paid = true", true),
        ("missing IS NOT NaN", false),
        ("zero = -0", true),
        ("title LIKE '%no_1'", false),
        ("title LIKE 'Shop%'", true),
        ("count LIKE '%'", false),
        ("regions CONTAINS 'eu'", true),
        ("regions CONTAINS 'e'", false),
        ("title CONTAINS 'Shop'", false),
        ("count IN (1, 2, 3)", true),
        ("regions IN ('eu')", false),
        ("inner.`a.b` = 'c'", true),
        ("name = '//shop/orders/1' AND metadata.generation = 1", true),
        ("metadata.owning_region = 'eu'", true),
        ("count = 1 OR count = 2 AND count = 3", false),
        ("(count = 1 OR count = 3) AND paid = true", true),
    ] {
        let parsed: ObjectFilter = filter.parse().unwrap();
        assert_eq!(parsed.matches(&it), expected, "{filter}");
    }
}

#[test]
fn an_error_names_its_column_and_what_was_expected() {
    let error = |text: &str| text.parse::<ObjectFilter>().unwrap_err().to_string();
    assert_eq!(
        error("a = "),
        "filter, column 5: expected a text, a number, true or false"
    );
    assert_eq!(
        error("a = b"),
        "filter, column 5: expected a value; a text stands in quotes"
    );
    assert_eq!(error("é = 1"), "filter, column 1: expected a field name");
    assert_eq!(
        error("a = 'é' b"),
        "filter, column 9: expected AND, OR or the end of the filter"
    );
    assert_eq!(
        error("a = null"),
        "filter, column 5: use IS NULL or IS NOT NULL"
    );
    assert_eq!(error("(a = 1"), "filter, column 7: expected AND, OR or `)`");
    assert_eq!(error("a = 'b"), "filter, column 5: the text is not closed");
    assert_eq!(
        error("a = 1.2.3"),
        "filter, column 5: `1.2.3` is not a valid number"
    );
    assert_eq!(
        error("a IN ()"),
        "filter, column 7: expected a text, a number, true or false"
    );
    assert!(error("a").starts_with("filter, column 2: expected =, !="));
    assert!(error("in = 1").contains("backticks"));
    assert!(error("a IS 1").contains("NULL or NaN"));
}

#[test]
fn a_filter_is_bounded() {
    let error = |text: String| text.parse::<ObjectFilter>().unwrap_err().problem;
    assert!(error("(".repeat(100) + "a = 1").contains("32 levels"));
    assert!(error("a = 1 OR ".repeat(300) + "a = 1").contains("256 conditions"));
    assert!(error(format!("a IN ({}1)", "1,".repeat(300))).contains("256 values"));
    assert!(error(" ".repeat(9_000)).contains("8192 bytes"));
    let deep = "(".repeat(FILTER_DEPTH_MAX) + "a = 1" + &")".repeat(FILTER_DEPTH_MAX);
    assert!(deep.parse::<ObjectFilter>().is_ok());
}
