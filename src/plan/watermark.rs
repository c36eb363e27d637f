//! Which watermark a column has: the rules by which expressions keep it.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{Expr, ExprSchemable};

use super::properties::{ColumnProperties, Properties};
use crate::data::{CalendarUnit, Monotone};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// What is known of the value of an expression.
pub(super) fn of_expr(expr: &Expr, from: &DFSchema, input: &Properties, config: &ConfigOptions) -> ColumnProperties {
    match expr {
        Expr::Alias(alias) => of_expr(&alias.expr, from, input, config),
        Expr::Column(column) => {
            from.index_of_column(column).ok().and_then(|i| input.columns.get(i).cloned()).unwrap_or_default()
        }
        other => match monotone(other, from, config) {
            Some((argument, function)) => {
                let inner = of_expr(argument, from, input, config);
                ColumnProperties { watermark: inner.watermark.map(|w| w.then(&function)), window: None }
            }
            None => ColumnProperties::default(),
        },
    }
}

/// The minimum over two streams, or two columns that are equal; `stateful` behind a join.
pub(super) fn min(a: ColumnProperties, b: &ColumnProperties, stateful: bool) -> ColumnProperties {
    let settle = |w: crate::data::WatermarkExpr| if stateful { w.behind_state() } else { w };
    let watermark = a.watermark.zip(b.watermark.clone()).map(|(a, b)| settle(a.min(b)));
    let window = a.window.zip(b.window.clone()).and_then(|(mut a, b)| {
        let alike = a.role == b.role && a.span == b.span && a.lateness == b.lateness;
        if a.node != b.node {
            // Both bounds of the two windows meet under the same new name.
            a.node = crate::data::hash(&[a.node.to_le_bytes(), b.node.to_le_bytes()].concat());
        }
        a.closing = a.closing.zip(b.closing).map(|(a, b)| settle(a.min(b)));
        alike.then_some(a)
    });
    ColumnProperties { watermark, window }
}

/// A monotone function of one argument, if the expression is one.
pub(super) fn monotone<'a>(expr: &'a Expr, from: &DFSchema, config: &ConfigOptions) -> Option<(&'a Expr, Monotone)> {
    match expr {
        Expr::Cast(cast) => {
            let before = cast.expr.get_type(from).ok()?;
            let same = before == expr.get_type(from).ok()?;
            same.then_some((cast.expr.as_ref(), Monotone::Shift(0)))
        }
        Expr::ScalarFunction(call) => match (call.name(), &call.args[..]) {
            ("timestamp_add", [time, span]) => Some((time, Monotone::Shift(fixed(span, time, from, config)?))),
            ("timestamp_subtract", [time, span]) => Some((time, Monotone::Shift(-fixed(span, time, from, config)?))),
            ("cast", [a]) => (a.get_type(from).ok()? == expr.get_type(from).ok()?).then_some((a, Monotone::Shift(0))),
            ("date_bin", [stride, time]) => {
                Some((time, Monotone::Floor { size: positive(interval(stride)?)?, offset: 0 }))
            }
            ("date_bin", [stride, time, origin]) => {
                let Expr::Literal(ScalarValue::TimestampMicrosecond(Some(origin), _), _) = origin else { return None };
                // An infinite one makes no bins.
                if matches!(*origin, i64::MIN | i64::MAX) {
                    return None;
                }
                Some((time, Monotone::Floor { size: positive(interval(stride)?)?, offset: *origin }))
            }
            ("date_trunc", [unit, time, zone @ ..]) => {
                let Expr::Literal(ScalarValue::Utf8(Some(unit)), _) = unit else { return None };
                let zoned = match time.get_type(from).ok()? {
                    DataType::Timestamp(TimeUnit::Microsecond, zone) => zone.is_some(),
                    _ => return None,
                };
                let zone = match zone {
                    [] => config.execution.time_zone.as_deref(),
                    [Expr::Literal(ScalarValue::Utf8(Some(zone)), _)] => Some(zone.as_str()),
                    _ => return None,
                };
                if zoned && !is_utc(zone) {
                    return None;
                }
                Some((time, truncation(unit)?))
            }
            _ => None,
        },
        _ => None,
    }
}

fn is_utc(zone: Option<&str>) -> bool {
    zone.is_none_or(|z| matches!(z, "UTC" | "Etc/UTC" | "GMT" | "+00:00"))
}

/// By how much an interval moves a time, where that is always the same: days of a TimeZone with clock changes are not.
fn fixed(span: &Expr, time: &Expr, from: &DFSchema, config: &ConfigOptions) -> Option<i64> {
    let zoned = matches!(time.get_type(from).ok()?, DataType::Timestamp(_, Some(_)));
    let days = matches!(span, Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(v)), _) if v.days != 0);
    if zoned && days && !is_utc(config.execution.time_zone.as_deref()) { None } else { interval(span) }
}

fn positive(micros: i64) -> Option<i64> {
    (micros > 0).then_some(micros)
}

/// The microseconds of an interval literal without months.
fn interval(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(v)), _) if v.months == 0 => {
            i64::from(v.days).checked_mul(DAY)?.checked_add(v.nanoseconds / 1_000)
        }
        Expr::Literal(ScalarValue::IntervalDayTime(Some(v)), _) => {
            i64::from(v.days).checked_mul(DAY)?.checked_add(i64::from(v.milliseconds) * 1_000)
        }
        Expr::Alias(alias) => interval(&alias.expr),
        _ => None,
    }
}

fn truncation(unit: &str) -> Option<Monotone> {
    let floor = |size, offset| Some(Monotone::Floor { size, offset });
    match unit.to_ascii_lowercase().as_str() {
        "microsecond" | "microseconds" => floor(1, 0),
        "millisecond" | "milliseconds" => floor(1_000, 0),
        "second" => floor(SECOND, 0),
        "minute" => floor(60 * SECOND, 0),
        "hour" => floor(3_600 * SECOND, 0),
        "day" => floor(DAY, 0),
        // Weeks begin on Monday; the epoch was a Thursday.
        "week" => floor(7 * DAY, 4 * DAY),
        "month" => Some(Monotone::Truncate(CalendarUnit::Month)),
        "quarter" => Some(Monotone::Truncate(CalendarUnit::Quarter)),
        "year" => Some(Monotone::Truncate(CalendarUnit::Year)),
        _ => None,
    }
}
