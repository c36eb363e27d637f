//! Casts as PostgreSQL does them, one function per target type: text in and out by [`crate::data::text`], rounding and
//! range checks of numbers, times by the session's TimeZone.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Decimal128Array, ListArray, PrimitiveArray, StringArray,
    StringBuilder, StructArray, Time64MicrosecondArray,
};
use arrow::compute;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, FieldRef, Fields, Float64Type, Int64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::arithmetic::{divide_rounding, power_of_ten};
use super::narrow::{decimal_to_float, decimal_to_int, float_to_int, narrow_float, narrow_int};
use crate::data::text::{self, TimeZone};
use crate::data::types::{META_TYPE, META_TYPMOD, NUMERIC_DEFAULT, UUID_BYTES, item, pg_type, sql_name, timestamptz};
use crate::error::{Error, SqlState};

const DAY: i64 = 86_400_000_000;
const JSON_OID: u32 = 114;

/// A cast to one type.
#[derive(Debug)]
pub struct PgCast {
    target: FieldRef,
    zone: TimeZone,
    /// An assignment: a text too long for varchar(n) is an error; an explicit cast cuts it.
    assignment: bool,
    signature: Signature,
}

impl PgCast {
    /// A cast to the type (and metadata) of `target`.
    pub fn new(target: &Field, zone: &TimeZone, assignment: bool) -> Self {
        let target = Arc::new(target.clone().with_name("cast").with_nullable(true));
        let signature = Signature::any(1, Volatility::Immutable);
        Self { target, zone: zone.clone(), assignment, signature }
    }

    /// The type it casts to.
    pub fn target(&self) -> &Field {
        &self.target
    }
}

impl PartialEq for PgCast {
    fn eq(&self, other: &Self) -> bool {
        self.target == other.target && self.zone == other.zone && self.assignment == other.assignment
    }
}

impl Eq for PgCast {}

impl Hash for PgCast {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.target.hash(state);
        self.zone.name().hash(state);
        self.assignment.hash(state);
    }
}

