//! Files of each encoding, good and bad.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeBinaryArray, Int64Array, ListArray, ListBuilder, RecordBatch, StringArray, StringBuilder,
    StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Schema};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use crate::connectors::tests::{check, drain, lines};
use crate::connectors::{Connector, ConnectorSpec, build};
use crate::data::types;
use crate::error::Error;

/// A source over files of `dir`; columns as `name type`, `!` in front for NOT NULL.
fn spec(dir: &Path, path: &str, encode: &str, columns: &[&str]) -> ConnectorSpec {
    let fields = columns.iter().map(|column| {
        let (name, of) = column.split_once(' ').unwrap();
        let data_type = match of {
            "int" => DataType::Int32,
            "bigint" => DataType::Int64,
            "text" => DataType::Utf8,
            "timestamp" => types::timestamp(),
            "boolean" => DataType::Boolean,
            "numeric" => DataType::Decimal128(10, 2),
            "uuid" => types::UUID,
            "bigints" => types::list_of(&Field::new("item", DataType::Int64, true)),
            "uuids" => types::list_of(&Field::new("item", types::UUID, true)),
            other => panic!("{other}"),
        };
        Field::new(name.trim_start_matches('!'), data_type, !name.starts_with('!'))
    });
    ConnectorSpec {
        connector: "file".into(),
        options: vec![("path".into(), dir.join(path).display().to_string())],
        encode: Some(encode.into()),
        encode_options: Vec::new(),
        declared: (!columns.is_empty()).then(|| Arc::new(Schema::new(fields.collect::<Vec<_>>()))),
        file_root: None,
    }
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn check_rows(spec: &ConnectorSpec, rows: &[&str], bad: &[&str]) {
    let connector = build(spec).unwrap();
    check(connector.as_ref());
    let (found, found_bad, _) = drain(connector.as_ref(), 0);
    assert_eq!(lines(&found), rows);
    assert_eq!(found_bad.iter().map(|bad| format!("{:?} {}", bad.code, bad.message)).collect::<Vec<_>>(), bad);
}

fn check_error(spec: &ConnectorSpec, code: &str, message: &str, hint: &str) {
    let error: Error = build(spec).unwrap_err();
    let hint_found = error.parts().hint.clone().unwrap_or_default();
    assert_eq!((error.code().0, error.message(), hint_found.as_str()), (code, message, hint));
}

#[test]
fn csv_is_read_by_the_names_in_its_header_and_bad_records_are_reported() {
    let text = "ts,n,name,extra\n2026-01-01 10:00:00,1,\"a, \"\"b\"\"\",x\nsoon,2,b,x\n2026-01-01 10:01:00,2147483648,c,x\n\
                2026-01-01 10:02:00,4\n2026-01-01 10:03:00,5,e,x,y\n,6,,x\n2026-01-01 10:04:00,,g,x\n";
    let dir = folder(&[("a.csv", text)]);
    check_rows(
        &spec(dir.path(), "a.csv", "CSV", &["!n int", "ts timestamp", "name text"]),
        &["1,2026-01-01T10:00:00,a, \"b\"", "6,,"],
        &[
            "22007 a.csv:3: invalid input syntax for type timestamp: \"soon\" in column \"ts\"",
            "22003 a.csv:4: value \"2147483648\" is out of range for type integer in column \"n\"",
            "22P04 a.csv:5: missing data for column \"name\"",
            "22P04 a.csv:6: extra data after last expected column",
            "23502 a.csv:8: null value in column \"n\" violates not-null constraint",
        ],
    );
}

#[test]
fn csv_columns_can_be_left_out() {
    let dir = folder(&[("a.csv", "n,t,at,b\n1,x,2026-01-01 10:00:00,true\n2,,2026-01-01 11:00:00,false\n")]);
    let connector = build(&spec(dir.path(), "*.csv", "CSV", &[])).unwrap();
    let names: Vec<_> =
        connector.schema().fields().iter().map(|f| format!("{} {}", f.name(), types::sql_name(f))).collect();
    assert_eq!(names, ["n bigint", "t text", "at timestamp without time zone", "b boolean"]);
    check_rows(
        &spec(dir.path(), "a.csv", "CSV", &[]),
        &["1,x,2026-01-01T10:00:00,true", "2,,2026-01-01T11:00:00,false"],
        &[],
    );
}

#[test]
fn csv_options_change_header_delimiter_and_null() {
    let dir = folder(&[("a.tsv", "1\tNA\tx\n2\tb\t\n")]);
    let mut spec = spec(dir.path(), "a.tsv", "CSV", &["n int", "a text", "b text"]);
    let options = [("without_header", "true"), ("delimiter", "\\t"), ("null", "NA")];
    spec.encode_options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let (rows, ..) = drain(build(&spec).unwrap().as_ref(), 0);
    let column = |at: usize| rows.column(at).as_any().downcast_ref::<StringArray>().unwrap().clone();
    assert_eq!(column(1), StringArray::from(vec![None, Some("b")]));
    assert_eq!(column(2), StringArray::from(vec![Some("x"), Some("")]));
}

#[test]
fn json_lines_are_objects_and_the_rest_is_reported() {
    let text = "{\"n\": 1, \"v\": 2.5, \"who\": \"a\"}\n\n{\"n\": \"2\", \"other\": [1]}\nnot json\n[1]\n{\"n\": 1.5}\n\
                {\"n\": 3, \"who\": {\"x\": 1}}\n{\"n\": 4} {\"n\": 5}\n{\"v\": 1}\n{\"n\": 6, \"who\": true}";
    let dir = folder(&[("a.json", text)]);
    check_rows(
        &spec(dir.path(), "a.json", "JSON", &["!n bigint", "v numeric", "who text"]),
        &["1,2.50,a", "2,,", "6,,true"],
        &[
            "22P02 a.json:4: invalid input syntax for type json: expected ident at line 1 column 2",
            "22P02 a.json:5: the record is not a JSON object",
            "22P02 a.json:6: invalid input syntax for type bigint: \"1.5\" in column \"n\"",
            "22P02 a.json:7: expected a scalar, found an object in column \"who\"",
            "22P02 a.json:8: invalid input syntax for type json: trailing characters at line 1 column 10",
            "23502 a.json:9: null value in column \"n\" violates not-null constraint",
        ],
    );
}

#[test]
fn files_are_read_in_the_order_of_their_names() {
    let dir = folder(&[
        ("b.json", "{\"n\":2}\n{\"n\":3}"),
        ("a.json", "{\"n\":1}\n"),
        ("c.json", ""),
        (".d.json", "{\"n\":9}"),
    ]);
    check_rows(&spec(dir.path(), "*.json", "JSON", &["n int"]), &["1", "2", "3"], &[]);
    check_rows(&spec(dir.path(), "?.json", "JSON", &[]), &["1", "2", "3"], &[]);
}

#[test]
fn parquet_columns_are_cast_by_name_and_rows_are_found_again() {
    let dir = folder(&[]);
    let count = 20_000;
    let n = Int64Array::from_iter((0..count).map(|n| if n == 10_000 { i64::MAX } else { n }));
    let t = StringArray::from_iter((0..count).map(|n| (n % 2 == 0).then(|| n.to_string())));
    let batch = RecordBatch::try_from_iter([("n", Arc::new(n) as _), ("t", Arc::new(t) as _)]).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(3000)).build();
    for name in ["a.parquet", "b.parquet"] {
        let file = fs::File::create(dir.path().join(name)).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties.clone())).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }
    let connector = build(&spec(dir.path(), "*.parquet", "PARQUET", &["t text", "n int"])).unwrap();
    check(connector.as_ref());
    let (rows, bad, offsets) = drain(connector.as_ref(), 0);
    assert_eq!((rows.num_rows(), offsets.last()), (39_998, Some(&40_000)));
    assert_eq!(
        bad[0].message,
        "a.parquet: row 10001: value \"9223372036854775807\" is out of range for type integer in column \"n\""
    );
    let (rows, ..) = drain(connector.as_ref(), 39_997);
    assert_eq!(lines(&rows), [",19997", "19998,19998", ",19999"]);
    let told = build(&spec(dir.path(), "*.parquet", "PARQUET", &[])).unwrap();
    assert_eq!(told.schema().field(0).data_type(), &DataType::Int64);
}

