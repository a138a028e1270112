//! What the entries of the catalogue are sorted by.

use std::sync::Arc;

use super::Rank;
use crate::kernel::unit::{Bytes, Limit, Percent, Reading};
use crate::model::forecast::Forecast;
use crate::model::io::Kind;
use crate::model::limit::{Ceiling, Quantity};
use crate::model::row::Row;

pub(super) fn number(value: Option<f64>) -> Rank<'static> {
    value
        .filter(|value| value.is_finite())
        .map_or(Rank::Unknown, Rank::Number)
}

pub(super) fn share<T: Quantity>(ceiling: &Reading<Arc<Ceiling<T>>>) -> Option<f64> {
    ceiling.value().and_then(|ceiling| ceiling.first()?.share())
}

/// The nearest is the largest.
pub(super) fn soonest(forecast: &Reading<Box<Forecast>>) -> Rank<'static> {
    number(
        forecast
            .value()
            .map(|forecast| -forecast.likely.as_secs_f64()),
    )
}

pub(super) fn percent(reading: Reading<Percent>) -> Rank<'static> {
    number(reading.value().map(|percent| percent.0))
}

pub(super) fn bytes(reading: Reading<Bytes>) -> Rank<'static> {
    number(reading.value().map(|bytes| bytes.0 as f64))
}

pub(super) fn rate(reading: Reading<f64>) -> Rank<'static> {
    number(reading.value().copied())
}

/// `max` is more than any number.
pub(super) fn limit(reading: Reading<Limit<Bytes>>) -> Rank<'static> {
    number(reading.value().map(|limit| match limit {
        Limit::At(Bytes(bytes)) => *bytes as f64,
        Limit::Max => f64::MAX,
    }))
}

/// The tightest cap of a kind over all devices; not available without one.
pub(super) fn cap(row: &Row, kind: Kind) -> Reading<f64> {
    let Reading::Value(flow) = &row.io else {
        return row.io.map(|_| 0.0);
    };
    let caps = flow
        .devices
        .iter()
        .filter_map(|device| Some(device.caps[kind as usize].as_ref()?.limit));
    caps.reduce(f64::min)
        .map_or(Reading::NotAvailable, Reading::Value)
}