impl ScalarUDFImpl for PgCast {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let arg = args.first().map(|a| a.schema_name().to_string()).unwrap_or_default();
        Ok(format!("CAST({arg} AS {})", sql_name(&self.target)))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.target.data_type().clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|f| f.is_nullable());
        Ok(Arc::new(self.target.as_ref().clone().with_nullable(nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (Some(value), Some(field)) = (args.args.first(), args.arg_fields.first()) else {
            return Err(DataFusionError::Internal("cast takes one argument".into()));
        };
        match value {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(self.cast(array, field)?)),
            ColumnarValue::Scalar(scalar) => {
                let array = self.cast(&scalar.to_array()?, field)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
        }
    }
}

impl PgCast {
    fn cast(&self, array: &ArrayRef, from: &Field) -> crate::error::Result<ArrayRef> {
        let target = self.target.as_ref();
        match (from.data_type(), target.data_type()) {
            (DataType::Utf8, DataType::Utf8) if pg_type(target).oid == JSON_OID => self.parse(array.as_string::<i32>()),
            (DataType::Utf8, DataType::Utf8) => self.bound(array.as_string::<i32>()),
            (DataType::Utf8, _) => self.parse(array.as_string::<i32>()),
            (_, DataType::Utf8) => self.print(array, from),
            (DataType::Float32 | DataType::Float64, DataType::Int16 | DataType::Int32 | DataType::Int64) => {
                float_to_int(array, target.data_type())
            }
            (DataType::Float32 | DataType::Float64, DataType::Decimal128(..)) => self.float_to_decimal(array),
            (DataType::Float64, DataType::Float32) => narrow_float(array),
            (DataType::Decimal128(_, s), DataType::Int16 | DataType::Int32 | DataType::Int64) => {
                decimal_to_int(array, *s, target.data_type())
            }
            (DataType::Decimal128(_, s), DataType::Decimal128(..)) => {
                self.to_decimal(array.as_primitive::<Decimal128Type>(), *s)
            }
            (DataType::Decimal128(_, s), DataType::Float32 | DataType::Float64) => decimal_to_float(array, *s, target),
            (DataType::Int16 | DataType::Int32 | DataType::Int64, DataType::Decimal128(..)) => {
                let wide = compute::cast(array, &DataType::Decimal128(38, 0))?;
                self.to_decimal(wide.as_primitive::<Decimal128Type>(), 0)
            }
            (DataType::Int32 | DataType::Int64, DataType::Int16 | DataType::Int32) => {
                let wide = compute::cast(array, &DataType::Int64)?;
                narrow_int(wide.as_primitive::<Int64Type>(), target.data_type())
            }
            (DataType::List(_), DataType::List(to)) => self.list(array.as_list::<i32>(), &item(from), to),
            (DataType::Struct(own), DataType::Struct(to)) => self.record(array.as_struct(), own, to),
            (DataType::LargeUtf8, to) => {
                let json = array.as_string::<i64>();
                let text = super::json::as_text(json, to, &sql_name(target))?;
                if to == &DataType::Boolean { self.parse(&text) } else { self.number(text) }
            }
            (from, to) if is_time(from) && is_time(to) => self.time(array, from, to),
            (_, to) => Ok(compute::cast_with_options(array, to, &strict())?),
        }
    }

    /// An array, element by element.
    fn list(&self, array: &ListArray, from: &Field, to: &FieldRef) -> crate::error::Result<ArrayRef> {
        let values = self.part(array.values(), from, &item(&self.target))?;
        Ok(Arc::new(ListArray::try_new(Arc::clone(to), array.offsets().clone(), values, array.nulls().cloned())?))
    }

    /// A record, field by field, by their places.
    fn record(&self, records: &StructArray, from: &Fields, to: &Fields) -> crate::error::Result<ArrayRef> {
        let absent = if records.null_count() > 0 { Some(compute::is_null(records)?) } else { None };
        let columns = records.columns().iter().zip(from.iter().zip(to)).map(|(column, (from, to))| {
            // What stands where there is no record is nobody's value.
            let column = absent.as_ref().map_or_else(|| Ok(Arc::clone(column)), |at| compute::nullif(column, at))?;
            self.part(&column, from, to)
        });
        let columns = columns.collect::<crate::error::Result<_>>()?;
        let nulls = records.nulls().cloned();
        Ok(Arc::new(StructArray::try_new_with_length(to.clone(), columns, nulls, records.len())?))
    }

    /// The elements of an array, a field of a record.
    fn part(&self, values: &ArrayRef, from: &Field, wanted: &Field) -> crate::error::Result<ArrayRef> {
        let same = from.data_type() == wanted.data_type() && path(from, wanted) != Path::Function;
        if same { Ok(Arc::clone(values)) } else { Self::new(wanted, &self.zone, self.assignment).cast(values, from) }
    }

    /// Digits to a number, by way of numeric as PostgreSQL goes.
    fn number(&self, digits: StringArray) -> crate::error::Result<ArrayRef> {
        if self.target.data_type().is_floating() || matches!(self.target.data_type(), DataType::Decimal128(..)) {
            return self.parse(&digits);
        }
        let numeric = Field::new("", DataType::Decimal128(NUMERIC_DEFAULT.0, NUMERIC_DEFAULT.1), true);
        let wide = Self::new(&numeric, &self.zone, false).parse(&digits)?;
        decimal_to_int(&wide, NUMERIC_DEFAULT.1, self.target.data_type())
    }

    /// Text to any type.
    fn parse(&self, texts: &StringArray) -> crate::error::Result<ArrayRef> {
        let mut builder = text::Builder::new(&self.target, &self.zone);
        for value in texts {
            builder.append(value)?;
        }
        builder.finish()
    }

    /// Any type to text.
    fn print(&self, array: &ArrayRef, from: &Field) -> crate::error::Result<ArrayRef> {
        // A boolean's text is a word when it is cast, a letter on the wire.
        if from.data_type() == &DataType::Boolean {
            return self.bound(compute::cast(array, &DataType::Utf8)?.as_string::<i32>());
        }
        let column = text::Column::new(array.as_ref(), from)?;
        let mut out = StringBuilder::new();
        let mut one = String::new();
        for row in 0..array.len() {
            if column.is_null(row) {
                out.append_null();
            } else {
                one.clear();
                column.write(row, &self.zone, &mut one);
                out.append_value(&one);
            }
        }
        self.bound(&out.finish())
    }

    /// Applies varchar(n) and char(n).
    fn bound(&self, texts: &StringArray) -> crate::error::Result<ArrayRef> {
        let pg = pg_type(&self.target);
        if self.assignment || pg.typmod <= 4 || pg.oid == 25 {
            return if self.assignment && pg.typmod > 4 { self.parse(texts) } else { Ok(Arc::new(texts.clone())) };
        }
        let limit = usize::try_from(pg.typmod - 4).unwrap_or(usize::MAX);
        let cut = |s: &str| match s.char_indices().nth(limit) {
            Some((end, _)) => s[..end].to_owned(),
            None if pg.oid == 1042 => format!("{s:<limit$}"),
            None => s.to_owned(),
        };
        Ok(Arc::new(texts.iter().map(|v| v.map(cut)).collect::<StringArray>()))
    }

    fn declared(&self) -> (u8, i8, bool) {
        let (precision, scale) = match self.target.data_type() {
            DataType::Decimal128(p, s) => (*p, *s),
            _ => NUMERIC_DEFAULT,
        };
        (precision, scale, (precision, scale) != NUMERIC_DEFAULT)
    }

    fn to_decimal(&self, values: &Decimal128Array, from: i8) -> crate::error::Result<ArrayRef> {
        let (precision, scale, declared) = self.declared();
        let limit = power_of_ten(i8::try_from(precision).unwrap_or(38));
        let rescale = |v: i128| -> crate::error::Result<i128> {
            let moved = if scale >= from {
                v.checked_mul(power_of_ten(scale - from))
            } else {
                Some(divide_rounding(v, power_of_ten(from - scale)))
            };
            let overflow = || text::number::numeric_overflow(precision, scale, declared);
            moved.filter(|m| m.unsigned_abs() < limit.unsigned_abs()).ok_or_else(overflow)
        };
        let out =
            values.iter().map(|v| v.map(rescale).transpose()).collect::<crate::error::Result<Decimal128Array>>()?;
        Ok(Arc::new(out.with_precision_and_scale(precision, scale)?))
    }

    /// By way of the digits that PostgreSQL keeps: 15 of a double, 6 of a real.
    fn float_to_decimal(&self, array: &ArrayRef) -> crate::error::Result<ArrayRef> {
        let digits = if array.data_type() == &DataType::Float32 { 5 } else { 14 };
        let wide = compute::cast(array, &DataType::Float64)?;
        let (precision, scale, declared) = self.declared();
        let convert = |v: f64| -> crate::error::Result<i128> {
            if !v.is_finite() {
                let message = format!("cannot convert {} to numeric", if v.is_nan() { "NaN" } else { "infinity" });
                return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message));
            }
            text::number::parse_numeric(&format!("{v:.digits$e}"), precision, scale, declared)
        };
        let floats = wide.as_primitive::<Float64Type>();
        let out =
            floats.iter().map(|v| v.map(convert).transpose()).collect::<crate::error::Result<Decimal128Array>>()?;
        Ok(Arc::new(out.with_precision_and_scale(precision, scale)?))
    }

    fn time(&self, array: &ArrayRef, from: &DataType, to: &DataType) -> crate::error::Result<ArrayRef> {
        use DataType::{Date32, Interval, Time64, Timestamp};
        let zone = &self.zone;
        let days = |d: i32| match d {
            i32::MAX => Some(i64::MAX),
            i32::MIN => Some(i64::MIN),
            d => i64::from(d).checked_mul(DAY),
        };
        let shifted = |t: i64, f: &dyn Fn(i64) -> i64| if t == i64::MAX || t == i64::MIN { t } else { f(t) };
        match (from, to) {
            (Date32, Timestamp(_, None)) => {
                map::<Date32Type, TimestampMicrosecondType>(array, to, |d| days(d).ok_or_else(timestamp_range))
            }
            (Date32, Timestamp(_, Some(_))) => map::<Date32Type, TimestampMicrosecondType>(array, to, |d| {
                days(d).map(|t| shifted(t, &|t| zone.to_utc(t))).ok_or_else(timestamp_range)
            }),
            (Timestamp(_, None), Timestamp(_, Some(_))) => {
                map::<TimestampMicrosecondType, TimestampMicrosecondType>(array, to, |t| {
                    Ok(shifted(t, &|t| zone.to_utc(t)))
                })
            }
            (Timestamp(_, Some(_)), Timestamp(_, None)) => {
                map::<TimestampMicrosecondType, TimestampMicrosecondType>(array, to, |t| {
                    Ok(shifted(t, &|t| zone.to_local(t)))
                })
            }
            (Timestamp(_, tz), Date32) => map::<TimestampMicrosecondType, Date32Type>(array, to, |t| {
                let local = if tz.is_some() { shifted(t, &|t| zone.to_local(t)) } else { t };
                Ok(match local {
                    i64::MAX => i32::MAX,
                    i64::MIN => i32::MIN,
                    t => i32::try_from(t.div_euclid(DAY)).unwrap_or(i32::MAX),
                })
            }),
            // An infinite time is at no hour.
            (Timestamp(_, tz), Time64(_)) => {
                let clock = |t: i64| if tz.is_some() { zone.to_local(t) } else { t }.rem_euclid(DAY);
                let times = array.as_primitive::<TimestampMicrosecondType>();
                let out: Time64MicrosecondArray =
                    times.unary_opt(|t| (t != i64::MAX && t != i64::MIN).then(|| clock(t)));
                Ok(Arc::new(out))
            }
            (Time64(_), Interval(_)) => map::<Time64MicrosecondType, IntervalMonthDayNanoType>(array, to, |t| {
                Ok(IntervalMonthDayNano::new(0, 0, t.saturating_mul(1000)))
            }),
            (Interval(_), Time64(_)) => map::<IntervalMonthDayNanoType, Time64MicrosecondType>(array, to, |i| {
                Ok((i.nanoseconds / 1000).rem_euclid(DAY))
            }),
            (_, to) => Ok(compute::cast_with_options(array, to, &strict())?),
        }
    }
}

