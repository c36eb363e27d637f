//! SQL type <-> Arrow type: the one table of both, with PostgreSQL's oids.
//!
//! | SQL | oid | Arrow |
//! |---|---|---|
//! | boolean | 16 | Boolean |
//! | bytea | 17 | Binary |
//! | bigint, integer, smallint | 20, 23, 21 | Int64, Int32, Int16 |
//! | text | 25 | Utf8 |
//! | varchar(n) | 1043 | Utf8 with field metadata `pg.type = varchar`, `pg.typmod` |
//! | real, double precision | 700, 701 | Float32, Float64 |
//! | numeric(p, s) | 1700 | Decimal128(p, s); without (p, s): Decimal128(38, 10), metadata `pg.typmod = -1` |
//! | date | 1082 | Date32 |
//! | time | 1083 | Time64(us) |
//! | timestamp | 1114 | Timestamp(us) |
//! | timestamptz | 1184 | Timestamp(us, "UTC"): the instant; the session's TimeZone is applied at the wire |
//! | interval | 1186 | Interval(MonthDayNano) |
//! | uuid | 2950 | FixedSizeBinary(16) |
//! | jsonb | 3802 | LargeUtf8: the one text of each value that [`super::text::json`] makes |
//! | json | 114 | Utf8 with field metadata `pg.type = json` |
//! | arrays | `typarray` | List; of several dimensions: lists of lists, of the same oid. Metadata of the elements' type stands at the column, `pg.type = varchar[]`, so that equal lists are of equal Arrow types |
//! | `STRUCT<a integer, ..>` | 2249 (record) | Struct. Fields keep their metadata, inside of the Arrow type, and may all be NULL |

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

/// Field metadata: the SQL type where Arrow's type does not tell (`varchar`, `name`, `oid`, `regclass`, ..).
pub const META_TYPE: &str = "pg.type";
/// Field metadata: PostgreSQL's typmod, as decimal text.
pub const META_TYPMOD: &str = "pg.typmod";

/// Bytes of a uuid.
pub const UUID_BYTES: i32 = 16;
/// UUID.
pub const UUID: DataType = DataType::FixedSizeBinary(UUID_BYTES);
/// JSONB.
pub const JSONB: DataType = DataType::LargeUtf8;

/// Precision and scale that carry a `numeric` declared without them.
pub const NUMERIC_DEFAULT: (u8, i8) = (38, 10);

/// TIMESTAMP: microseconds without zone.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

/// TIMESTAMPTZ: microseconds, an instant.
pub fn timestamptz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// A PostgreSQL type as the wire names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PgType {
    /// `pg_type.oid`.
    pub oid: u32,
    /// Bytes of a fixed-length value, or -1.
    pub length: i16,
    /// Type modifier, or -1.
    pub typmod: i32,
}

/// The wire type of a column.
pub fn pg_type(field: &Field) -> PgType {
    let metadata = field.metadata();
    let typmod = metadata.get(META_TYPMOD).and_then(|m| m.parse().ok());
    if let Some((oid, length)) = metadata.get(META_TYPE).and_then(|name| by_name(name)) {
        return PgType { oid, length, typmod: typmod.unwrap_or(-1) };
    }
    let (oid, length) = match field.data_type() {
        DataType::Boolean => (16, 1),
        DataType::FixedSizeBinary(UUID_BYTES) => (2950, 16),
        DataType::LargeUtf8 => (3802, -1),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => (17, -1),
        DataType::Int64 | DataType::UInt32 => (20, 8),
        DataType::Int16 | DataType::Int8 | DataType::UInt8 => (21, 2),
        DataType::Int32 | DataType::UInt16 => (23, 4),
        DataType::UInt64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => (1700, -1),
        DataType::Float32 | DataType::Float16 => (700, 4),
        DataType::Float64 => (701, 8),
        DataType::Date32 | DataType::Date64 => (1082, 4),
        DataType::Time32(_) | DataType::Time64(_) => (1083, 8),
        DataType::Timestamp(_, None) => (1114, 8),
        DataType::Timestamp(_, Some(_)) => (1184, 8),
        DataType::Interval(_) | DataType::Duration(_) => (1186, 16),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            let item = pg_type(item);
            let oid = if is_array_oid(item.oid) { item.oid } else { array_oid(item.oid) };
            return PgType { oid, length: -1, typmod: typmod.unwrap_or(item.typmod) };
        }
        DataType::Struct(_) => (RECORD, -1),
        _ => (25, -1),
    };
    let typmod = typmod.unwrap_or_else(|| match field.data_type() {
        DataType::Decimal128(p, s) if (*p, *s) != NUMERIC_DEFAULT => ((i32::from(*p) << 16) | i32::from(*s)) + 4,
        _ => -1,
    });
    PgType { oid, length, typmod }
}

