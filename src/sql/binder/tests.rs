//! Queries over one table, bound and run.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::MemTable;
use datafusion::physical_plan::collect;

use super::{BindSession, Binder};
use crate::catalog::object::{Kind, Object, Table, View};
use crate::catalog::{Catalog, Relation, Snapshot};
use crate::data::text::{Column, TimeZone};
use crate::data::types::{sql_name, timestamp, varchar};
use crate::sql::statement::Select;
use crate::sql::{Executor, Statement, parse};

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("id", DataType::Int32, false),
        Field::new("n", DataType::Int64, true),
        Field::new("d", DataType::Float64, true),
        Field::new("p", DataType::Decimal128(10, 2), true),
        Field::new("s", DataType::Utf8, true),
        varchar("v", Some(3), true),
        Field::new("ts", timestamp(), true),
        Field::new("day", DataType::Date32, true),
        Field::new("b", DataType::Boolean, true),
    ])
}

fn rows() -> RecordBatch {
    let second = 1_000_000;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![1, 2, 3])),
        Arc::new(Int64Array::from(vec![Some(10), Some(0), None])),
        Arc::new(Float64Array::from(vec![1.5, 2.5, -1.0])),
        Arc::new(Decimal128Array::from(vec![150, 250, 1]).with_precision_and_scale(10, 2).unwrap()),
        Arc::new(StringArray::from(vec![Some("a"), Some("bb"), None])),
        Arc::new(StringArray::from(vec!["x", "y", "z"])),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(3 * second), Some(12 * second), None])),
        Arc::new(Date32Array::from(vec![0, 1, 20_454])),
        Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
    ];
    RecordBatch::try_new(Arc::new(schema()), columns).unwrap()
}

fn catalog() -> Arc<Snapshot> {
    let catalog = Catalog::default();
    let table = Table {
        numbers: Default::default(),
        primary_key: vec![0],
        defaults: vec![None, Some("7".into()), None, None, Some("'dflt'".into()), None, None, None, None],
        watermark: None,
        append_only: false,
        connector: None,
    };
    let add = |name: &str, schema: Schema, kind: Kind| {
        let id = catalog.allocate();
        let object = Object { id, name: name.into(), schema: Arc::new(schema), kind, comment: None };
        catalog.create(object).unwrap();
    };
    add("t", schema(), Kind::Table(table.clone()));
    add("u", schema(), Kind::Table(table));
    let view = Schema::new(vec![Field::new("k", DataType::Int32, true), Field::new("total", DataType::Int64, true)]);
    let query = "SELECT id, n + 1 FROM t".to_owned();
    add("pv", view, Kind::View(View { query, depends: vec![], seen: vec![] }));
    catalog.snapshot()
}

fn session() -> BindSession {
    BindSession {
        functions: Arc::new(HashMap::new()),
        time_zone: TimeZone::utc(),
        search_path: vec!["public".into()],
        now: 1_767_225_600_000_000,
    }
}

