//! PostgreSQL to values: parameters in text and binary.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Fields, IntervalMonthDayNano, TimeUnit};
use datafusion::common::ScalarValue;

use super::Format;
use super::encode::{EPOCH_DAYS, EPOCH_MICROS, JSONB_VERSION};
use crate::data::text::{self, TimeZone};
use crate::data::types::{self, UUID_BYTES, by_oid, item, leaf, pg_type};
use crate::error::{Error, Result, SqlState};

/// A parameter's value. `number` is its place, from 1, for errors.
pub fn parameter(
    bytes: Option<&[u8]>,
    field: &Field,
    format: Format,
    number: usize,
    zone: &TimeZone,
) -> Result<ScalarValue> {
    let Some(bytes) = bytes else { return Ok(ScalarValue::try_from(field.data_type())?) };
    match format {
        Format::Text => text::parse(utf8(bytes)?, field, zone),
        Format::Binary => binary(bytes, field).map_err(|error| match error {
            Binary::Format => Error::new(
                SqlState::INVALID_BINARY_REPRESENTATION,
                format!("incorrect binary data format in bind parameter {number}"),
            ),
            Binary::Other(error) => error,
        }),
    }
}

/// Text from a client; 22021 with the bytes that are not UTF-8, or 0.
pub fn utf8(bytes: &[u8]) -> Result<&str> {
    if memchr::memchr(0, bytes).is_some() {
        let message = "invalid byte sequence for encoding \"UTF8\": 0x00";
        return Err(Error::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, message));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let end = error.error_len().map_or(bytes.len(), |n| at + n).min(at + 4);
        let hex: Vec<String> = bytes[at..end].iter().map(|b| format!("0x{b:02x}")).collect();
        let message = format!("invalid byte sequence for encoding \"UTF8\": {}", hex.join(" "));
        Error::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, message)
    })
}

/// Why binary data can't be read.
#[derive(Debug)]
pub enum Binary {
    /// Its length or structure is wrong.
    Format,
    /// It is well-formed, but not a value that we hold.
    Other(Error),
}

impl From<Error> for Binary {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// A value in the binary format of a column's type.
pub fn binary(bytes: &[u8], field: &Field) -> Result<ScalarValue, Binary> {
    use ScalarValue as S;
    Ok(match field.data_type() {
        DataType::Boolean => match bytes {
            [value] => S::Boolean(Some(*value != 0)),
            _ => return Err(Binary::Format),
        },
        DataType::Int16 => S::Int16(Some(i16::from_be_bytes(fixed(bytes)?))),
        DataType::Int32 => S::Int32(Some(i32::from_be_bytes(fixed(bytes)?))),
        DataType::Int64 if field.metadata().is_empty() => S::Int64(Some(i64::from_be_bytes(fixed(bytes)?))),
        DataType::Int64 => S::Int64(Some(u32::from_be_bytes(fixed(bytes)?).into())),
        // There is one NaN.
        DataType::Float32 => {
            let value = f32::from_be_bytes(fixed(bytes)?);
            S::Float32(Some(if value.is_nan() { f32::NAN } else { value }))
        }
        DataType::Float64 => {
            let value = f64::from_be_bytes(fixed(bytes)?);
            S::Float64(Some(if value.is_nan() { f64::NAN } else { value }))
        }
        DataType::Decimal128(p, s) => {
            let declared = (*p, *s) != crate::data::types::NUMERIC_DEFAULT;
            let value = text::number::parse_numeric(&numeric_text(bytes)?, *p, *s, declared)?;
            S::Decimal128(Some(value), *p, *s)
        }
        DataType::Utf8 => S::Utf8(Some(string(bytes, field)?)),
        DataType::FixedSizeBinary(UUID_BYTES) => {
            S::FixedSizeBinary(UUID_BYTES, Some(fixed::<{ UUID_BYTES as usize }>(bytes)?.to_vec()))
        }
        DataType::LargeUtf8 => match bytes {
            [JSONB_VERSION, json @ ..] => S::LargeUtf8(Some(text::json::normalise(utf8(json)?)?)),
            _ => return Err(Binary::Format),
        },
        DataType::Binary => S::Binary(Some(bytes.to_vec())),
        DataType::Date32 => S::Date32(Some(match i32::from_be_bytes(fixed(bytes)?) {
            infinite @ (i32::MAX | i32::MIN) => infinite,
            days => days.checked_add(EPOCH_DAYS).ok_or_else(|| beyond("date"))?,
        })),
        DataType::Time64(TimeUnit::Microsecond) => {
            let micros = i64::from_be_bytes(fixed(bytes)?);
            if !(0..=text::calendar::DAY).contains(&micros) {
                return Err(beyond("time").into());
            }
            S::Time64Microsecond(Some(micros))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let micros = match i64::from_be_bytes(fixed(bytes)?) {
                infinite @ (i64::MAX | i64::MIN) => infinite,
                micros => micros.checked_add(EPOCH_MICROS).ok_or_else(|| beyond("timestamp"))?,
            };
            S::TimestampMicrosecond(Some(micros), zone.clone())
        }
        DataType::Interval(_) => {
            let (micros, rest) = bytes.split_at_checked(8).ok_or(Binary::Format)?;
            let (days, months) = rest.split_at_checked(4).ok_or(Binary::Format)?;
            let nanos = i64::from_be_bytes(fixed(micros)?).checked_mul(1000).ok_or_else(|| beyond("interval"))?;
            let (months, days) = (i32::from_be_bytes(fixed(months)?), i32::from_be_bytes(fixed(days)?));
            S::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(months, days, nanos)))
        }
        DataType::List(_) => array(bytes, &item(field))?,
        DataType::Struct(fields) => record(bytes, fields)?,
        other => return Err(Error::internal(format!("no binary form for {other}")).into()),
    })
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Binary> {
    bytes.try_into().map_err(|_| Binary::Format)
}