fn strict() -> compute::CastOptions<'static> {
    compute::CastOptions { safe: false, ..compute::CastOptions::default() }
}

fn is_time(t: &DataType) -> bool {
    t.is_temporal()
}

fn timestamp_range() -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "date out of range for timestamp")
}

fn map<A: ArrowPrimitiveType, B: ArrowPrimitiveType>(
    array: &ArrayRef,
    to: &DataType,
    f: impl Fn(A::Native) -> crate::error::Result<B::Native>,
) -> crate::error::Result<ArrayRef> {
    let out: PrimitiveArray<B> = array.as_primitive::<A>().try_unary(f)?;
    Ok(Arc::new(out.with_data_type(to.clone())))
}

/// How two types are cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Nothing to do.
    Same,
    /// DataFusion's own cast does what PostgreSQL does, and cannot fail.
    Native,
    /// By [`PgCast`].
    Function,
    /// 42846.
    Impossible,
}

/// How `from` is cast to `to`, explicitly.
pub fn path(from: &Field, to: &Field) -> Path {
    use DataType as T;
    let bounded = |f: &Field| pg_type(f).typmod > 4 && f.data_type() == &T::Utf8;
    let length = |f: &Field| f.metadata().get(META_TYPMOD).cloned();
    let is_json = |f: &Field| pg_type(f).oid == JSON_OID;
    match (from.data_type(), to.data_type()) {
        (T::Null, _) => Path::Native,
        (T::Utf8, T::Utf8) if is_json(to) != is_json(from) => Path::Function,
        (T::Utf8, T::Utf8) => {
            if !bounded(to) || length(from) == length(to) {
                if from.metadata().get(META_TYPE) == to.metadata().get(META_TYPE) { Path::Same } else { Path::Native }
            } else {
                Path::Function
            }
        }
        (T::Decimal128(..) | T::Int16 | T::Int32 | T::Int64, T::Utf8) if is_json(to) => Path::Impossible,
        (T::LargeUtf8, T::Boolean) => Path::Function,
        (T::LargeUtf8, b) if is_number(b) => Path::Function,
        (T::List(_), T::List(_)) => list_path(&item(from), &item(to)),
        (T::Struct(from), T::Struct(to)) => record_path(from, to),
        (a, b) if a == b => Path::Same,
        (T::Int16, T::Int32 | T::Int64 | T::Float32 | T::Float64) => Path::Native,
        (T::Int32, T::Int64 | T::Float64) | (T::Int64 | T::Int32, T::Float32) | (T::Int64, T::Float64) => Path::Native,
        (T::Float32, T::Float64) => Path::Native,
        (T::Boolean, T::Int32) | (T::Int32, T::Boolean) => Path::Native,
        (T::Utf8, T::List(_) | T::Struct(_)) | (T::List(_) | T::Struct(_), T::Utf8) => Path::Function,
        (T::Utf8, b) if is_scalar(b) => Path::Function,
        (a, T::Utf8) if is_scalar(a) => Path::Function,
        (a, b) if is_number(a) && is_number(b) => Path::Function,
        (a, b) if time_cast(a, b) => Path::Function,
        // Types that only arise inside of plans.
        (T::Utf8View, T::Utf8)
        | (T::BinaryView | T::LargeBinary, T::Binary)
        | (T::UInt8 | T::Int8, _)
        | (T::UInt16, T::Int32 | T::Int64)
        | (T::UInt32 | T::UInt64, T::Int64)
        | (T::Timestamp(..), T::Timestamp(..))
        | (T::Duration(_), T::Interval(_) | T::Duration(_))
        | (T::Interval(_), T::Interval(_))
        | (T::Date64, T::Date32)
        | (T::Time32(_) | T::Time64(_), T::Time64(_)) => Path::Native,
        (T::Dictionary(_, value), _) => path(&Field::new("", value.as_ref().clone(), true), to),
        _ => Path::Impossible,
    }
}