fn with<T>(text: &str, f: impl FnOnce(Binder<'_>, Statement) -> T) -> T {
    let statement = parse(text).unwrap_or_else(|e| panic!("{text}: {e}")).remove(0).statement;
    let (snapshot, session) = (catalog(), session());
    f(Binder::new(&snapshot, &session), statement)
}

/// Names and types, then rows.
fn run(text: &str) -> String {
    let result = with(text, |binder, statement| {
        let Statement::Query(Select { query, .. }) = statement else { panic!("{text} is no query") };
        let bound = binder.query(&query, &[])?;
        let executor = Executor::new(2);
        let table = Arc::new(MemTable::try_new(Arc::new(schema()), vec![vec![rows()]])?);
        let plan = executor.with_sources(bound.plan, &mut |source| {
            Ok(source.downcast_ref::<Relation>().map(|_| table.clone() as _))
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let batches = runtime.block_on(async {
            let plan = executor.physical_plan(&plan, &crate::sql::interrupt::never()).await?;
            Ok::<_, crate::error::Error>(collect(plan, executor.task()).await?)
        })?;
        let head: Vec<String> = bound.columns.iter().map(|f| format!("{} {}", f.name(), sql_name(f))).collect();
        let mut out = head.join(", ");
        for batch in &batches {
            let columns: Vec<Column> =
                batch.columns().iter().zip(&bound.columns).map(|(a, f)| Column::new(a.as_ref(), f).unwrap()).collect();
            for row in 0..batch.num_rows() {
                out.push_str(" | ");
                let cells = columns.iter().map(|c| {
                    let mut cell = String::new();
                    if c.is_null(row) {
                        cell.push('-');
                    } else {
                        c.write(row, &TimeZone::utc(), &mut cell);
                    }
                    cell
                });
                out.push_str(&cells.collect::<Vec<_>>().join(" "));
            }
        }
        Ok::<_, crate::error::Error>(out)
    });
    result.unwrap_or_else(|e| {
        let parts = e.parts();
        let position = parts.position.map(|p| format!("@{p}")).unwrap_or_default();
        let hint = parts.hint.as_ref().map(|h| format!(" HINT {h}")).unwrap_or_default();
        format!("ERROR {}{position} {}{hint}", e.code().0, e.message())
    })
}

/// All differences at once.
fn check_all(cases: &[(&str, &str)]) {
    let mut wrong = String::new();
    for (text, expected) in cases {
        let got = run(text);
        if got != *expected {
            wrong.push_str(&format!("\n{text}\n  expected {expected}\n  got      {got}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn names_and_types_are_postgres() {
    check_all(&[
        (
            "SELECT 1, 'a', 2.5, count(*) FROM t",
            "?column? integer, ?column? text, ?column? numeric(2,1), count bigint | 1 a 2.5 3",
        ),
        ("SELECT 1, 1", "?column? integer, ?column? integer | 1 1"),
        (
            "SELECT id::bigint, '1'::int, upper(s), CASE WHEN b THEN 1 END, coalesce(n, 0) FROM t ORDER BY 1 LIMIT 1",
            "id bigint, int4 integer, upper text, case integer, coalesce bigint | 1 1 A 1 10",
        ),
        (
            "SELECT *, id FROM t WHERE id = 2",
            "id integer, n bigint, d double precision, p numeric(10,2), s text, v character varying(3), ts timestamp without time zone, day date, b boolean, id integer | 2 0 2.5 2.50 bb y 1970-01-01 00:00:12 1970-01-02 f 2",
        ),
        (
            "SELECT sum(id), sum(n), sum(d), sum(p), avg(id), avg(d), avg(p), min(s), max(ts) FROM t",
            "sum bigint, sum numeric(38,0), sum double precision, sum numeric(38,2), avg numeric(38,16), avg double precision, avg numeric(38,16), min text, max timestamp without time zone | 6 10 3 4.01 2.0000000000000000 1 1.3366666666666667 a 1970-01-01 00:00:12",
        ),
        ("SELECT count FROM (SELECT count(*) FROM t) x", "count bigint | 3"),
        (
            "SELECT EXISTS (SELECT 1 FROM t), ARRAY[1,2], (SELECT max(id) FROM t)",
            "exists boolean, array integer[], max integer | t {1,2} 3",
        ),
        ("SELECT k, total FROM pv ORDER BY k DESC", "k integer, total bigint | 3 - | 2 1 | 1 11"),
        ("VALUES (1, 'a'), (2, NULL)", "column1 integer, column2 text | 1 a | 2 -"),
        ("SELECT NULL", "?column? text | -"),
        ("SELECT x FROM generate_series(1, 3) AS x", "x integer | 1 | 2 | 3"),
    ]);
}

#[test]
fn grouped_expressions_are_recognised() {
    check_all(&[
        (
            "SELECT s::text || 'x' AS k, coalesce(n, 0) + 1, count(*) FROM t GROUP BY s::text, coalesce(n, 0) ORDER BY 2, 1",
            "k text, ?column? bigint, count bigint | bbx 1 1 | - 1 1 | ax 11 1",
        ),
        (
            "SELECT date_trunc('hour', ts) + interval '1 hour', count(*) FROM t WHERE id < 3 GROUP BY date_trunc('hour', ts)",
            "?column? timestamp without time zone, count bigint | 1970-01-01 01:00:00 2",
        ),
        (
            "SELECT id % 2, sum(n) FROM t GROUP BY id % 2 HAVING sum(n) > 0",
            "?column? integer, sum numeric(38,0) | 1 10",
        ),
        (
            "SELECT id % 2 AS k, sum(n) AS n FROM t GROUP BY k ORDER BY n NULLS FIRST",
            "k integer, n numeric(38,0) | 0 0 | 1 10",
        ),
        (
            "SELECT count(DISTINCT id), sum(DISTINCT id), count(*) FILTER (WHERE id > 1) FROM t",
            "count bigint, sum bigint, count bigint | 3 6 2",
        ),
        (
            "SELECT id, sum(id) OVER (ORDER BY id), row_number() OVER (ORDER BY id DESC), lag(id, 1) OVER (ORDER BY id) FROM t ORDER BY id",
            "id integer, sum bigint, row_number bigint, lag integer | 1 1 3 - | 2 3 2 1 | 3 6 1 2",
        ),
        ("SELECT x.id FROM t x JOIN u y USING (id) WHERE id + 1 > 2 ORDER BY id", "id integer | 2 | 3"),
        ("SELECT 1 AS a UNION ALL SELECT 2 ORDER BY a DESC", "a integer | 2 | 1"),
    ]);
}

#[test]
fn arithmetic_is_checked() {
    check_all(&[
        (
            "SELECT 7 / 2, -7 / 2, 7 % 3, 7 / 2.0",
            "?column? integer, ?column? integer, ?column? integer, ?column? numeric(38,16) | 3 -3 1 3.5000000000000000",
        ),
        ("SELECT 2147483647 + 1", "ERROR 22003 integer out of range"),
        ("SELECT n + 9223372036854775807 FROM t WHERE id = 1", "ERROR 22003 bigint out of range"),
        ("SELECT 1 / 0", "ERROR 22012 division by zero"),
        ("SELECT d / 0 FROM t", "ERROR 22012 division by zero"),
        (
            "SELECT p * 2, p + 1, p / 3, p * 1.5 FROM t WHERE id = 1",
            "?column? numeric(38,2), ?column? numeric(38,2), ?column? numeric(38,16), ?column? numeric(38,3) | 3.00 2.50 0.5000000000000000 2.250",
        ),
        (
            "SELECT id + 1.5, d + 1, d * p FROM t WHERE id = 1",
            "?column? numeric(38,1), ?column? double precision, ?column? double precision | 2.5 2.5 2.25",
        ),
        (
            "SELECT s || 1, id || 'x', NULL || 'a' FROM t WHERE id = 1",
            "?column? text, ?column? text, ?column? text | a1 1x -",
        ),
        (
            "SELECT round(2.5), round(-2.5), round(2.345, 2), round(2.5::float8), power(2, 3), sqrt(16)",
            "round numeric(38,0), round numeric(38,0), round numeric(38,2), round double precision, power double precision, sqrt double precision | 3 -3 2.35 2 8 4",
        ),
    ]);
}

#[test]
fn times_add_and_subtract() {
    check_all(&[
        (
            "SELECT ts + INTERVAL '1 day', ts - INTERVAL '1' SECOND, ts - '1970-01-01' FROM t WHERE id = 1",
            "?column? timestamp without time zone, ?column? timestamp without time zone, ?column? interval | 1970-01-02 00:00:03 1970-01-01 00:00:02 00:00:03",
        ),
        (
            "SELECT day + 1, day - 1, day - date '1970-01-01', day + interval '1 hour' FROM t WHERE id = 2",
            "?column? date, ?column? date, ?column? integer, ?column? timestamp without time zone | 1970-01-03 1970-01-01 1 1970-01-02 01:00:00",
        ),
        (
            "SELECT interval '1 day' * 2, 1.5 * interval '1 day', interval '1 day' / 2, id * interval '1 hour' FROM t WHERE id = 3",
            "?column? interval, ?column? interval, ?column? interval, ?column? interval | 2 days 1 day 12:00:00 12:00:00 03:00:00",
        ),
        (
            "SELECT interval '1 mon' = interval '30 days', interval '1 day' > '23:59:59'",
            "?column? boolean, ?column? boolean | t t",
        ),
        (
            "SELECT now(), current_date, now() - interval '1 day' < now()",
            "now timestamp with time zone, current_date date, ?column? boolean | 2026-01-01 00:00:00+00 2026-01-01 t",
        ),
        (
            "SELECT '2026-01-01'::timestamp, timestamptz '2026-01-01 00:00:00+01', '12:30'::time",
            "timestamp timestamp without time zone, timestamptz timestamp with time zone, time time without time zone | 2026-01-01 00:00:00 2025-12-31 23:00:00+00 12:30:00",
        ),
        (
            "SELECT id FROM t WHERE ts >= '1970-01-01 00:00:05' AND day IN ('1970-01-02', '1970-01-03')",
            "id integer | 2",
        ),
        ("SELECT id FROM t WHERE ts BETWEEN '1970-01-01' AND '1970-01-01 00:00:10'", "id integer | 1"),
    ]);
}

#[test]
fn casts_are_postgres() {
    check_all(&[
        ("SELECT 'abc'::int", "ERROR 22P02@8 invalid input syntax for type integer: \"abc\""),
        ("SELECT 1e15::float8, 1e3", "float8 double precision, ?column? numeric(38,0) | 1e+15 1000"),
        ("SELECT s::int FROM t", "ERROR 22P02 invalid input syntax for type integer: \"a\""),
        (
            "SELECT d::int, p::int, d::text, b::text, ts::text FROM t WHERE id = 2",
            "d integer, p integer, d text, b text, ts text | 2 3 2.5 false 1970-01-01 00:00:12",
        ),
        ("SELECT 'abcdef'::varchar(3), 12345::smallint", "varchar character varying(3), int2 smallint | abc 12345"),
        ("SELECT 123456::smallint", "ERROR 22003 smallint out of range"),
        ("SELECT b::date FROM t", "ERROR 42846@9 cannot cast type boolean to date"),
        (
            "SELECT '{1,2}'::int[], 't'::bool, '1.50'::numeric(5,1)",
            "int4 integer[], bool boolean, numeric numeric(5,1) | {1,2} t 1.5",
        ),
    ]);
}

#[test]
fn errors_are_postgres() {
    check_all(&[
        ("SELECT * FROM nope", "ERROR 42P01@15 relation \"nope\" does not exist"),
        (
            "SELECT idd FROM t",
            "ERROR 42703@8 column \"idd\" does not exist HINT Perhaps you meant to reference the column \"t.id\".",
        ),
        ("SELECT t.x FROM t", "ERROR 42703@8 column t.x does not exist"),
        ("SELECT z.id FROM t", "ERROR 42P01@8 missing FROM-clause entry for table \"z\""),
        ("SELECT id FROM t, u", "ERROR 42702@8 column reference \"id\" is ambiguous"),
        (
            "SELECT id + s FROM t",
            "ERROR 42883@11 operator does not exist: integer + text HINT No operator matches the given name and argument types. You might need to add explicit type casts.",
        ),
        (
            "SELECT id FROM t WHERE id = s",
            "ERROR 42883@27 operator does not exist: integer = text HINT No operator matches the given name and argument types. You might need to add explicit type casts.",
        ),
        (
            "SELECT foo(id, 'x') FROM t",
            "ERROR 42883@8 function foo(integer, unknown) does not exist HINT No function matches the given name and argument types. You might need to add explicit type casts.",
        ),
        (
            "SELECT s, count(*) FROM t",
            "ERROR 42803@8 column \"t.s\" must appear in the GROUP BY clause or be used in an aggregate function",
        ),
        ("SELECT id FROM t WHERE count(*) > 1", "ERROR 42803@24 aggregate functions are not allowed in WHERE"),
        ("SELECT id FROM t WHERE id", "ERROR 42804@24 argument of WHERE must be type boolean, not type integer"),
        ("SELECT id AND b FROM t", "ERROR 42804 argument of AND must be type boolean, not type integer"),
        ("SELECT CASE WHEN b THEN 1 ELSE s END FROM t", "ERROR 42804 CASE types text and integer cannot be matched"),
        ("SELECT id FROM t WHERE id IN ('a')", "ERROR 22P02@31 invalid input syntax for type integer: \"a\""),
        (
            "SELECT id FROM t FOR UPDATE",
            "ERROR 0A000 FOR UPDATE/SHARE is not supported HINT Conflicts are detected at COMMIT; leave it out.",
        ),
        ("SELECT 1 UNION SELECT 1, 2", "ERROR 42601 each UNION query must have the same number of columns"),
        (
            "SELECT lower(id) FROM t",
            "ERROR 42883@8 function lower(integer) does not exist HINT No function matches the given name and argument types. You might need to add explicit type casts.",
        ),
    ]);
}

#[test]
fn the_right_side_is_evaluated_where_it_counts() {
    check_all(&[
        ("SELECT id FROM t WHERE n <> 0 AND 100 / n > 5", "id integer | 1"),
        ("SELECT id FROM t WHERE 100 / n > 5 AND n <> 0", "ERROR 22012 division by zero"),
        ("SELECT id FROM t WHERE id = 1 AND 100 / n > 5 AND n <> 0", "id integer | 1"),
        ("SELECT id FROM t WHERE CASE WHEN n <> 0 THEN 100 / n > 5 ELSE false END", "id integer | 1"),
        ("SELECT n = 0 OR 100 / n > 5 FROM t ORDER BY id", "?column? boolean | t | t | -"),
        (
            "SELECT id FROM t WHERE s IS NOT NULL AND (n = 0 OR 10 / n = 1) AND length(s) > 0 ORDER BY id",
            "id integer | 1 | 2",
        ),
    ]);
}

#[test]
fn windows_tumble_and_hop() {
    let rows = "id integer, window_start timestamp without time zone, window_end timestamp without time zone | 1 1970-01-01 00:00:00 1970-01-01 00:00:10 | 2 1970-01-01 00:00:10 1970-01-01 00:00:20";
    check_all(&[
        ("SELECT id, window_start, window_end FROM TUMBLE(t, ts, INTERVAL '10' SECOND) ORDER BY id", rows),
        (
            "SELECT id, window_start, window_end FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND)) ORDER BY id",
            rows,
        ),
        (
            "SELECT id, window_start, window_end FROM TABLE(TUMBLE(DATA => TABLE t, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '10 seconds')) AS w ORDER BY id",
            rows,
        ),
        (
            "WITH x AS (SELECT * FROM t WHERE id < 3) SELECT id, window_start, window_end FROM TUMBLE(x, ts, '10 s') ORDER BY id",
            rows,
        ),
        (
            "SELECT window_start, count(*) FROM HOP((SELECT ts FROM t), ts, INTERVAL '5' SECOND, INTERVAL '10' SECOND) GROUP BY window_start ORDER BY 1",
            "window_start timestamp without time zone, count bigint | 1969-12-31 23:59:55 1 | 1970-01-01 00:00:00 1 | 1970-01-01 00:00:05 1 | 1970-01-01 00:00:10 1",
        ),
        (
            "SELECT * FROM HOP(t, ts, INTERVAL '4' SECOND, INTERVAL '10' SECOND)",
            "ERROR 22023 HOP: size must be a multiple of slide HINT Choose a size that is a whole number of slides.",
        ),
        (
            "SELECT * FROM TUMBLE(t, s, INTERVAL '4' SECOND)",
            "ERROR 42804 the time column \"s\" must be timestamp or timestamptz, not text HINT Cast it in a subquery.",
        ),
        ("SELECT * FROM TUMBLE(nope, ts, INTERVAL '4' SECOND)", "ERROR 42P01@22 relation \"nope\" does not exist"),
        ("SELECT * FROM TUMBLE(t, nope, INTERVAL '4' SECOND)", "ERROR 42703@25 column \"nope\" does not exist"),
        (
            "SELECT * FROM TUMBLE(t, ts, INTERVAL '1' MONTH)",
            "ERROR 22023 the interval must not contain months or years HINT Their length varies; use days.",
        ),
    ]);
}

#[test]
fn parameters_take_the_types_of_their_places() {
    let types = |text: &str, oids: &[u32]| {
        with(text, |binder, statement| {
            let parameters = match statement {
                Statement::Query(q) => binder.query(&q.query, oids).unwrap().parameters,
                Statement::Insert(i) => binder.insert(&i, oids).unwrap().parameters,
                Statement::Update(u) => binder.update(&u, oids).unwrap().parameters,
                _ => panic!(),
            };
            parameters.iter().map(sql_name).collect::<Vec<_>>().join(", ")
        })
    };
    assert_eq!(types("SELECT $1 + id, $2 FROM t WHERE s = $3 LIMIT $4", &[]), "integer, text, text, bigint");
    assert_eq!(types("SELECT id FROM t WHERE n = $1 AND ts > $2", &[21]), "smallint, timestamp without time zone");
    assert_eq!(
        types("INSERT INTO t (id, p, v) VALUES ($1, $2, $3)", &[]),
        "integer, numeric(10,2), character varying(3)"
    );
    assert_eq!(types("UPDATE t SET n = $1 WHERE id = $2", &[]), "bigint, integer");
}

#[test]
fn views_refuse_what_changes_by_itself() {
    let view = |text: &str| {
        with(text, |binder, statement| {
            let Statement::Query(Select { query, .. }) = statement else { panic!() };
            match binder.view(&query, &[], Ok) {
                Ok(view) => view.plan.display_indent().to_string(),
                Err(e) => format!("{} {}", e.code().0, e.message()),
            }
        })
    };
    assert_eq!(view("SELECT now() FROM t"), "0A000 now() in a materialized view is not supported");
    assert_eq!(view("SELECT random() FROM t"), "0A000 random() in a materialized view is not supported");
    assert_eq!(view("SELECT 1, 1"), "42701 column \"?column?\" specified more than once");
    let plan = view("SELECT t.id, u.s FROM t, u WHERE t.id = u.id AND t.n > 3");
    assert!(plan.contains("Inner Join: t.id = u.id"), "{plan}");
    let plan =
        view("SELECT window_start, sum(n) FROM TUMBLE(t, ts, INTERVAL '1' HOUR) WHERE id > 1 GROUP BY window_start");
    assert!(plan.contains("WindowAssign: TUMBLE ts") && plan.contains("Aggregate"), "{plan}");
}

#[test]
fn writes_are_bound() {
    let insert = |text: &str| {
        with(text, |binder, statement| {
            let Statement::Insert(insert) = statement else { panic!() };
            match binder.insert(&insert, &[]) {
                Ok(bound) => format!("{}\n{:?}", bound.source.display_indent(), bound.on_conflict),
                Err(e) => format!("{} {}", e.code().0, e.message()),
            }
        })
    };
    let plan = insert(
        "INSERT INTO t (id, v) VALUES (1, 'abc'), (2, DEFAULT) ON CONFLICT (id) DO UPDATE SET n = excluded.n + t.n WHERE s = 'x'",
    );
    assert!(plan.contains("dflt") && plan.contains("excluded"), "{plan}");
    assert_eq!(
        insert("INSERT INTO t (id, v) VALUES (1, 'abcd')"),
        "22001 value too long for type character varying(3)"
    );
    assert_eq!(insert("INSERT INTO t (id) VALUES (1, 2)"), "42601 INSERT has more expressions than target columns");
    assert_eq!(insert("INSERT INTO t (x) VALUES (1)"), "42703 column \"x\" of relation \"t\" does not exist");
    assert_eq!(
        insert("INSERT INTO t (id) SELECT s FROM t"),
        "42804 column \"id\" is of type integer but expression is of type text"
    );
    assert_eq!(
        insert("INSERT INTO t (id) VALUES (1) ON CONFLICT (n) DO NOTHING"),
        "42P10 there is no unique or exclusion constraint matching the ON CONFLICT specification"
    );
    with("UPDATE t AS x SET n = n + 1, s = DEFAULT WHERE x.id = 1 RETURNING *, n * 2 AS twice", |binder, statement| {
        let Statement::Update(update) = statement else { panic!() };
        let bound = binder.update(&update, &[]).unwrap();
        assert!(bound.local.is_some());
        assert_eq!(bound.returning.unwrap().columns.len(), 10);
        assert_eq!(bound.plan.schema().fields().len(), 28);
    });
    with("UPDATE t SET n = u.n FROM u WHERE t.id = u.id RETURNING u.s", |binder, statement| {
        let Statement::Update(update) = statement else { panic!() };
        let bound = binder.update(&update, &[]).unwrap();
        assert!(bound.local.is_none());
        assert_eq!(bound.depends.len(), 1);
    });
    with("DELETE FROM t USING u WHERE t.id = u.id AND t.id IN (SELECT id FROM u)", |binder, statement| {
        let Statement::Delete(delete) = statement else { panic!() };
        assert!(binder.delete(&delete, &[]).unwrap().local.is_none());
    });
}

#[test]
fn times_are_taken_apart_and_written() {
    check_all(&[
        (
            "SELECT extract(epoch FROM ts), extract(second FROM ts), date_part('minute', ts), extract(year FROM day) FROM t WHERE id = 2",
            "extract numeric(38,6), extract numeric(38,6), date_part double precision, extract numeric(38,0) | 12.000000 12.000000 0 1970",
        ),
        (
            "SELECT date_trunc('hour', timestamp '2026-11-21 15:04:05'), date_trunc('week', date '2026-11-21')",
            "date_trunc timestamp without time zone, date_trunc timestamp with time zone | 2026-11-21 15:00:00 2026-11-16 00:00:00+00",
        ),
        (
            "SELECT date_bin(INTERVAL '10 s', ts), date_bin('10 s', ts, '1970-01-01 00:00:03') FROM t WHERE id = 2",
            "date_bin timestamp without time zone, date_bin timestamp without time zone | 1970-01-01 00:00:10 1970-01-01 00:00:03",
        ),
        (
            "SELECT ts AT TIME ZONE 'Europe/Zurich' FROM t WHERE id = 1",
            "timezone timestamp with time zone | 1969-12-31 23:00:03+00",
        ),
        (
            "SELECT to_char(ts, 'HH24:MI:SS'), to_char(p, '990.00'), to_char(id, '999') FROM t WHERE id = 2",
            "to_char text, to_char text, to_char text | 00:00:12    2.50    2",
        ),
        (
            "SELECT to_timestamp(0), to_timestamp('2026-01-02', 'YYYY-MM-DD'), to_date('02.01.2026', 'DD.MM.YYYY')",
            "to_timestamp timestamp with time zone, to_timestamp timestamp with time zone, to_date date | 1970-01-01 00:00:00+00 2026-01-02 00:00:00+00 2026-01-02",
        ),
        (
            "SELECT age(timestamp '2026-03-01', timestamp '2025-01-01'), pg_typeof(id), quote_ident('A b') FROM t WHERE id = 1",
            "age interval, pg_typeof text, quote_ident text | 1 year 2 mons integer \"A b\"",
        ),
        (
            "SELECT date_trunc('fortnight', ts) FROM t WHERE id = 1",
            "ERROR 22023 unit \"fortnight\" not recognized for type timestamp without time zone",
        ),
    ]);
}