/// oid and length by SQL type name.
fn by_name(name: &str) -> Option<(u32, i16)> {
    if let Some(element) = name.strip_suffix(ARRAY) {
        return by_name(element).map(|(oid, _)| (array_oid(oid), -1));
    }
    Some(match name {
        "varchar" => (1043, -1),
        "bpchar" => (1042, -1),
        "name" => (19, 64),
        "char" => (18, 1),
        "oid" => (26, 4),
        "regclass" => (2205, 4),
        "regtype" => (2206, 4),
        "regproc" => (24, 4),
        "regnamespace" => (4089, 4),
        "regrole" => (4096, 4),
        "int2vector" => (22, -1),
        "oidvector" => (30, -1),
        "json" => (114, -1),
        _ => return None,
    })
}

/// json's oid: its Arrow type is text's.
pub const JSON_OID: u32 = 114;
/// What a STRUCT is on the wire: PostgreSQL's type of rows without a name.
pub const RECORD: u32 = 2249;
/// Its array.
pub const RECORDS: u32 = 2287;

/// Element types and their arrays, by oid.
const ARRAYS: [(u32, u32); 26] = [
    (16, 1000),
    (17, 1001),
    (18, 1002),
    (19, 1003),
    (20, 1016),
    (21, 1005),
    (23, 1007),
    (24, 1008),
    (25, 1009),
    (26, 1028),
    (114, 199),
    (700, 1021),
    (701, 1022),
    (1042, 1014),
    (1043, 1015),
    (1082, 1182),
    (1083, 1183),
    (1114, 1115),
    (1184, 1185),
    (1186, 1187),
    (1700, 1231),
    (2205, 2210),
    (2206, 2211),
    (RECORD, RECORDS),
    (2950, 2951),
    (3802, 3807),
];

/// The array type of an element type, by oid.
pub fn array_oid(element: u32) -> u32 {
    ARRAYS.iter().find(|(e, _)| *e == element).map_or(1009, |(_, array)| *array)
}

fn is_array_oid(oid: u32) -> bool {
    ARRAYS.iter().any(|(_, array)| *array == oid)
}

/// What follows an element type's name in the name of its arrays.
const ARRAY: &str = "[]";

/// A list of elements of a type, which brings no metadata with it.
pub fn list_of(item: &Field) -> DataType {
    DataType::List(Field::new("item", item.data_type().clone(), true).into())
}

/// An array column of elements of a type.
pub fn array(name: &str, item: &Field, nullable: bool) -> Field {
    let mut metadata = item.metadata().clone();
    if let Some(element) = metadata.get_mut(META_TYPE).filter(|element| !element.ends_with(ARRAY)) {
        element.push_str(ARRAY);
    }
    Field::new(name, list_of(item), nullable).with_metadata(metadata)
}

