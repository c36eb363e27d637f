//! What a statement does to itself alone: panics, and nesting too deep for a stack.

use std::sync::Arc;

use highwater::config::EngineConfig;
use libtest_mimic::Trial;

use crate::database::{Database, Mode};
use crate::protocol::{Wire, check, query};
use crate::trial;

/// All of them.
pub fn trials() -> Vec<Trial> {
    vec![
        trial("alone::panics", panics()),
        trial("alone::deep_statements", deep_statements()),
        trial("alone::deep_views", deep_views()),
    ]
}

const HINT: &str = "This is a bug in Highwater. The statement had no effect; other connections are not affected.";

async fn database() -> Result<Arc<Database>, String> {
    Database::with(Mode::One, EngineConfig { workers: 1, panic_function: true, ..EngineConfig::default() }).await
}

/// A panic while a statement is planned or runs is its error; the connection, the others and the views go on.
async fn panics() -> Result<(), String> {
    let database = database().await?;
    let mut wire = Wire::open(&database).await?;
    let mut bystander = Wire::open(&database).await?;
    check(
        &wire.ask(&[query("CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('x')")]).await?,
        "C[CREATE TABLE] C[INSERT 0 1] Z[I]",
    )?;
    check(
        &wire.ask(&[query("CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM t")]).await?,
        "C[CREATE MATERIALIZED VIEW] Z[I]",
    )?;
    let planned = "it was asked to, while it is planned";
    let ran = "it was asked to";
    for (sql, what) in [
        ("SELECT panic(a) FROM t", ran),
        ("SELECT panic('plan')", planned),
        ("UPDATE t SET a = panic(a)", ran),
        ("DELETE FROM t WHERE a = panic('plan')", planned),
        ("INSERT INTO t SELECT panic(a) FROM t", ran),
        ("COPY (SELECT panic(a) FROM t) TO STDOUT", ran),
        ("CREATE MATERIALIZED VIEW v AS SELECT panic('plan') AS p FROM t", planned),
        ("CREATE VIEW v AS SELECT panic('plan') AS p FROM t", planned),
        ("EXPLAIN SELECT panic('plan')", planned),
    ] {
        let answer = wire.ask(&[query(sql)]).await?;
        let error = format!("E[ERROR XX000 the statement panicked: {what}] Z[I]");
        if !answer.ends_with(&error) {
            return Err(format!("{sql}: {answer}"));
        }
        check(&bystander.ask(&[query("SELECT a FROM t")]).await?, "T D[x] C[SELECT 1] Z[I]")?;
    }
    // In a transaction it fails the transaction, as any error does.
    check(&wire.ask(&[query("BEGIN")]).await?, "C[BEGIN] Z[T]")?;
    let answer = wire.ask(&[query("SELECT panic('plan')")]).await?;
    check(&answer, &format!("E[ERROR XX000 the statement panicked: {planned}] Z[E]"))?;
    check(&wire.ask(&[query("ROLLBACK")]).await?, "C[ROLLBACK] Z[I]")?;
    // No name is left behind, and the view is kept up to date.
    check(&wire.ask(&[query("INSERT INTO t VALUES ('y')")]).await?, "C[INSERT 0 1] Z[I]")?;
    check(&wire.ask(&[query("SELECT n FROM m")]).await?, "T D[2] C[SELECT 1] Z[I]")?;
    check(&wire.ask(&[query("CREATE VIEW v AS SELECT a FROM t")]).await?, "C[CREATE VIEW] Z[I]")?;
    let (client, connection) =
        tokio_postgres::connect(&database.uri(), tokio_postgres::NoTls).await.map_err(|e| e.to_string())?;
    let driving = tokio::spawn(connection);
    let error = client.query("SELECT panic(a) FROM t", &[]).await.err().ok_or("no error")?;
    let hint = error.as_db_error().and_then(|e| e.hint()).unwrap_or_default();
    drop(client);
    let _ = driving.await;
    database.stop().await;
    if hint == HINT { Ok(()) } else { Err(format!("hint {hint:?}")) }
}

