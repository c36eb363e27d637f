//! Real clients over the wire: every type in binary both ways, cancel, clients that vanish or do not read.

use std::error::Error as StdError;
use std::sync::Arc;

use bytes::BytesMut;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use futures::TryStreamExt;
use libtest_mimic::Trial;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type};
use tokio_postgres::{Client, NoTls};

use crate::database::Database;
use crate::protocol::{Wire, check, query, with};
use crate::trial;

/// All of them.
pub fn trials() -> Vec<Trial> {
    vec![
        trial("clients::types_in_binary", with(types_in_binary)),
        trial("clients::uuid_json_and_arrays_in_binary", with(uuid_json_and_arrays_in_binary)),
        trial("clients::records_in_binary", with(records_in_binary)),
        trial("clients::cancel_reaches_everything", with(cancel_reaches_everything)),
        trial("clients::a_long_step_holds_up_nobody", with(a_long_step_holds_up_nobody)),
        trial("clients::a_late_cancel_hits_nobody", with(a_late_cancel_hits_nobody)),
        trial("clients::vanished_clients_are_noticed", with(vanished_clients_are_noticed)),
        trial("clients::a_client_that_does_not_read", with(a_client_that_does_not_read)),
        trial("clients::sessions_keep_their_settings", with(sessions_keep_their_settings)),
        trial("clients::describe_a_cursor", with(describe_a_cursor)),
    ]
}

async fn connect(database: &Database) -> Result<Client, String> {
    let (client, connection) = tokio_postgres::connect(&database.uri(), NoTls).await.map_err(|e| e.to_string())?;
    crate::runtime().spawn(connection);
    Ok(client)
}

/// A value as its bytes, of any type.
#[derive(Debug, PartialEq)]
struct Raw(Vec<u8>);