fn beyond(name: &str) -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("{name} out of range"))
}

fn string(bytes: &[u8], field: &Field) -> Result<String, Binary> {
    let value = utf8(bytes)?;
    Ok(text::string::parse_text(value, field)?.into_owned())
}

/// Numeric's base 10000 digits as decimal text, for the one reader that rounds and checks.
fn numeric_text(bytes: &[u8]) -> Result<String, Binary> {
    let words: Vec<u16> = bytes.chunks(2).map(|pair| fixed(pair).map(u16::from_be_bytes)).collect::<Result<_, _>>()?;
    let &[count, weight, sign, scale, ref digits @ ..] = words.as_slice() else { return Err(Binary::Format) };
    if digits.len() != usize::from(count) || digits.iter().any(|d| *d > 9999) || scale > 0x3fff {
        return Err(Binary::Format);
    }
    let mut out = match sign {
        0 => String::new(),
        0x4000 => "-".to_owned(),
        0xc000 => return Ok("NaN".to_owned()),
        0xd000 => return Ok("Infinity".to_owned()),
        0xf000 => return Ok("-Infinity".to_owned()),
        _ => return Err(Binary::Format),
    };
    out.push('0');
    digits.iter().for_each(|d| out.push_str(&format!("{d:04}")));
    // The first digit counts 10000^weight.
    let exponent = (i64::from(weight as i16) + 1 - i64::from(count)) * 4;
    out.push_str(&format!("e{exponent}"));
    Ok(out)
}

/// A cursor over binary data.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], Binary> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(Binary::Format)?;
        self.0 = rest;
        Ok(head)
    }

    fn i32(&mut self) -> Result<i32, Binary> {
        Ok(i32::from_be_bytes(fixed(self.take(4)?)?))
    }
}

fn array(bytes: &[u8], item: &Field) -> Result<ScalarValue, Binary> {
    let mut cursor = Cursor(bytes);
    let dimensions = cursor.i32()?;
    let flags = cursor.i32()?;
    let element = cursor.i32()? as u32;
    if !(0..=6).contains(&dimensions) || !(0..=1).contains(&flags) {
        return Err(Binary::Format);
    }
    let mut lengths = Vec::new();
    for _ in 0..dimensions {
        lengths.push(usize::try_from(cursor.i32()?).map_err(|_| Binary::Format)?);
        cursor.i32()?;
    }
    // Each element takes four bytes at least, so a lie about the lengths can't make us allocate.
    let total = lengths.iter().try_fold(1usize, |n, length| n.checked_mul(*length)).ok_or(Binary::Format)?;
    if !lengths.is_empty() && total > cursor.0.len() / 4 {
        return Err(Binary::Format);
    }
    text::array::check_dimensions(if total == 0 { 0 } else { lengths.len() }, item)?;
    let wanted = leaf(item);
    let mut values = Vec::new();
    for _ in 0..if lengths.is_empty() { 0 } else { total } {
        values.push(part(&mut cursor, element, &wanted)?);
    }
    if !cursor.0.is_empty() {
        return Err(Binary::Format);
    }
    if values.is_empty() {
        return Ok(text::array::list(values, item)?);
    }
    // The innermost lists first.
    let mut inner = wanted.clone();
    for length in lengths.iter().skip(1).rev() {
        let lists = values.chunks(*length).map(|part| text::array::list(part.to_vec(), &inner));
        values = lists.collect::<Result<_>>()?;
        inner = types::array("item", &inner, true);
    }
    Ok(text::array::list(values, &inner)?)
}