/// Element by element; lists of other depth are other types here.
fn list_path(from: &Field, to: &Field) -> Path {
    match path(from, to) {
        Path::Same if from.data_type() != to.data_type() => Path::Function,
        other => other,
    }
}

/// Field by field, by their places, whatever they are called.
fn record_path(from: &Fields, to: &Fields) -> Path {
    if from == to {
        return Path::Same;
    }
    let fits = from.len() == to.len() && from.iter().zip(to).all(|(from, to)| path(from, to) != Path::Impossible);
    if fits { Path::Function } else { Path::Impossible }
}

fn is_number(t: &DataType) -> bool {
    matches!(
        t,
        DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Float32
            | DataType::Float64
            | DataType::Decimal128(..)
    )
}

fn is_other(t: &DataType) -> bool {
    matches!(t, DataType::Boolean | DataType::Binary | DataType::FixedSizeBinary(UUID_BYTES) | DataType::LargeUtf8)
}

fn is_scalar(t: &DataType) -> bool {
    is_number(t) || is_other(t) || is_our_time(t)
}

fn is_our_time(t: &DataType) -> bool {
    matches!(
        t,
        DataType::Date32
            | DataType::Time64(TimeUnit::Microsecond)
            | DataType::Timestamp(TimeUnit::Microsecond, _)
            | DataType::Interval(_)
    )
}

