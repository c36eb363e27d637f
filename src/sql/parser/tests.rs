//! What parses, and what does not.

use super::parse;
use crate::sql::Statement;

fn one(text: &str) -> Statement {
    let mut all = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    assert_eq!(all.len(), 1, "{text}");
    all.remove(0).statement
}

/// `CODE@position message`.
fn fails(text: &str) -> String {
    let e = parse(text).expect_err(text);
    let position = e.parts().position.map(|p| format!("@{p}")).unwrap_or_default();
    format!("{}{position} {}", e.code().0, e.message())
}

#[test]
fn statements_are_split_with_their_texts() {
    let all = parse("  SELECT 1 ; -- nothing\n ;SELECT ';' AS x; ").unwrap();
    let texts: Vec<_> = all.iter().map(|p| (p.text.as_str(), p.offset)).collect();
    assert_eq!(texts, [("SELECT 1", 2), ("SELECT ';' AS x", 26)]);
    assert!(parse(" ; -- x").unwrap().is_empty());
}

#[test]
fn syntax_errors_are_postgres() {
    assert_eq!(fails("SELEC 1"), "42601@1 syntax error at or near \"SELEC\"");
    assert_eq!(fails("SELECT 1; SELECT * FRM t"), "42601@20 syntax error at or near \"FRM\"");
    assert_eq!(fails("SELECT (1"), "42601@10 syntax error at end of input");
    assert_eq!(fails("SELECT 'abc"), "42601@8 unterminated quoted string at or near \"'abc\"");
    assert_eq!(fails("CREATE TABLE t (a int,, b int)"), "42601@23 syntax error at or near \",\"");
    assert_eq!(fails("DROP TABLE"), "42601@11 syntax error at end of input");
    assert_eq!(fails("SELECT * FROM WHERE"), "42601@15 syntax error at or near \"WHERE\"");
    assert_eq!(fails("FLUSH now"), "42601@7 syntax error at or near \"now\"");
}

#[test]
fn tables_have_watermarks_keys_and_connectors() {
    let text = "CREATE TABLE IF NOT EXISTS t (id int PRIMARY KEY, ts timestamp NOT NULL, n numeric(10,2) DEFAULT 1.5, \
        v varchar(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) APPEND ONLY \
        WITH (connector = 'file', path = '/x/*.csv') FORMAT PLAIN ENCODE CSV (header = true)";
    let Statement::CreateTable(t) = one(text) else { panic!() };
    assert_eq!(t.primary_key, ["id"]);
    assert!(!t.columns[0].field.is_nullable() && t.columns[2].field.is_nullable());
    assert_eq!(t.columns[2].default.as_ref().unwrap().text, "1.5");
    assert_eq!(t.watermark.unwrap().expression.text, "ts - INTERVAL '5' SECOND");
    let c = t.connector.unwrap();
    assert_eq!((c.connector.as_str(), c.encode.as_deref()), ("file", Some("CSV")));
    assert_eq!(c.encode_options, [("header".to_owned(), "true".to_owned())]);
    assert!(t.append_only);
}

#[test]
fn views_emit() {
    let text = "CREATE MATERIALIZED VIEW v AS SELECT window_start, count(*) FROM TUMBLE(t, ts, INTERVAL '10' SECOND) \
        GROUP BY window_start EMIT ON WINDOW CLOSE ALLOW LATENESS INTERVAL '1' HOUR LATE ROWS INTO late";
    let Statement::CreateMaterializedView(v) = one(text) else { panic!() };
    assert_eq!(v.lateness, Some(3_600_000_000));
    assert_eq!(v.late_into.unwrap().name, "late");
    assert!(v.query.text.ends_with("GROUP BY window_start"));
    assert_eq!(v.definition, text);
    one("CREATE MATERIALIZED VIEW v AS SELECT * FROM t EMIT ON UPDATE");
    one("CREATE MATERIALIZED VIEW v AS SELECT a emit FROM t allow ALLOW LATENESS '1 min'");
    one("EXPLAIN CREATE MATERIALIZED VIEW v AS SELECT * FROM TABLE(HOP(DATA => TABLE t, TIMECOL => DESCRIPTOR(ts), \
        SLIDE => INTERVAL '1' MINUTE, SIZE => INTERVAL '5' MINUTES)) AS h");
}

#[test]
fn subscriptions_stand_in_copy_cursor_and_select() {
    let Statement::Subscribe(s) = one("SUBSCRIBE TO v WITH (SNAPSHOT false, PROGRESS) AS OF 12 UP TO 15") else {
        panic!()
    };
    assert_eq!((s.snapshot, s.progress, s.as_of, s.up_to), (false, true, Some(12), Some(15)));
    one("COPY (SUBSCRIBE v AS OF 3) TO STDOUT WITH (FORMAT csv, HEADER)");
    one("DECLARE c NO SCROLL CURSOR WITH HOLD FOR SUBSCRIBE (SELECT * FROM v WHERE a > 1) WITH (PROGRESS = true)");
    assert!(matches!(one("SELECT a FROM t EMIT CHANGES"), Statement::Subscribe(_)));
    one("FETCH FORWARD 3 FROM c WITH (timeout = '1s')");
    one("MOVE ALL IN c");
}

#[test]
fn dml_and_sessions() {
    one(
        "INSERT INTO t AS x (a, b) VALUES (1, DEFAULT) ON CONFLICT (a) DO UPDATE SET b = excluded.b WHERE x.a > 0 RETURNING *",
    );
    one("UPDATE t SET (a, b) = (1, 2), c = DEFAULT FROM u WHERE t.id = u.id RETURNING t.a");
    one("DELETE FROM t USING u WHERE t.id = u.id");
    one("COPY t (a, b) FROM STDIN CSV HEADER DELIMITER ';' NULL ''");
    one("START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY");
    one("SET LOCAL search_path TO a, \"B\"");
    one("SET TIME ZONE 'Europe/Paris'");
    one("SHOW TIME ZONE");
    one("PREPARE p (int, text) AS SELECT $1, $2");
    one("EXECUTE p (1, 'x')");
    one("EXPLAIN (VERBOSE, COSTS off) SELECT 1");
    one("COMMENT ON COLUMN public.t.a IS 'x'");
    one("ALTER MATERIALIZED VIEW v RENAME TO w");
}

#[test]
fn later_things_are_refused_by_name() {
    assert_eq!(fails("CREATE SINK s AS SELECT 1"), "0A000 CREATE SINK .. AS is not supported");
    assert_eq!(fails("CREATE UNIQUE INDEX i ON t (a)"), "0A000 CREATE INDEX is not supported");
    let create = "EXPLAIN ANALYZE CREATE MATERIALIZED VIEW v AS SELECT 1";
    assert_eq!(fails(create), "0A000 EXPLAIN ANALYZE of CREATE MATERIALIZED VIEW is not supported");
    assert_eq!(fails("CREATE TEMP TABLE t (a int)"), "0A000 CREATE TEMPORARY is not supported");
    assert_eq!(fails("CREATE TABLE t (a serial)"), "0A000@19 type serial is not supported");
    assert_eq!(fails("CREATE TABLE t (a nope)"), "42704@19 type \"nope\" does not exist");
}