/// The elements' type of an array column; of several dimensions it is an array again.
pub fn item(field: &Field) -> Field {
    let DataType::List(item) = field.data_type() else { return field.clone() };
    let mut metadata: HashMap<String, String> = item.metadata().clone();
    metadata.extend(field.metadata().iter().map(|(k, v)| (k.clone(), v.clone())));
    if let (false, Some(name)) = (item.data_type().is_list(), metadata.get_mut(META_TYPE)) {
        *name = name.trim_end_matches(ARRAY).to_owned();
    }
    item.as_ref().clone().with_metadata(metadata)
}

/// The element of an array column, however many dimensions it has.
pub fn leaf(field: &Field) -> Field {
    if field.data_type().is_list() { leaf(&item(field)) } else { field.clone() }
}

/// The type of the elements of an array of so many dimensions: lists of lists.
pub fn nested(item: &Field, dimensions: usize) -> Field {
    (1..dimensions).fold(item.clone(), |item, _| array("item", &item, true))
}

/// How many dimensions the arrays of a type have; 0: it is no array.
pub fn dimensions(data_type: &DataType) -> usize {
    match data_type {
        DataType::List(item) => 1 + dimensions(item.data_type()),
        _ => 0,
    }
}

/// What a parameter of a column's type is sent as: the wire knows no precision, scale and length.
pub fn parameter(field: &Field) -> Field {
    let plain = |field: &Field| by_oid(pg_type(field).oid).unwrap_or_else(|| field.clone());
    match dimensions(field.data_type()) {
        0 => plain(field),
        count => array("", &nested(&plain(&leaf(field)), count), true),
    }
}

/// The column type of a PostgreSQL type, without typmod: what a parameter of that type is kept in. `None` for types that
/// there are none of here.
pub fn by_oid(oid: u32) -> Option<Field> {
    let plain = |data_type| Some(Field::new("", data_type, true));
    let named = |data_type, name: &str| {
        let metadata = HashMap::from([(META_TYPE.to_owned(), name.to_owned())]);
        Some(Field::new("", data_type, true).with_metadata(metadata))
    };
    let numeric = DataType::Decimal128(NUMERIC_DEFAULT.0, NUMERIC_DEFAULT.1);
    match oid {
        16 => plain(DataType::Boolean),
        17 => plain(DataType::Binary),
        18 => named(DataType::Utf8, "char"),
        19 => named(DataType::Utf8, "name"),
        20 => plain(DataType::Int64),
        21 => plain(DataType::Int16),
        23 => plain(DataType::Int32),
        24 => named(DataType::Int64, "regproc"),
        25 | 705 => plain(DataType::Utf8),
        26 => named(DataType::Int64, "oid"),
        114 => named(DataType::Utf8, "json"),
        700 => plain(DataType::Float32),
        701 => plain(DataType::Float64),
        1042 => named(DataType::Utf8, "bpchar"),
        1043 => named(DataType::Utf8, "varchar"),
        1082 => plain(DataType::Date32),
        1083 => plain(DataType::Time64(TimeUnit::Microsecond)),
        1114 => plain(timestamp()),
        1184 => plain(timestamptz()),
        1186 => plain(interval()),
        1700 => plain(numeric),
        2205 => named(DataType::Int64, "regclass"),
        2206 => named(DataType::Int64, "regtype"),
        2950 => plain(UUID),
        3802 => plain(JSONB),
        4089 => named(DataType::Int64, "regnamespace"),
        4096 => named(DataType::Int64, "regrole"),
        _ => {
            let (item, _) = ARRAYS.iter().copied().find(|(_, array)| *array == oid)?;
            Some(array("", &by_oid(item)?, true))
        }
    }
}

