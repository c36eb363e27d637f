//! Sources beyond what an .slt file can do: many clients, clients that vanish, senders that are slowed, HTTP's limits.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use highwater::config::EngineConfig;
use libtest_mimic::Trial;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::connection::Connection;
use crate::database::{Database, Mode};
use crate::net;

/// All of them.
pub fn trials() -> Vec<Trial> {
    vec![
        crate::trial("sources::many_clients_at_once", many_clients_at_once()),
        crate::trial("sources::a_connection_is_made_again", a_connection_is_made_again()),
        crate::trial("sources::a_fast_sender_is_slowed", a_fast_sender_is_slowed()),
        crate::trial("sources::followed_files_in_every_mode", followed_files_in_every_mode()),
        crate::trial("sources::what_is_read_anew_is_counted_anew", what_is_read_anew_is_counted_anew()),
        crate::trial("sources::http_limits", http_limits()),
        crate::trial("sources::http_requests_at_once_are_transactions", http_requests_at_once_are_transactions()),
    ]
}

type Result<T, E = String> = std::result::Result<T, E>;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

async fn open(database: &Arc<Database>) -> Result<Connection> {
    Connection::open(&database.uri(), Some(database.clone())).await.map_err(text)
}

/// The first value of a query.
async fn value(connection: &Connection, sql: &str) -> Result<String> {
    let rows = connection.query(sql).await.map_err(text)?.rows;
    rows.into_iter().next().and_then(|row| row.into_iter().next()).ok_or_else(|| format!("no row: {sql}"))
}

const ADDRESS: &str = "SELECT address FROM highwater.sources";

/// Fifty clients, each with a hundred lines, one of them cut: all is there, or counted.
async fn many_clients_at_once() -> Result<()> {
    let database = Database::start(Mode::Four).await?;
    let connection = open(&database).await?;
    let source = "CREATE SOURCE s (who INT, n INT) WITH (connector = 'socket', listen = '127.0.0.1:0') \
                  FORMAT PLAIN ENCODE CSV";
    connection.query(source).await.map_err(text)?;
    let view = "CREATE MATERIALIZED VIEW v AS SELECT who, count(*) AS n, sum(n) AS s FROM s GROUP BY who";
    connection.query(view).await.map_err(text)?;
    let address = value(&connection, ADDRESS).await?;
    let clients = (0..50).map(|who| {
        let address = address.clone();
        let lines: String = (0..100).map(|n| format!("{who},{n}\n")).collect();
        async move { net::send(&address, format!("{lines}{who}").as_bytes()).await }
    });
    futures::future::try_join_all(clients).await.map_err(text)?;
    connection.query("FLUSH").await.map_err(text)?;
    database.flushed().await?;
    let all = value(&connection, "SELECT count(*) FROM v WHERE n = 100 AND s = 4950").await?;
    let bad = value(&connection, "SELECT bad_records FROM highwater.sources").await?;
    let kept = "SELECT count(*) FROM highwater.errors WHERE message LIKE '%:101: the connection ended within a line'";
    let kept = value(&connection, kept).await?;
    if (all.as_str(), bad.as_str(), kept.as_str()) != ("50", "50", "50") {
        return Err(format!("{all} clients are whole, {bad} bad records, {kept} kept"));
    }
    database.stop().await;
    Ok(())
}

/// `connect`: the server that is read from ends each connection; the next one is read, too.
async fn a_connection_is_made_again() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
    let address = listener.local_addr().map_err(text)?;
    let database = Database::start(Mode::One).await?;
    let connection = open(&database).await?;
    let source =
        format!("CREATE SOURCE s (n INT) WITH (connector = 'socket', connect = '{address}') FORMAT PLAIN ENCODE JSON");
    connection.query(&source).await.map_err(text)?;
    connection.query("CREATE MATERIALIZED VIEW v AS SELECT sum(n) AS n FROM s").await.map_err(text)?;
    for n in [1, 2, 4] {
        let (mut stream, _) = listener.accept().await.map_err(text)?;
        stream.write_all(format!("{{\"n\": {n}}}\n").as_bytes()).await.map_err(text)?;
        stream.shutdown().await.map_err(text)?;
        stream.read_to_end(&mut Vec::new()).await.map_err(text)?;
    }
    connection.query("FLUSH").await.map_err(text)?;
    database.flushed().await?;
    let sum = value(&connection, "SELECT n FROM v").await?;
    let shown = value(&connection, ADDRESS).await?;
    database.stop().await;
    if (sum.as_str(), shown) == ("7", address.to_string()) { Ok(()) } else { Err(sum.to_string()) }
}