#[test]
fn parquet_uuids_and_lists_are_columns() {
    let dir = folder(&[]);
    let uuids = FixedSizeBinaryArray::try_from_iter([[0xa0_u8; 16], [1; 16]].into_iter()).unwrap();
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]);
    let mut texts = ListBuilder::new(StringBuilder::new());
    texts.append_value([Some("a0eebc999c0b4ef8bb6d6bb9bd380a11")]);
    texts.append_value([Some("no uuid")]);
    let columns =
        [("u", Arc::new(uuids) as ArrayRef), ("l", Arc::new(lists) as _), ("t", Arc::new(texts.finish()) as _)];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = fs::File::create(dir.path().join("a.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let told = build(&spec(dir.path(), "*.parquet", "PARQUET", &[])).unwrap();
    let names: Vec<String> = told.schema().fields().iter().map(|f| types::sql_name(f)).collect();
    assert_eq!(names, ["uuid", "integer[]", "text[]"]);
    let connector = build(&spec(dir.path(), "*.parquet", "PARQUET", &["u uuid", "l bigints", "t uuids"])).unwrap();
    check(connector.as_ref());
    let (rows, bad, _) = drain(connector.as_ref(), 0);
    let columns = crate::data::text::columns(&rows).unwrap();
    let row = crate::data::text::row_detail(&columns, 0);
    assert_eq!(row, "(a0a0a0a0-a0a0-a0a0-a0a0-a0a0a0a0a0a0, {1,NULL}, {a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11})");
    let wrong = "a.parquet: row 2: invalid input syntax for type uuid: \"no uuid\" in column \"t\"";
    assert_eq!(bad.iter().map(|b| b.message.as_str()).collect::<Vec<_>>(), [wrong]);
}

#[test]
fn parquet_structs_are_columns_by_their_fields_names() {
    let dir = folder(&[]);
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(1 << 40), None]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some("b"), None]));
    let fields: Fields = vec![Field::new("n", DataType::Int64, true), Field::new("t", DataType::Utf8, true)].into();
    let nulls = NullBuffer::from(vec![true, true, false]);
    let records = StructArray::new(fields.clone(), vec![Arc::clone(&numbers), Arc::clone(&texts)], Some(nulls));
    let element = Arc::new(Field::new("element", DataType::Struct(fields.clone()), false));
    let parts = StructArray::new(fields, vec![numbers, texts], None);
    let lists = ListArray::new(element, OffsetBuffer::from_lengths([0, 2, 1]), Arc::new(parts), None);
    let batch =
        RecordBatch::try_from_iter([("s", Arc::new(records) as ArrayRef), ("l", Arc::new(lists) as _)]).unwrap();
    let file = fs::File::create(dir.path().join("a.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let printed = |connector: &dyn Connector| {
        check(connector);
        let (rows, bad, _) = drain(connector, 0);
        let columns = crate::data::text::columns(&rows).unwrap();
        let rows: Vec<String> = (0..rows.num_rows()).map(|row| crate::data::text::row_detail(&columns, row)).collect();
        (rows, bad.into_iter().map(|bad| bad.message).collect::<Vec<_>>())
    };
    let told = build(&spec(dir.path(), "*.parquet", "PARQUET", &[])).unwrap();
    let names: Vec<String> = told.schema().fields().iter().map(|f| types::sql_name(f)).collect();
    assert_eq!(names, ["STRUCT<n bigint, t text>", "STRUCT<n bigint, t text>[]"]);
    let rows = ["((1,a), {})", "((1099511627776,b), {\"(1,a)\",\"(1099511627776,b)\"})", "(null, {\"(,)\"})"];
    assert_eq!(printed(told.as_ref()), (rows.map(str::to_owned).to_vec(), vec![]));
    // Declared narrower, and in another order.
    let mut declared = spec(dir.path(), "*.parquet", "PARQUET", &[]);
    let narrow = types::record([Field::new("t", DataType::Utf8, true), Field::new("n", DataType::Int32, true)]);
    declared.declared = Some(Arc::new(Schema::new(vec![Field::new("s", narrow, true)])));
    let wrong =
        "a.parquet: row 2: value \"1099511627776\" is out of range for type integer in field \"n\" in column \"s\"";
    let rows = ["((a,1))", "(null)"].map(str::to_owned).to_vec();
    assert_eq!(printed(build(&declared).unwrap().as_ref()), (rows, vec![wrong.to_owned()]));
    let other = types::record([Field::new("z", DataType::Int32, true)]);
    declared.declared = Some(Arc::new(Schema::new(vec![Field::new("s", other, true)])));
    let message = "column \"s\" is STRUCT<z integer> but in file \"a.parquet\" it is STRUCT<n bigint, t text>";
    check_error(&declared, "42804", message, "");
}

