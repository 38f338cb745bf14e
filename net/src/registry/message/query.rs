//! Selectors, filters, orders, masks and pages.

use super::{InvalidField, parsed};
use crate::registry::proto;
use phalanx_core::registry::query::mask::MASK_PATHS_MAX;
use phalanx_core::registry::query::{
    FieldMask, ObjectQuery, ObjectScope, ObjectView, PageToken, SortOrder,
};
use phalanx_core::registry::value::FieldPath;
use prost_types::FieldMask as WireMask;

/// The mask of a message; none if the message is absent. The path `*` stands for all fields.
pub(crate) fn of_mask(
    field: &str,
    wire: Option<WireMask>,
) -> Result<Option<FieldMask>, InvalidField> {
    let Some(wire) = wire else {
        return Ok(None);
    };
    let field = format!("{field}.paths");
    if wire.paths.len() > MASK_PATHS_MAX {
        let problem = format_args!("has more than {MASK_PATHS_MAX} paths");
        return Err(InvalidField::new(&field, problem));
    }
    if wire.paths.is_empty() || wire.paths == ["*"] {
        return Ok(Some(FieldMask::All));
    }
    let paths = wire.paths.iter();
    let paths: Result<Vec<FieldPath>, _> = paths.map(|path| parsed(&field, path)).collect();
    Ok(Some(FieldMask::of(paths?)))
}

/// The message of a mask; none if it names all fields.
pub(crate) fn to_mask(mask: &FieldMask) -> Option<WireMask> {
    match mask {
        FieldMask::All => None,
        FieldMask::Paths(paths) => Some(WireMask {
            paths: paths.iter().map(ToString::to_string).collect(),
        }),
    }
}

/// The view of this number.
pub(crate) fn of_view(number: i32) -> Result<ObjectView, InvalidField> {
    let wire = proto::ObjectView::try_from(number).map_err(|_| {
        InvalidField::new("view", format_args!("{number} is not the number of a view"))
    })?;
    Ok(match wire {
        proto::ObjectView::Unspecified => ObjectView::default(),
        proto::ObjectView::Name => ObjectView::Name,
        proto::ObjectView::Basic => ObjectView::Basic,
        proto::ObjectView::Detail | proto::ObjectView::Full => ObjectView::Full,
    })
}

/// The scope of these texts.
pub(crate) fn of_scope(selector: &str, filter: &str) -> Result<ObjectScope, InvalidField> {
    let filter = filter
        .parse()
        .map_err(|error| InvalidField::new("filter", error))?;
    Ok(ObjectScope {
        selector: parsed("selector", selector)?,
        filter,
    })
}

/// The query of a request.
pub(crate) fn of_list(wire: &proto::ListObjectsRequest) -> Result<ObjectQuery, InvalidField> {
    let token = (!wire.page_token.is_empty()).then_some(&wire.page_token);
    let token: Result<Option<PageToken>, _> = token.map(|text| text.parse()).transpose();
    let order = match wire.order_by.as_str() {
        "" => SortOrder::default(),
        text => parsed("order_by", text)?,
    };
    Ok(ObjectQuery {
        scope: of_scope(&wire.selector, &wire.filter)?,
        order,
        page_size: usize::try_from(wire.page_size).unwrap_or(usize::MAX),
        page_token: token.map_err(|error| InvalidField::new("page_token", error))?,
        skip: usize::try_from(wire.skip).unwrap_or(usize::MAX),
        counts: wire.with_total_size,
    })
}