/// A sender that is faster than the views: what waits inside is bounded by the queues' limits, whatever it sends, and in
/// the end every row is there.
async fn a_fast_sender_is_slowed() -> Result<()> {
    const LINES: usize = 200_000;
    let config = EngineConfig { workers: 1, source_rows: 512, ..EngineConfig::default() };
    let database = Database::with(Mode::One, config).await?;
    let connection = open(&database).await?;
    let source = "CREATE SOURCE s WITH (connector = 'socket', listen = '127.0.0.1:0') FORMAT PLAIN ENCODE TEXT";
    connection.query(source).await.map_err(text)?;
    connection
        .query("CREATE MATERIALIZED VIEW v AS SELECT line, count(*) AS n FROM s GROUP BY line")
        .await
        .map_err(text)?;
    let address = value(&connection, ADDRESS).await?;
    let sending = tokio::spawn(async move {
        let lines: String = (0..LINES).map(|n| format!("{}\n", n % 1000)).collect();
        net::send(&address, lines.as_bytes()).await
    });
    let (mut most, mut came) = (0, 0);
    while came < LINES {
        let sql = "SELECT queued_rows, rows FROM highwater.sources";
        let rows = connection.query(sql).await.map_err(text)?.rows;
        let number = |at: usize| rows[0][at].parse::<usize>().map_err(text);
        most = most.max(number(0)?);
        came = number(1)?;
    }
    sending.await.map_err(text)?.map_err(text)?;
    connection.query("FLUSH").await.map_err(text)?;
    let sum = value(&connection, "SELECT sum(n) FROM v").await?;
    // `Limits::ingest_rows`, and a piece that comes to an empty queue.
    if most > 65_536 + 8192 || sum != LINES.to_string() {
        return Err(format!("{most} rows waited at once; {sum} of {LINES} came"));
    }
    database.stop().await;
    Ok(())
}

/// Files that grow and files that are new: views follow, a later view sees the same, and the log replays it.
async fn followed_files_in_every_mode() -> Result<()> {
    for mode in Mode::ALL {
        followed_files(mode).await.map_err(|error| format!("mode {}: {error}", mode.name()))?;
    }
    Ok(())
}

fn append(path: &Path, text: &str) -> Result<()> {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).map_err(self::text)?;
    file.write_all(text.as_bytes()).map_err(self::text)
}

async fn followed_files(mode: Mode) -> Result<()> {
    let folder = tempfile::tempdir().map_err(text)?;
    let (a, b) = (folder.path().join("a.csv"), folder.path().join("b.csv"));
    append(&a, "n,at\n1,2026-01-01 00:00:01\n2,2026-01-01 00:00:0")?;
    let one_row_batches = mode == Mode::OneRow;
    let config = EngineConfig { workers: 2, one_row_batches, keep_log: true, ..EngineConfig::default() };
    let database = Database::with(mode, config).await?;
    let connection = open(&database).await?;
    let flush = async || {
        connection.query("FLUSH").await.map_err(text)?;
        database.flushed().await
    };
    let source = format!(
        "CREATE SOURCE s (n INT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND) \
         WITH (connector = 'file', path = '{}/*.csv', follow = 'true') FORMAT PLAIN ENCODE CSV",
        folder.path().display()
    );
    connection.query(&source).await.map_err(text)?;
    let view = |name: &str| {
        format!(
            "CREATE MATERIALIZED VIEW {name} AS SELECT window_start, sum(n) AS n \
             FROM TUMBLE(s, at, INTERVAL '10' SECOND) GROUP BY window_start EMIT ON WINDOW CLOSE"
        )
    };
    connection.query(&view("v")).await.map_err(text)?;
    flush().await?;
    append(&a, "2\n4,soon\n")?;
    append(&b, "at,n\n2026-01-01 00:00:15,8\n")?;
    flush().await?;
    append(&a, "16,2026-01-01 00:00:03\n")?;
    append(&b, "2026-01-01 00:00:25,32\n")?;
    flush().await?;
    connection.query(&view("later")).await.map_err(text)?;
    append(&b, "2026-01-01 00:00:35,64\n")?;
    flush().await?;
    for name in ["v", "later"] {
        let rows = connection.query(&format!("SELECT n FROM {name} ORDER BY window_start")).await.map_err(text)?.rows;
        // 16 came when the first window was final.
        if rows != [["3"], ["8"], ["32"]] {
            return Err(format!("{name}: {rows:?}"));
        }
    }
    let status = "SELECT status || ' ' || rows || ' ' || bad_records FROM highwater.sources";
    let status = value(&connection, status).await?;
    let batch = value(&connection, "SELECT sum(n) FROM s").await?;
    if (status.as_str(), batch.as_str()) != ("running 6 1", "123") {
        return Err(format!("{status}, {batch}"));
    }
    database.finish().await?;
    database.stop().await;
    Ok(())
}