#[test]
fn what_does_not_fit_is_refused_at_create() {
    let dir = folder(&[("a.csv", "departure,n\n1,2\n"), ("x.parquet", "no parquet")]);
    let of = |path: &str, encode: &str, columns: &[&str]| spec(dir.path(), path, encode, columns);
    let hint = "Perhaps you meant \"departure\".";
    check_error(&of("a.csv", "CSV", &["departures int"]), "42703", "file \"a.csv\" has no column \"departures\"", hint);
    let mut unknown = of("a.csv", "CSV", &[]);
    unknown.options.push(("pahts".into(), "x".into()));
    check_error(&unknown, "22023", "connector \"file\" has no option \"pahts\"", "Perhaps you meant \"path\".");
    let mut follow = of("a.csv", "CSV", &[]);
    follow.options.push(("follow".into(), "true".into()));
    follow.encode = Some("PARQUET".into());
    let hint = "Such files are written once and whole: leave the option follow out.";
    check_error(&follow, "0A000", "following a Parquet file is not supported", hint);
    let mut none = of("a.csv", "CSV", &[]);
    none.encode = None;
    let hint = "Add FORMAT PLAIN ENCODE PARQUET, CSV, JSON or TEXT behind WITH (..).";
    check_error(&none, "22023", "connector \"file\" needs ENCODE", hint);
    none.connector = "flie".into();
    check_error(&none, "22023", "unknown connector: \"flie\"", "Perhaps you meant \"file\".");
    assert_eq!(build(&of("x.parquet", "PARQUET", &[])).unwrap_err().code().0, "22P04");
    assert_eq!(build(&of("nowhere.csv", "CSV", &[])).unwrap_err().code().0, "58P01");
    assert_eq!(build(&of("*.nothing", "CSV", &[])).unwrap_err().code().0, "58P01");
    assert_eq!(build(&of("", "CSV", &[])).unwrap_err().code().0, "42809");
}

