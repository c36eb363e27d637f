//! Type names -> Arrow fields, as `data::types` tables them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{
    self, ArrayElemTypeDef, CharacterLength, DataType as Sql, ExactNumberInfo, StructField, TimezoneInfo,
};

use crate::data::types::{
    JSONB, META_TYPE, META_TYPMOD, NUMERIC_DEFAULT, UUID, array, interval, json, record, timestamp, timestamptz,
    varchar,
};
use crate::error::{Error, Result, SqlState};
use crate::sql::parser::cursor::fold;

/// Plans types for DataFusion.
#[derive(Debug)]
pub(super) struct PgTypes;

impl TypePlanner for PgTypes {
    fn plan_type_field(&self, sql_type: &Sql) -> datafusion::error::Result<Option<FieldRef>> {
        Ok(Some(Arc::new(field("", sql_type)?)))
    }
}

/// A type as a statement names it.
pub type TypeName = Sql;

/// PostgreSQL's oid of a type. Errors: as `field`.
pub fn type_oid(name: &TypeName) -> Result<u32> {
    Ok(crate::data::types::pg_type(&field("", name)?).oid)
}

/// A nullable field of a SQL type. Errors: `42704` no such type, `0A000` types to come.
pub(super) fn field(name: &str, sql: &Sql) -> Result<Field> {
    let plain = |t: DataType| Ok(Field::new(name, t, true));
    match sql {
        Sql::Boolean | Sql::Bool => plain(DataType::Boolean),
        Sql::SmallInt(None) | Sql::Int2(None) => plain(DataType::Int16),
        Sql::Int(None) | Sql::Integer(None) | Sql::Int4(None) => plain(DataType::Int32),
        Sql::BigInt(None) | Sql::Int8(None) => plain(DataType::Int64),
        Sql::Real | Sql::Float4 => plain(DataType::Float32),
        Sql::Double(ExactNumberInfo::None) | Sql::DoublePrecision | Sql::Float8 => plain(DataType::Float64),
        Sql::Float(info) => float(name, info),
        Sql::Numeric(info) | Sql::Decimal(info) | Sql::Dec(info) => numeric(name, info),
        Sql::Text | Sql::String(None) => plain(DataType::Utf8),
        Sql::Varchar(length) | Sql::CharacterVarying(length) | Sql::CharVarying(length) => {
            Ok(varchar(name, length_of(length.as_ref())?, true))
        }
        Sql::Char(length) | Sql::Character(length) => {
            let length = length_of(length.as_ref())?.unwrap_or(1);
            Err(padded(&format!("character({length})")))
        }
        Sql::Bytea => plain(DataType::Binary),
        Sql::Date => plain(DataType::Date32),
        Sql::Time(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            microseconds("time", *precision)?;
            plain(DataType::Time64(TimeUnit::Microsecond))
        }
        Sql::Time(..) => Err(Error::unsupported("type time with time zone", "Use time or timestamptz.")),
        Sql::Timestamp(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            microseconds("timestamp", *precision)?;
            plain(timestamp())
        }
        Sql::Timestamp(precision, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => {
            microseconds("timestamp", *precision)?;
            plain(timestamptz())
        }
        Sql::Interval { fields: None, precision: None } => plain(interval()),
        Sql::Interval { .. } => {
            let hint = "Use interval; a constant takes them: INTERVAL '1' YEAR TO MONTH.";
            Err(Error::unsupported(format!("type {}", sql.to_string().to_lowercase()), hint))
        }
        Sql::Array(ArrayElemTypeDef::SquareBracket(item, _) | ArrayElemTypeDef::AngleBracket(item)) => {
            Ok(array(name, &field("item", item)?, true))
        }
        Sql::Struct(fields, _) => Ok(Field::new(name, structure(fields)?, true)),
        Sql::Regclass => plain(DataType::Int64).map(|f| named(f, "regclass")),
        Sql::Uuid => plain(UUID),
        Sql::JSONB => plain(JSONB),
        Sql::JSON => Ok(json(name, true)),
        Sql::Custom(custom, modifiers) => by_name(name, custom, modifiers),
        other => Err(undefined(&other.to_string().to_lowercase())),
    }
}

/// `STRUCT<a INT, b STRUCT<..>, c INT[]>`.
fn structure(fields: &[StructField]) -> Result<DataType> {
    if fields.is_empty() {
        let error = Error::new(SqlState::INVALID_TABLE_DEFINITION, "type STRUCT needs fields");
        return Err(error.with_hint("Name them with their types: STRUCT<a INT, b TEXT>."));
    }
    let mut found: Vec<Field> = Vec::with_capacity(fields.len());
    for StructField { field_name, field_type, options } in fields {
        let Some(name) = field_name.as_ref().map(fold) else {
            let error = Error::syntax(format!("a field of type {field_type} of a STRUCT has no name"), None);
            return Err(error.with_hint("Name the fields with their types: STRUCT<a INT, b TEXT>."));
        };
        if options.is_some() {
            return Err(Error::unsupported("OPTIONS on a field of a STRUCT", "Leave them out."));
        }
        if found.iter().any(|field| *field.name() == name) {
            let message = format!("field \"{name}\" specified more than once");
            return Err(Error::new(SqlState::DUPLICATE_COLUMN, message));
        }
        found.push(field(&name, field_type)?);
    }
    Ok(record(found))
}

fn named(field: Field, pg: &str) -> Field {
    field.with_metadata(HashMap::from([(META_TYPE.to_owned(), pg.to_owned())]))
}

fn undefined(name: &str) -> Error {
    Error::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"))
}

/// Values that compare without the spaces behind them.
fn padded(kind: &str) -> Error {
    Error::unsupported(format!("type {kind}"), "Use VARCHAR(n) or TEXT.")
}

/// Types that sqlparser has no word for.
fn by_name(name: &str, custom: &ast::ObjectName, _modifiers: &[String]) -> Result<Field> {
    let last = custom.0.last().map(ToString::to_string).unwrap_or_default();
    let plain = |t: DataType| Ok(Field::new(name, t, true));
    match last.trim_matches('"').to_ascii_lowercase().as_str() {
        "bool" => plain(DataType::Boolean),
        "int2" => plain(DataType::Int16),
        "int4" | "int" => plain(DataType::Int32),
        "int8" => plain(DataType::Int64),
        "float4" => plain(DataType::Float32),
        "float8" => plain(DataType::Float64),
        "numeric" => numeric(name, &ExactNumberInfo::None),
        "text" => plain(DataType::Utf8),
        "varchar" => Ok(varchar(name, None, true)),
        "bpchar" => Err(padded("bpchar")),
        "name" => plain(DataType::Utf8).map(|f| named(f, "name")),
        "char" => plain(DataType::Utf8).map(|f| named(f, "char")),
        "bytea" => plain(DataType::Binary),
        "date" => plain(DataType::Date32),
        "timestamp" => plain(timestamp()),
        "timestamptz" => plain(timestamptz()),
        "time" => plain(DataType::Time64(TimeUnit::Microsecond)),
        "interval" => plain(interval()),
        "oid" | "xid" | "cid" => plain(DataType::Int64).map(|f| named(f, "oid")),
        oid @ ("regclass" | "regtype" | "regproc" | "regnamespace" | "regrole") => {
            plain(DataType::Int64).map(|f| named(f, oid))
        }
        serial @ ("serial" | "bigserial" | "smallserial" | "serial2" | "serial4" | "serial8") => {
            Err(Error::unsupported(format!("type {serial}"), "Use integer or bigint, and give the value in INSERT."))
        }
        "uuid" => plain(UUID),
        "jsonb" => plain(JSONB),
        "json" => Ok(json(name, true)),
        kind @ ("xml" | "inet" | "cidr" | "money" | "timetz" | "bit" | "varbit") => {
            Err(Error::unsupported(format!("type {kind}"), "Use text."))
        }
        // `_int4`: PostgreSQL's own name of int4[].
        element if element.starts_with('_') => {
            let item = ast::ObjectName::from(vec![ast::Ident::new(&element[1..])]);
            Ok(array(name, &by_name("item", &item, &[])?, true))
        }
        other => Err(undefined(other)),
    }
}

fn float(name: &str, info: &ExactNumberInfo) -> Result<Field> {
    let single = matches!(info, ExactNumberInfo::Precision(p) if *p <= 24);
    Ok(Field::new(name, if single { DataType::Float32 } else { DataType::Float64 }, true))
}

fn numeric(name: &str, info: &ExactNumberInfo) -> Result<Field> {
    let (precision, scale) = match *info {
        ExactNumberInfo::None => {
            let (p, s) = NUMERIC_DEFAULT;
            let metadata = HashMap::from([(META_TYPMOD.to_owned(), "-1".to_owned())]);
            return Ok(Field::new(name, DataType::Decimal128(p, s), true).with_metadata(metadata));
        }
        ExactNumberInfo::Precision(p) => (p, 0),
        ExactNumberInfo::PrecisionAndScale(p, s) => (p, s),
    };
    let wrong = |message: String| Error::new(SqlState::INVALID_PARAMETER_VALUE, message);
    if precision == 0 || precision > 1000 {
        return Err(wrong(format!("NUMERIC precision {precision} must be between 1 and 1000")));
    }
    if precision > 38 {
        return Err(Error::unsupported(format!("numeric precision {precision}"), "The largest precision is 38."));
    }
    if scale < 0 || scale > i64::try_from(precision).unwrap_or(38) {
        return Err(wrong(format!("NUMERIC scale {scale} must be between 0 and precision {precision}")));
    }
    Ok(Field::new(name, DataType::Decimal128(precision as u8, scale as i8), true))
}

fn length_of(length: Option<&CharacterLength>) -> Result<Option<i32>> {
    match length {
        None | Some(CharacterLength::Max) => Ok(None),
        Some(CharacterLength::IntegerLength { length, .. }) => match i32::try_from(*length) {
            Ok(0) => Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "length for type varchar must be at least 1")),
            Ok(n) if n <= 10_485_760 => Ok(Some(n)),
            _ => Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "length for type varchar cannot exceed 10485760")),
        },
    }
}

fn microseconds(kind: &str, precision: Option<u64>) -> Result<()> {
    match precision {
        None | Some(6) => Ok(()),
        Some(p) => {
            Err(Error::unsupported(format!("type {kind}({p})"), format!("Use {kind}, which keeps microseconds.")))
        }
    }
}