/// An element or a field, with its length. int4 where int8 is expected, and the like, is read by its own type and cast.
fn part(cursor: &mut Cursor<'_>, oid: u32, wanted: &Field) -> Result<ScalarValue, Binary> {
    let length = cursor.i32()?;
    if length == -1 {
        return Ok(ScalarValue::try_from(wanted.data_type()).map_err(Error::from)?);
    }
    let bytes = cursor.take(usize::try_from(length).map_err(|_| Binary::Format)?)?;
    if oid == pg_type(wanted).oid {
        return binary(bytes, wanted);
    }
    let own = by_oid(oid).ok_or(Binary::Format)?;
    match binary(bytes, &own)? {
        ScalarValue::Utf8(Some(text)) => Ok(text::parse(&text, wanted, &TimeZone::utc())?),
        value if own.data_type() == wanted.data_type() => Ok(value),
        value => Ok(value.cast_to(wanted.data_type()).map_err(Error::from)?),
    }
}

/// A record: how many fields, and of each its oid, its length and its bytes.
fn record(bytes: &[u8], fields: &Fields) -> Result<ScalarValue, Binary> {
    let mut cursor = Cursor(bytes);
    let count = cursor.i32()?;
    if usize::try_from(count).ok() != Some(fields.len()) {
        let message = format!("wrong number of columns: {count}, expected {}", fields.len());
        return Err(Error::new(SqlState::DATATYPE_MISMATCH, message).into());
    }
    let mut values = Vec::with_capacity(fields.len());
    for field in fields {
        let oid = cursor.i32()? as u32;
        values.push(part(&mut cursor, oid, field)?);
    }
    match cursor.0.is_empty() {
        true => Ok(text::record::record(&values, fields)?),
        false => Err(Binary::Format),
    }
}