impl ToSql for Raw {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(raw.to_vec()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Arrays with NULLs, empty ones and ones of two dimensions; documents; uuids.
async fn uuid_json_and_arrays_in_binary(database: Arc<Database>) -> Result<(), String> {
    let client = connect(&database).await?;
    let text = |e: tokio_postgres::Error| format!("{e:?}");
    let table = "CREATE TABLE t (id INT PRIMARY KEY, u UUID, j JSONB, s JSON, i INT[], t TEXT[], v VARCHAR(4)[], f FLOAT8[], \
                 d DATE[], us UUID[], js JSONB[], m INT[][])";
    client.batch_execute(table).await.map_err(text)?;
    let uuid = Raw(b"\xa0\xee\xbc\x99\x9c\x0b\x4e\xf8\xbb\x6d\x6b\xb9\xbd\x38\x0a\x11".to_vec());
    let date = NaiveDate::from_ymd_opt(1999, 12, 31).ok_or("date")?;
    let (ints, texts) = (vec![Some(1), None, Some(3)], vec![Some("a b"), None, Some("")]);
    let (floats, dates) = (Vec::<Option<f64>>::new(), vec![date]);
    let uuids = vec![Some(Raw(uuid.0.clone())), None];
    let documents = vec![Raw(b"\x01{\"b\":1,\"a\":2}".to_vec())];
    // Two dimensions of two and one elements: no NULLs, int4, lengths and lower bounds, then the elements.
    let matrix =
        Raw([2, 0, 23, 2, 1, 1, 1, 4, 7, 4, 8].iter().flat_map(|n: &i32| n.to_be_bytes()).collect::<Vec<u8>>());
    let sent: [&(dyn ToSql + Sync); 12] = [
        &1i32,
        &uuid,
        &Raw(b"\x01{\"a\" :1, \"a\":2.50}".to_vec()),
        &Raw(b"{\"x\" :1}".to_vec()),
        &ints,
        &texts,
        &vec!["v"],
        &floats,
        &dates,
        &uuids,
        &documents,
        &matrix,
    ];
    let insert = "INSERT INTO t VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    check(&client.execute(insert, &sent).await.map_err(text)?.to_string(), "1")?;
    let rows = client.query("SELECT * FROM t", &[]).await.map_err(text)?;
    let row = &rows[0];
    let same = row.get::<_, Raw>(1) == uuid
        && row.get::<_, Raw>(2).0 == b"\x01{\"a\": 2.50}"
        && row.get::<_, Raw>(3).0 == b"{\"x\" :1}"
        && row.get::<_, Vec<Option<i32>>>(4) == ints
        && row.get::<_, Vec<Option<&str>>>(5) == texts
        && row.get::<_, Vec<&str>>(6) == ["v"]
        && row.get::<_, Vec<Option<f64>>>(7) == floats
        && row.get::<_, Vec<NaiveDate>>(8) == dates
        && row.get::<_, Vec<Option<Raw>>>(9) == uuids
        && row.get::<_, Vec<Raw>>(10) == [Raw(b"\x01{\"a\": 2, \"b\": 1}".to_vec())]
        && row.get::<_, Raw>(11) == matrix;
    let names: Vec<&str> = row.columns().iter().map(|c| c.type_().name()).collect();
    check(&names.join(" "), "int4 uuid jsonb json _int4 _text _varchar _float8 _date _uuid _jsonb _int4")?;
    check(&same.to_string(), "true")?;
    small_matrices(&client).await?;
    let found = client
        .query_one("SELECT id FROM t WHERE u = ANY ($1) AND j @> $2 AND i && $3", &[&uuids, &documents_of("{}"), &ints])
        .await
        .map_err(text)?;
    check(&found.get::<_, i32>(0).to_string(), "1")
}

/// Arrays of two dimensions under an oid that does not tell them, and of another element type than the column's.
async fn small_matrices(client: &tokio_postgres::Client) -> Result<(), String> {
    let text = |e: tokio_postgres::Error| format!("{e:?}");
    let head = [2, 0, 21, 2, 1, 2, 1].iter().flat_map(|n: &i32| n.to_be_bytes());
    let elements = [1i16, 2, 3, 4].iter().flat_map(|n| [&2i32.to_be_bytes()[..], &n.to_be_bytes()].concat());
    let matrix = Raw(head.chain(elements).collect());
    let insert = "INSERT INTO t (id, m) VALUES (2, $1) RETURNING m::text";
    let insert = client.prepare_typed(insert, &[Type::INT2_ARRAY]).await.map_err(text)?;
    let row = client.query_one(&insert, &[&matrix]).await.map_err(text)?;
    check(row.get(0), "{{1,2},{3,4}}")?;
    let cast = client.prepare_typed("SELECT ($1::int2[][])[2][1]", &[Type::INT2_ARRAY]).await.map_err(text)?;
    check(&client.query_one(&cast, &[&matrix]).await.map_err(text)?.get::<_, i16>(0).to_string(), "3")?;
    let bare = client.prepare_typed("SELECT $1", &[Type::INT2_ARRAY]).await.map_err(text)?;
    let refused = client.query(&bare, &[&matrix]).await.err().ok_or("an array of two dimensions as smallint[]")?;
    let refused = refused.as_db_error().ok_or("no error of the server")?;
    check(refused.code().code(), "0A000")?;
    check(refused.message(), "an array of 2 dimensions as a value of smallint[] is not supported")?;
    check(refused.hint().unwrap_or_default(), "Declare the column smallint[][], or cast the value to that.")
}

/// Records, in one another and in arrays: how many fields, then of each its oid, length and bytes.
async fn records_in_binary(database: Arc<Database>) -> Result<(), String> {
    let client = connect(&database).await?;
    let text = |e: tokio_postgres::Error| format!("{e:?}");
    let table = "CREATE TABLE t (s STRUCT<a INT, r STRUCT<b BIGINT>>, l STRUCT<c TEXT>[])";
    client.batch_execute(table).await.map_err(text)?;
    let bytes = |words: &[i32]| Raw(words.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<u8>>());
    let record = bytes(&[2, 23, 4, 7, 2249, 16, 1, 20, -1, 0]);
    let record = Raw(record.0[..record.0.len() - 4].to_vec());
    let inner = bytes(&[2, 23, 4, 7, 2249, 12, 1, 20, -1]);
    check(&client.execute("INSERT INTO t (s) VALUES ($1)", &[&inner]).await.map_err(text)?.to_string(), "1")?;
    // What says it is longer than it is, is refused; an int4 for a bigint is not.
    check(&client.execute("INSERT INTO t (s) VALUES ($1)", &[&record]).await.is_err().to_string(), "true")?;
    let narrow = bytes(&[2, 23, -1, 2249, 16, 1, 23, 4, 9]);
    let list = bytes(&[1, 1, 2249, 2, 1, 12, 1, 25, -1, -1]);
    client.execute("INSERT INTO t VALUES ($1, $2)", &[&narrow, &list]).await.map_err(text)?;
    let rows = client.query("SELECT s, l, (s).a, ((s).r).b FROM t ORDER BY (s).a", &[]).await.map_err(text)?;
    let wide = bytes(&[2, 23, -1, 2249, 20, 1, 20, 8, 0, 9]);
    let names: Vec<&str> = rows[0].columns().iter().map(|c| c.type_().name()).collect();
    check(&names.join(" "), "record _record int4 int8")?;
    let same = rows[0].get::<_, Raw>(0) == inner
        && rows[0].get::<_, Option<Raw>>(1).is_none()
        && rows[0].get::<_, Option<i32>>(2) == Some(7)
        && rows[1].get::<_, Raw>(0) == wide
        && rows[1].get::<_, Raw>(1) == list
        && rows[1].get::<_, Option<i64>>(3) == Some(9);
    check(&same.to_string(), "true")
}

fn documents_of(text: &str) -> Raw {
    Raw([b"\x01", text.as_bytes()].concat())
}

async fn types_in_binary(database: Arc<Database>) -> Result<(), String> {
    let client = connect(&database).await?;
    let text = |e: tokio_postgres::Error| format!("{e:?}");
    client
        .batch_execute(
            "CREATE TABLE t (id INT PRIMARY KEY, b BOOLEAN, i2 SMALLINT, i8 BIGINT, f4 REAL, f8 DOUBLE PRECISION, n NUMERIC(12, 4), \
             s TEXT, v VARCHAR(9), y BYTEA, d DATE, m TIME, ts TIMESTAMP, tz TIMESTAMPTZ, iv INTERVAL)",
        )
        .await
        .map_err(text)?;
    let date = NaiveDate::from_ymd_opt(1999, 12, 31).ok_or("date")?;
    let time = NaiveTime::from_hms_micro_opt(23, 59, 59, 999_999).ok_or("time")?;
    let stamp = NaiveDateTime::new(date, time);
    // -12345.6 as PostgreSQL lays a numeric out: digits of base 10000, weight, sign, scale.
    let numeric = Raw(b"\0\x03\0\x01\x40\0\0\x04\0\x01\x09\x29\x17\x70".to_vec());
    let interval = Raw(b"\0\0\0\0\0\x0f\x42\x40\0\0\0\x02\0\0\0\x01".to_vec());
    let sent: [&(dyn ToSql + Sync); 15] = [
        &1i32,
        &true,
        &-5i16,
        &i64::MIN,
        &1.5f32,
        &f64::NEG_INFINITY,
        &numeric,
        &"é\t\"",
        &"varchar",
        &b"\0\xff".as_slice(),
        &date,
        &time,
        &stamp,
        &stamp.and_utc(),
        &interval,
    ];
    let insert = "INSERT INTO t VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
    check(&client.execute(insert, &sent).await.map_err(text)?.to_string(), "1")?;
    client.execute("INSERT INTO t (id) VALUES ($1)", &[&2i32]).await.map_err(text)?;
    let rows = client.query("SELECT * FROM t ORDER BY id", &[]).await.map_err(text)?;
    let row = &rows[0];
    let same = row.get::<_, bool>(1)
        && row.get::<_, i16>(2) == -5
        && row.get::<_, i64>(3) == i64::MIN
        && row.get::<_, f32>(4) == 1.5
        && row.get::<_, f64>(5) == f64::NEG_INFINITY
        && row.get::<_, Raw>(6) == numeric
        && row.get::<_, &str>(7) == "é\t\""
        && row.get::<_, &str>(8) == "varchar"
        && row.get::<_, &[u8]>(9) == b"\0\xff"
        && row.get::<_, NaiveDate>(10) == date
        && row.get::<_, NaiveTime>(11) == time
        && row.get::<_, NaiveDateTime>(12) == stamp
        && row.get::<_, DateTime<Utc>>(13) == stamp.and_utc()
        && row.get::<_, Raw>(14) == interval;
    let nulls = (1..15).all(|i| rows[1].get::<_, Option<Raw>>(i).is_none());
    let names: Vec<&str> = row.columns().iter().map(|c| c.type_().name()).collect();
    check(
        &names.join(" "),
        "int4 bool int2 int8 float4 float8 numeric text varchar bytea date time timestamp timestamptz interval",
    )?;
    if !same || !nulls {
        return Err(format!("not what was sent: {row:?}"));
    }
    // Arrays, and parameters whose type only the statement tells.
    let row =
        client.query_one("SELECT $1::int[], $2::text[]", &[&vec![Some(1i32), None], &vec!["a"]]).await.map_err(text)?;
    if row.get::<_, Vec<Option<i32>>>(0) != [Some(1), None] || row.get::<_, Vec<String>>(1) != ["a"] {
        return Err(format!("not the arrays that were sent: {row:?}"));
    }
    let row =
        client.query_one("SELECT id FROM t WHERE s = $1 AND i8 < $2 AND b LIMIT $3", &[&"é\t\"", &0i64, &5i64]).await;
    check(&row.map_err(text)?.get::<_, i32>(0).to_string(), "1")
}

/// Asks until a statement that begins like this runs on another connection, or does not any more.
async fn until_running(client: &Client, start: &str, runs: bool) -> Result<(), String> {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND query LIKE '{start}%'"
    );
    for _ in 0..20_000 {
        let count: i64 = client.query_one(&sql, &[]).await.map_err(|e| format!("{e:?}"))?.get(0);
        if (count > 0) == runs {
            return Ok(());
        }
    }
    Err(format!("{start} {}", if runs { "never ran" } else { "never ended" }))
}

fn code(error: Option<tokio_postgres::Error>) -> String {
    error.and_then(|e| e.code().map(|c| c.code().to_owned())).unwrap_or_default()
}

async fn cancel_reaches_everything(database: Arc<Database>) -> Result<(), String> {
    let (watcher, client) = (connect(&database).await?, connect(&database).await?);
    client.batch_execute("CREATE TABLE t (a INT)").await.map_err(|e| e.to_string())?;
    for sql in [
        "SUBSCRIBE t",
        "SELECT count(*) FROM generate_series(1, 1000000000000)",
        "SELECT * FROM generate_series(1, 1000000000000)",
        "SELECT pg_sleep (1000)",
    ] {
        let token = client.cancel_token();
        let (failed, cancelled) = tokio::join!(client.batch_execute(sql), async {
            until_running(&watcher, sql, true).await?;
            token.cancel_query(NoTls).await.map_err(|e| e.to_string())
        });
        cancelled?;
        check(&format!("{sql}: {}", code(failed.err())), &format!("{sql}: 57014"))?;
        client.batch_execute("SELECT 1").await.map_err(|e| e.to_string())?;
    }
    let sql = "COPY (SUBSCRIBE t) TO STDOUT";
    let token = client.cancel_token();
    let rows = client.copy_out(sql).await.map_err(|e| e.to_string())?;
    token.cancel_query(NoTls).await.map_err(|e| e.to_string())?;
    let ended = rows.try_collect::<Vec<_>>().await;
    check(&format!("{sql}: {}", code(ended.err())), &format!("{sql}: 57014"))?;
    let rows = client.copy_in::<_, bytes::Bytes>("COPY t FROM STDIN").await.map_err(|e| e.to_string())?;
    token.cancel_query(NoTls).await.map_err(|e| e.to_string())?;
    // The request may still be on its way.
    until_running(&watcher, "COPY t", false).await?;
    let ended = std::pin::pin!(rows).finish().await;
    check(&code(ended.err()), "57014")?;
    // A FETCH that waits ends well, and its cursor stays.
    client.batch_execute("BEGIN; DECLARE c CURSOR FOR SUBSCRIBE t").await.map_err(|e| e.to_string())?;
    let token = client.cancel_token();
    let (fetched, cancelled) = tokio::join!(client.simple_query("FETCH 5 FROM c"), async {
        until_running(&watcher, "FETCH", true).await?;
        token.cancel_query(NoTls).await.map_err(|e| e.to_string())
    });
    cancelled?;
    fetched.map_err(|e| e.to_string())?;
    watcher.batch_execute("INSERT INTO t VALUES (1)").await.map_err(|e| e.to_string())?;
    let rows = client.query("FETCH 1 FROM c", &[]).await.map_err(|e| e.to_string())?;
    check(&rows.len().to_string(), "1")
}

/// An expression over one batch can't be interrupted: nobody waits for it, not even who has asked for it.
async fn a_long_step_holds_up_nobody(database: Arc<Database>) -> Result<(), String> {
    let text = |e: tokio_postgres::Error| format!("{e:?}");
    let (watcher, client) = (connect(&database).await?, connect(&database).await?);
    watcher.batch_execute("CREATE TABLE t (a INT PRIMARY KEY, b TEXT)").await.map_err(text)?;
    watcher.batch_execute("INSERT INTO t VALUES (1, repeat('ab', 1000000))").await.map_err(text)?;
    for sql in [
        "SELECT length(regexp_replace(repeat('ab', 1000000), '(a|b)', 'xy', 'g'))",
        "UPDATE t SET b = regexp_replace(b, '(a|b)', 'xy', 'g')",
        "EXPLAIN ANALYZE SELECT regexp_replace(b, '(a|b)', 'xy', 'g') FROM t",
    ] {
        let token = client.cancel_token();
        let (failed, done) = tokio::join!(client.batch_execute(sql), async {
            until_running(&watcher, sql.split('\'').next().unwrap_or(sql), true).await?;
            watcher.batch_execute("INSERT INTO t VALUES (2, 'x'); DELETE FROM t WHERE a = 2").await.map_err(text)?;
            token.cancel_query(NoTls).await.map_err(text)
        });
        done?;
        check(&format!("{sql}: {}", code(failed.err())), &format!("{sql}: 57014"))?;
        client.batch_execute("SELECT 1").await.map_err(text)?;
    }
    let rows = client.query("SELECT a, length(b) FROM t", &[]).await.map_err(text)?;
    let rows: Vec<(i32, i32)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    check(&format!("{rows:?}"), "[(1, 2000000)]")
}

async fn a_late_cancel_hits_nobody(database: Arc<Database>) -> Result<(), String> {
    let client = connect(&database).await?;
    let text = |e: tokio_postgres::Error| format!("{e:?}");
    client.batch_execute("BEGIN").await.map_err(text)?;
    let statement = client.prepare("SELECT * FROM generate_series(1, 5)").await.map_err(text)?;
    let mut stream = TcpStream::connect(database.address()).await.map_err(|e| e.to_string())?;
    client.cancel_token().cancel_query_raw(&mut stream, NoTls).await.map_err(text)?;
    // The cancel request's connection ends when the request was handled.
    stream.read_to_end(&mut vec![]).await.map_err(|e| e.to_string())?;
    let rows = client.query(&statement, &[]).await.map_err(text)?;
    check(&rows.len().to_string(), "5")
}

async fn vanished_clients_are_noticed(database: Arc<Database>) -> Result<(), String> {
    let watcher = connect(&database).await?;
    watcher.batch_execute("CREATE TABLE t (a INT)").await.map_err(|e| e.to_string())?;
    for sql in ["COPY (SUBSCRIBE t) TO STDOUT", "SELECT pg_sleep (1000)", "COPY t FROM STDIN"] {
        let mut wire = Wire::open(&database).await?;
        wire.send(&query(sql)).await?;
        until_running(&watcher, sql, true).await?;
        drop(wire);
        until_running(&watcher, sql, false).await?;
    }
    Ok(())
}

async fn a_client_that_does_not_read(database: Arc<Database>) -> Result<(), String> {
    let watcher = connect(&database).await?;
    let sql = "SELECT * FROM generate_series(1, 1000000000000)";
    let mut wire = Wire::open(&database).await?;
    wire.send(&query(sql)).await?;
    until_running(&watcher, sql, true).await?;
    // Others go on; the one that does not read waits, and ends when it closes.
    watcher
        .batch_execute("CREATE TABLE t (a INT); INSERT INTO t VALUES (1); FLUSH")
        .await
        .map_err(|e| e.to_string())?;
    until_running(&watcher, sql, true).await?;
    drop(wire);
    until_running(&watcher, sql, false).await
}

async fn sessions_keep_their_settings(database: Arc<Database>) -> Result<(), String> {
    let (one, two) = (connect(&database).await?, connect(&database).await?);
    let show = |rows: Vec<tokio_postgres::SimpleQueryMessage>| {
        rows.into_iter().find_map(|m| match m {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
    };
    one.batch_execute("SET TimeZone = 'Asia/Tokyo'").await.map_err(|e| e.to_string())?;
    let sql = "SELECT '2026-01-01 00:00:00Z'::timestamptz";
    let there = show(one.simple_query(sql).await.map_err(|e| e.to_string())?).unwrap_or_default();
    let here = show(two.simple_query(sql).await.map_err(|e| e.to_string())?).unwrap_or_default();
    check(&format!("{there}, {here}"), "2026-01-01 09:00:00+09, 2026-01-01 00:00:00+00")
}

async fn describe_a_cursor(database: Arc<Database>) -> Result<(), String> {
    let mut wire = Wire::open(&database).await?;
    wire.ask(&[query("BEGIN; DECLARE \"My c\" CURSOR FOR SELECT * FROM generate_series(1, 5)")]).await?;
    let describe = crate::protocol::message(b'D', b"PMy c\0");
    let fetch = crate::protocol::message(b'E', b"My c\0\0\0\0\x02");
    let sync = crate::protocol::message(b'S', b"");
    check(&wire.ask(&[describe, fetch, sync]).await?, "T D[1] D[2] C[FETCH 2] Z[T]")
}