/// The last view goes, and the next one reads the file from its beginning: its bad record is one.
async fn what_is_read_anew_is_counted_anew() -> Result<()> {
    let folder = tempfile::tempdir().map_err(text)?;
    let file = folder.path().join("a.csv");
    append(&file, "n\n1\nx\n2\n")?;
    let database = Database::with(Mode::Four, EngineConfig::default()).await?;
    let connection = open(&database).await?;
    let source = "CREATE SOURCE s (n INT) WITH (connector = 'file', path = '{}') FORMAT PLAIN ENCODE CSV";
    connection.query(&source.replace("{}", &file.display().to_string())).await.map_err(text)?;
    for _ in 0..2 {
        for statement in ["CREATE MATERIALIZED VIEW v AS SELECT n FROM s", "FLUSH", "TABLE v"] {
            connection.take_notices();
            connection.query(statement).await.map_err(text)?;
        }
        let told: Vec<_> = connection.take_notices().iter().map(|notice| notice.message().to_owned()).collect();
        if told != ["materialized view \"v\" leaves out 1 record of source \"s\" that could not be read"] {
            return Err(format!("{told:?}"));
        }
        connection.query("DROP MATERIALIZED VIEW v").await.map_err(text)?;
    }
    database.stop().await;
    Ok(())
}

/// Too large, packed, of another method, too many at once, and a request that vanishes: nothing of it is written.
async fn http_limits() -> Result<()> {
    let database = Database::start(Mode::One).await?;
    let connection = open(&database).await?;
    connection.query("CREATE TABLE t (n INT)").await.map_err(text)?;
    let send = async |method: &str, headers: &str, body: &str| {
        let answer = net::request(database.http, method, "/ingest/t", headers, body).await.map_err(text)?;
        Ok::<_, String>(format!("{} {}", answer.status, answer.body.trim()))
    };
    let csv = "Content-Type: text/csv\r\n";
    let checks = [
        (send("POST", &format!("{csv}Content-Length: 2000000000\r\n"), "n\n").await?, "413 {\"code\":\"54000\""),
        (
            send("POST", &format!("{csv}Content-Encoding: gzip\r\nContent-Length: 0\r\n"), "").await?,
            "415 {\"code\":\"0A000\"",
        ),
        (send("GET", "", "").await?, "405"),
        (send("POST", &format!("{csv}Content-Length: 0\r\n"), "").await?, "400 {\"code\":\"22P04\""),
    ];
    for (answer, expected) in &checks {
        if !answer.starts_with(expected) {
            return Err(format!("{answer}, not {expected}"));
        }
    }
    // As many as may be under way at once, each with a row sent and its end not.
    let head = format!("POST /ingest/t HTTP/1.1\r\nHost: x\r\n{csv}Content-Length: 100\r\n\r\nn\n1\n");
    let mut waiting = Vec::new();
    let body = "n\n1\n";
    let refused = loop {
        // One more each time: it may have come just when ours had the last room.
        let mut stream = TcpStream::connect(database.http).await.map_err(text)?;
        stream.write_all(head.as_bytes()).await.map_err(text)?;
        waiting.push(stream);
        let answer = net::post(database.http, "/ingest/t", "text/csv", body).await.map_err(text)?;
        if answer.status != 200 {
            break answer;
        }
    };
    if waiting.len() < highwater::config::INGEST_REQUESTS {
        return Err(format!("refused with {} under way", waiting.len()));
    }
    if refused.status != 429 || !refused.head.to_ascii_lowercase().contains("retry-after: 1") {
        return Err(format!("{} {}", refused.head, refused.body));
    }
    // The others vanish: their room is free again, and their rows are nowhere.
    drop(waiting);
    connection.query("TRUNCATE t").await.map_err(text)?;
    while net::post(database.http, "/ingest/t", "text/csv", body).await.map_err(text)?.status != 200 {}
    let rows = value(&connection, "SELECT count(*) FROM t").await?;
    database.stop().await;
    if rows == "1" { Ok(()) } else { Err(format!("{rows} rows")) }
}

/// Requests at once: each is there whole, in one epoch, or not at all.
async fn http_requests_at_once_are_transactions() -> Result<()> {
    let database = Database::start(Mode::Four).await?;
    let connection = open(&database).await?;
    connection.query("CREATE TABLE t (id INT PRIMARY KEY, request INT)").await.map_err(text)?;
    connection
        .query("CREATE MATERIALIZED VIEW v AS SELECT request, count(*) AS n FROM t GROUP BY request")
        .await
        .map_err(text)?;
    // All bring the key 0: one of them wins.
    let requests = (0..20).map(|request| {
        let lines: String = (0..50)
            .map(|n| {
                format!("{{\"id\": {}, \"request\": {request}}}\n", if n == 49 { 0 } else { request * 50 + n + 1 })
            })
            .collect();
        let http = database.http;
        async move { net::post(http, "/ingest/t", "application/x-ndjson", &lines).await.map(|answer| answer.status) }
    });
    let statuses = futures::future::try_join_all(requests).await.map_err(text)?;
    let won = statuses.iter().filter(|status| **status == 200).count();
    let lost = statuses.iter().filter(|status| **status == 400).count();
    connection.query("FLUSH").await.map_err(text)?;
    database.flushed().await?;
    let rows = connection.query("SELECT n FROM v").await.map_err(text)?.rows;
    database.stop().await;
    if (won, lost) == (1, 19) && rows == [["50"]] { Ok(()) } else { Err(format!("{statuses:?}, {rows:?}")) }
}