/// Columns of scalar values as arrays: COPY's binary format.
pub fn column(values: Vec<ScalarValue>, field: &Field) -> Result<ArrayRef> {
    if values.is_empty() {
        return Ok(arrow::array::new_empty_array(field.data_type()));
    }
    Ok(ScalarValue::iter_to_array(values)?)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::data::text::{Column, display};
    use crate::server::pg::encode::write_binary;

    #[test]
    fn binary_is_read_as_it_is_written() {
        let utc = TimeZone::utc();
        for (oid, text) in [
            (16, "t"),
            (17, "\\x00ff"),
            (20, "-9223372036854775808"),
            (21, "-5"),
            (23, "2147483647"),
            (25, "é"),
            (26, "4294967295"),
            (700, "1.5"),
            (701, "-0.1"),
            (1082, "infinity"),
            (1082, "1999-12-31"),
            (1083, "23:59:59.999999"),
            (1114, "0044-03-15 12:00:00 BC"),
            (1114, "-infinity"),
            (1184, "20000-01-01 00:00:00+00"),
            (1186, "1 year 2 mons -3 days +00:00:00.5"),
            (1700, "0"),
            (1700, "12345678.0901"),
            (1700, "-0.0001"),
            (1700, "10000"),
            (1700, "99990000.5"),
            (2950, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            (3802, "{\"a\": 1}"),
            (1007, "{1,NULL,3}"),
            (1009, "{}"),
            (1231, "{1.5,-2}"),
            (114, "{\"a\" :1}"),
            (199, "{1,NULL}"),
            (2951, "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,NULL}"),
            (3807, "{\"{\\\"a\\\": 1}\",NULL}"),
        ] {
            let field = by_oid(oid).unwrap();
            let value = text::parse(text, &field, &utc).unwrap();
            let column = Column::new(value.to_array().unwrap().as_ref(), &field).unwrap();
            let mut bytes = BytesMut::new();
            write_binary(&column, 0, &mut bytes).unwrap();
            let back = parameter(Some(&bytes), &field, Format::Binary, 1, &utc).unwrap();
            assert_eq!(display(&back, &field, &utc).unwrap().as_deref(), Some(text), "{bytes:?}");
            assert!(parameter(None, &field, Format::Binary, 1, &utc).unwrap().is_null());
            for cut in 0..bytes.len() {
                // Never a panic, whatever is cut off.
                let _ = parameter(Some(&bytes[..cut]), &field, Format::Binary, 1, &utc);
            }
        }
    }

    #[test]
    fn records_are_laid_out_as_postgres_does() {
        let inner = types::record([Field::new("x", DataType::Utf8, true)]);
        let list = types::array("l", &Field::new("item", inner, true), true);
        let field = Field::new("s", types::record([by_oid(23).unwrap().with_name("a"), list]), true);
        let value = text::parse("(7,\"{(b),NULL}\")", &field, &TimeZone::utc()).unwrap();
        let column = Column::new(value.to_array().unwrap().as_ref(), &field).unwrap();
        let mut bytes = BytesMut::new();
        write_binary(&column, 0, &mut bytes).unwrap();
        let head = [[0, 0, 0, 2], [0, 0, 0, 23], [0, 0, 0, 4], [0, 0, 0, 7], [0, 0, 8, 239]].concat();
        assert_eq!(bytes[..20], head);
        assert_eq!(binary(&bytes, &field).unwrap(), value);
        let mut short = bytes.clone();
        short[19] = 23;
        assert!(binary(&short, &field).is_err());
        for cut in 0..bytes.len() {
            assert!(binary(&bytes[..cut], &field).is_err());
        }
    }

    #[test]
    fn numerics_and_arrays_are_laid_out_as_postgres_does() {
        let matrix = types::array("a", &types::nested(&by_oid(23).unwrap(), 2), true);
        for text in ["{{1,2,3},{4,NULL,6}}", "{}"] {
            let value = text::parse(text, &matrix, &TimeZone::utc()).unwrap();
            let column = Column::new(value.to_array().unwrap().as_ref(), &matrix).unwrap();
            let mut bytes = BytesMut::new();
            write_binary(&column, 0, &mut bytes).unwrap();
            assert_eq!(
                bytes[..12],
                [[0, 0, 0, if text == "{}" { 0 } else { 2 }], [0, 0, 0, u8::from(text != "{}")], [0, 0, 0, 23]]
                    .concat()
            );
            assert_eq!(binary(&bytes, &matrix).unwrap(), value);
        }
        let field = Field::new("n", DataType::Decimal128(12, 4), true);
        let value = text::parse("-12345.6", &field, &TimeZone::utc()).unwrap();
        let mut bytes = BytesMut::new();
        write_binary(&Column::new(value.to_array().unwrap().as_ref(), &field).unwrap(), 0, &mut bytes).unwrap();
        let words: Vec<u16> = bytes.chunks(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect();
        assert_eq!(words, [3, 1, 0x4000, 4, 1, 2345, 6000]);
    }

    #[test]
    fn wrong_parameters() {
        let utc = TimeZone::utc();
        let wrong = |bytes: &[u8], oid, format| {
            parameter(Some(bytes), &by_oid(oid).unwrap(), format, 2, &utc).unwrap_err().to_string()
        };
        assert_eq!(wrong(b"abc", 23, Format::Binary), "22P03: incorrect binary data format in bind parameter 2");
        assert_eq!(
            wrong(b"\0\x01\0\0\0\0\0\0\x27\x10", 1700, Format::Binary),
            "22P03: incorrect binary data format in bind parameter 2"
        );
        assert_eq!(wrong(b"x", 23, Format::Text), "22P02: invalid input syntax for type integer: \"x\"");
        assert_eq!(wrong(b"a\xff", 25, Format::Text), "22021: invalid byte sequence for encoding \"UTF8\": 0xff");
        assert_eq!(wrong(b"a\0", 25, Format::Binary), "22021: invalid byte sequence for encoding \"UTF8\": 0x00");
        // An array that claims to be huge.
        let huge = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1];
        assert_eq!(wrong(&huge, 1007, Format::Binary), "22P03: incorrect binary data format in bind parameter 2");
    }
}