fn chain(operator: &str, term: &str, count: usize) -> String {
    vec![term; count].join(operator)
}

fn nested(count: usize) -> String {
    format!("{}1{}", "(".repeat(count), ")".repeat(count))
}

/// Deep statements are answered, deeper ones than may be are 54001, and nothing overflows a thread's stack.
async fn deep_statements() -> Result<(), String> {
    let database = database().await?;
    let mut wire = Wire::open(&database).await?;
    let sum = wire.ask(&[query(&format!("SELECT {}", chain(" + ", "1", 150)))]).await?;
    check(&sum, "T D[150] C[SELECT 1] Z[I]")?;
    let or = wire.ask(&[query(&format!("SELECT 1 WHERE {}", chain(" OR ", "1 = 2", 120)))]).await?;
    check(&or, "T C[SELECT 0] Z[I]")?;
    let union =
        wire.ask(&[query(&format!("SELECT count(*) FROM ({}) u", chain(" UNION ALL ", "SELECT 1", 50)))]).await?;
    check(&union, "T D[50] C[SELECT 1] Z[I]")?;
    for deep in [
        format!("SELECT {}", chain(" + ", "1", 5_000)),
        format!("SELECT {}", nested(1_000)),
        format!("SELECT 1 WHERE {} true", "NOT ".repeat(5_000)),
        format!("SELECT {}1{}", "abs(".repeat(2_000), ")".repeat(2_000)),
        format!("SELECT * FROM {}t{}", "(SELECT * FROM ".repeat(1_000), ") x".repeat(1_000)),
        format!("SELECT {}1", "- ".repeat(5_000)),
        format!("SELECT 1{}", "::int".repeat(5_000)),
        format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(2_000), " END".repeat(2_000)),
        format!("SELECT {}1{}", "ARRAY[".repeat(2_000), "]".repeat(2_000)),
    ] {
        let answer = wire.ask(&[query(&deep)]).await?;
        if !answer.starts_with("E[ERROR 54001 ") || !answer.ends_with("Z[I]") {
            let (deep, answer): (String, String) =
                (deep.chars().take(60).collect(), answer.chars().take(200).collect());
            return Err(format!("{deep}: {answer}"));
        }
    }
    check(&wire.ask(&[query("SELECT 1")]).await?, "T D[1] C[SELECT 1] Z[I]")?;
    database.stop().await;
    Ok(())
}

/// A view of a deep expression is evaluated by the workers.
async fn deep_views() -> Result<(), String> {
    let database = database().await?;
    let mut wire = Wire::open(&database).await?;
    check(
        &wire.ask(&[query("CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2)")]).await?,
        "C[CREATE TABLE] C[INSERT 0 2] Z[I]",
    )?;
    let sum = format!("CREATE MATERIALIZED VIEW m AS SELECT {} AS s FROM t", chain(" + ", "a", 60));
    check(&wire.ask(&[query(&sum)]).await?, "C[CREATE MATERIALIZED VIEW] Z[I]")?;
    let or = format!("CREATE MATERIALIZED VIEW o AS SELECT a FROM t WHERE {}", chain(" OR ", "a + 1 = 2", 40));
    check(&wire.ask(&[query(&or)]).await?, "C[CREATE MATERIALIZED VIEW] Z[I]")?;
    check(&wire.ask(&[query("INSERT INTO t VALUES (3)")]).await?, "C[INSERT 0 1] Z[I]")?;
    check(&wire.ask(&[query("SELECT s FROM m ORDER BY 1")]).await?, "T D[60] D[120] D[180] C[SELECT 3] Z[I]")?;
    check(&wire.ask(&[query("SELECT a FROM o")]).await?, "T D[1] C[SELECT 1] Z[I]")?;
    database.stop().await;
    Ok(())
}