fn time_cast(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, Interval, Time64, Timestamp};
    let ours = is_our_time(from) && is_our_time(to);
    ours && matches!(
        (from, to),
        (Date32, Timestamp(..))
            | (Timestamp(..), Timestamp(..) | Date32 | Time64(_))
            | (Time64(_), Interval(_))
            | (Interval(_), Time64(_))
    )
}

/// The column type nearest to a type that only arises in plans; `None` for those that are columns already.
pub fn canonical(t: &DataType) -> Option<DataType> {
    Some(match t {
        DataType::FixedSizeBinary(UUID_BYTES) => return None,
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(TimeUnit::Nanosecond) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(unit, zone) => match (unit, zone) {
            (TimeUnit::Microsecond, None) => return None,
            (TimeUnit::Microsecond, Some(z)) if z.as_ref() == "UTC" => return None,
            (_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
            (_, Some(_)) => timestamptz(),
        },
        DataType::Duration(_) => crate::data::types::interval(),
        DataType::Interval(unit) if *unit != arrow::datatypes::IntervalUnit::MonthDayNano => {
            crate::data::types::interval()
        }
        DataType::List(item) => match canonical(item.data_type()) {
            Some(inner) => DataType::List(Arc::new(item.as_ref().clone().with_data_type(inner))),
            None => return None,
        },
        DataType::Dictionary(_, value) => canonical(value).unwrap_or_else(|| value.as_ref().clone()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::types::{timestamp, varchar};

    fn cast(value: ScalarValue, to: &Field) -> crate::error::Result<ScalarValue> {
        let from = Field::new("", value.data_type(), true);
        let zone = TimeZone::parse("Europe/Zurich").unwrap();
        let array = PgCast::new(to, &zone, false).cast(&value.to_array().unwrap(), &from)?;
        Ok(ScalarValue::try_from_array(&array, 0).unwrap())
    }

    fn plain(t: DataType) -> Field {
        Field::new("", t, true)
    }

    #[test]
    fn numbers_round_and_are_checked() {
        let int = plain(DataType::Int32);
        assert_eq!(cast(ScalarValue::from(2.5f64), &int).unwrap(), ScalarValue::from(2));
        assert_eq!(cast(ScalarValue::Decimal128(Some(25), 2, 1), &int).unwrap(), ScalarValue::from(3));
        assert_eq!(cast(ScalarValue::from(1i64 << 40), &int).unwrap_err().message(), "integer out of range");
        let numeric = plain(DataType::Decimal128(4, 2));
        assert_eq!(cast(ScalarValue::from(12.345f64), &numeric).unwrap(), ScalarValue::Decimal128(Some(1235), 4, 2));
        assert_eq!(cast(ScalarValue::from(123i32), &numeric).unwrap_err().code().0, "22003");
    }

    #[test]
    fn texts_are_read_printed_and_cut() {
        let e = cast(ScalarValue::from("abc"), &plain(DataType::Int32)).unwrap_err();
        assert_eq!((e.code().0, e.message()), ("22P02", "invalid input syntax for type integer: \"abc\""));
        let text = plain(DataType::Utf8);
        assert_eq!(cast(ScalarValue::from(true), &text).unwrap(), ScalarValue::from("true"));
        assert_eq!(cast(ScalarValue::from(1.0f64), &text).unwrap(), ScalarValue::from("1"));
        assert_eq!(cast(ScalarValue::from("abcdef"), &varchar("", Some(3), true)).unwrap(), ScalarValue::from("abc"));
    }

    #[test]
    fn times_go_by_the_zone() {
        let noon = ScalarValue::TimestampMicrosecond(Some(1_767_225_600_000_000 + DAY / 2), None);
        let instant = cast(noon.clone(), &plain(timestamptz())).unwrap();
        let ScalarValue::TimestampMicrosecond(Some(t), _) = instant else { panic!() };
        assert_eq!(t, 1_767_225_600_000_000 + DAY / 2 - 3_600_000_000);
        assert_eq!(cast(instant, &plain(timestamp())).unwrap(), noon);
    }
}