#[test]
fn files_outside_of_the_root_are_refused() {
    let dir = folder(&[("secret.csv", "n\n1\n")]);
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("a.csv"), "n\n1\n").unwrap();
    std::os::unix::fs::symlink(dir.path().join("secret.csv"), root.join("link.csv")).unwrap();
    let code = |path: &str| {
        let mut spec = spec(Path::new(""), path, "CSV", &[]);
        spec.file_root = Some(root.clone());
        build(&spec).map_or_else(|error| error.code().0, |_| "fine")
    };
    assert_eq!(code("a.csv"), "fine");
    assert_eq!(code(&root.join("a.csv").display().to_string()), "fine");
    assert_eq!(code("../secret.csv"), "42501");
    assert_eq!(code("../nowhere.csv"), "42501");
    assert_eq!(code("/etc/passwd"), "42501");
    assert_eq!(code("link.csv"), "42501");
    assert_eq!(code("*.csv"), "42501");
}

#[test]
fn a_file_that_changed_is_not_read_again() {
    let dir = folder(&[("a.csv", "n\n1\n")]);
    let connector = build(&spec(dir.path(), "a.csv", "CSV", &[])).unwrap();
    assert!(connector.open(0, 0).is_ok());
    fs::write(dir.path().join("a.csv"), "n\n1\n2\n").unwrap();
    assert_eq!(connector.open(0, 0).err().unwrap().code().0, "55000");
}