/// PostgreSQL's name of a column's type, as `\d` and `format_type` print it.
pub fn sql_name(field: &Field) -> String {
    let pg = pg_type(field);
    let precision = |typmod: i32| ((typmod - 4) >> 16, (typmod - 4) & 0xffff);
    match pg.oid {
        16 => "boolean".into(),
        17 => "bytea".into(),
        18 => "\"char\"".into(),
        19 => "name".into(),
        20 => "bigint".into(),
        21 => "smallint".into(),
        23 => "integer".into(),
        25 => "text".into(),
        26 => "oid".into(),
        700 => "real".into(),
        701 => "double precision".into(),
        1043 if pg.typmod > 4 => format!("character varying({})", pg.typmod - 4),
        1043 => "character varying".into(),
        1042 => format!("character({})", (pg.typmod - 4).max(1)),
        1082 => "date".into(),
        1083 => "time without time zone".into(),
        1114 => "timestamp without time zone".into(),
        1184 => "timestamp with time zone".into(),
        1186 => "interval".into(),
        1700 if pg.typmod > 4 => {
            let (p, s) = precision(pg.typmod);
            format!("numeric({p},{s})")
        }
        1700 => "numeric".into(),
        2205 => "regclass".into(),
        2206 => "regtype".into(),
        24 => "regproc".into(),
        114 => "json".into(),
        4089 => "regnamespace".into(),
        4096 => "regrole".into(),
        2950 => "uuid".into(),
        3802 => "jsonb".into(),
        RECORD => struct_name(field.data_type()),
        _ => match field.data_type() {
            DataType::List(_) => format!("{}{ARRAY}", sql_name(&leaf(field))),
            _ => "text".into(),
        },
    }
}

/// `STRUCT<a integer, "B c" text>`, as it is declared.
fn struct_name(data_type: &DataType) -> String {
    let DataType::Struct(fields) = data_type else { return "record".to_owned() };
    let quoted = |name: &str| {
        let first = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        let plain = first && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
    };
    let fields = fields.iter().map(|field| format!("{} {}", quoted(field.name()), sql_name(field)));
    format!("STRUCT<{}>", fields.collect::<Vec<_>>().join(", "))
}

/// A STRUCT's type: all of its fields may be NULL.
pub fn record(fields: impl IntoIterator<Item = Field>) -> DataType {
    DataType::Struct(fields.into_iter().map(|field| field.with_nullable(true)).collect())
}

/// A field with the metadata that makes it `varchar(n)`.
pub fn varchar(name: &str, length: Option<i32>, nullable: bool) -> Field {
    let typmod = length.map_or(-1, |n| n + 4);
    let metadata =
        HashMap::from([(META_TYPE.to_owned(), "varchar".to_owned()), (META_TYPMOD.to_owned(), typmod.to_string())]);
    Field::new(name, DataType::Utf8, nullable).with_metadata(metadata)
}

/// A field with the metadata that makes it `json`.
pub fn json(name: &str, nullable: bool) -> Field {
    let metadata = HashMap::from([(META_TYPE.to_owned(), "json".to_owned())]);
    Field::new(name, DataType::Utf8, nullable).with_metadata(metadata)
}

/// INTERVAL.
pub fn interval() -> DataType {
    DataType::Interval(IntervalUnit::MonthDayNano)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oids_and_columns_are_inverse() {
        for oid in (0..5000).filter(|oid| by_oid(*oid).is_some()) {
            let field = by_oid(oid).unwrap();
            let expected = if oid == 705 { 25 } else { oid };
            assert_eq!(pg_type(&field).oid, expected, "{field}");
        }
        assert_eq!(sql_name(&by_oid(1231).unwrap()), "numeric[]");
        assert!(by_oid(600).is_none());
    }

    #[test]
    fn structs_are_named_as_they_are_declared() {
        let inner = Field::new("B c", record([varchar("x", Some(3), true)]), true);
        let field = Field::new("s", record([Field::new("a", DataType::Int32, false), inner]), true);
        assert_eq!(sql_name(&field), "STRUCT<a integer, \"B c\" STRUCT<x character varying(3)>>");
        let list = array("l", &field, true);
        assert_eq!((pg_type(&field).oid, pg_type(&list).oid), (RECORD, RECORDS));
        assert!(sql_name(&list).ends_with(">>[]"));
    }
}
