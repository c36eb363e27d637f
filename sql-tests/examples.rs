//! Every SQL example of the repository runs, and shows what its text promises.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::connection::Connection;
use crate::database::{Database, Mode};

/// What a newcomer reads, and rows that it must show, in this order, among others.
const EXAMPLES: [(&str, &[&str]); 7] = [
    (
        "README.md",
        &[
            "2026-01-01 12:00:00|3|330",
            "2026-01-01 12:00:00|4|630",
            "volume|2026-01-01 12:00:02+00|2026-01-01 12:00:22+00|\
             {\"auction\": 1, \"price\": 999, \"bid_time\": \"2026-01-01 12:00:02\"}",
            "volume|1|1",
            "1|210",
            "2|300",
        ],
    ),
    (
        "examples/quickstart.sql",
        &[
            "1|2|150",
            "2|1|80",
            "2026-01-01 12:00:00|2026-01-01 12:00:10|3|330",
            "2026-01-01 12:00:00|2026-01-01 12:00:10|4|630",
            "2026-01-01 12:00:00|2026-01-01 12:00:10|3|550",
            "2026-01-01 12:00:10|2026-01-01 12:00:20|1|200",
            "volume|2|1",
            "1|5|999",
            "6|6",
        ],
    ),
    ("examples/change_feed.sql", &["*|-1|ann|1|10.00", "*|1|ann|2|12.50"]),
    (
        "examples/flights/flights.sql",
        &[
            "hourly|1854|11|0|0",
            "hourly_soon|1647|493|758|758",
            "six_hours|3392|11|0|0",
            "six_hours_soon|3314|1240|11|1245",
            "JetBlue Airways|918|*",
        ],
    ),
    ("examples/demo.sql", &[]),
    (
        "examples/log/log.sql",
        &[
            "200|3|3072",
            "201|1|64",
            "404|1|128",
            "10.0.0.1|3",
            "10.0.0.2|2",
            "10.0.0.3|1",
            "statuses|22P02|invalid input syntax for type bigint: \"-\"",
            "log|running|6|0",
        ],
    ),
    ("examples/nexmark.sql", &["46000", "46000", "0"]),
];

/// One per file.
pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> =
        EXAMPLES.iter().map(|(file, shows)| crate::trial(format!("examples::{file}"), run(file, shows))).collect();
    trials.push(crate::trial("examples::examples/wordcount.sql", word_count()));
    trials
}

async fn run(file: &'static str, shows: &'static [&'static str]) -> Result<(), String> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{file}: {e}"))?;
    let script = if file.ends_with(".md") { sql_blocks(&text) } else { text };
    let database = Database::start(Mode::Four).await?;
    let connection = Connection::open(&database.uri(), None).await.map_err(|e| e.to_string())?;
    let mut shown = Vec::new();
    for parsed in highwater::sql::parse(&script).map_err(|e| format!("{file}: {e}"))? {
        let result = connection.query(&parsed.text).await.map_err(|e| format!("{file}: {}\n{e}", parsed.text))?;
        shown.extend(result.rows.into_iter().map(|row| row.join("|")));
        if parsed.text.eq_ignore_ascii_case("flush") {
            crate::oracle::check(&database).await?;
        }
    }
    let mut rows = shown.iter();
    for expected in shows {
        if !rows.any(|row| fits(row, expected)) {
            return Err(format!("{file}: no row {expected} where it was expected among\n{}", shown.join("\n")));
        }
    }
    database.stop().await;
    Ok(())
}

/// The word count: what nc would send comes before the last of its three statements.
async fn word_count() -> Result<(), String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/wordcount.sql");
    // Whatever listens on the example's port already is none of this test's business.
    let script = std::fs::read_to_string(&file).map_err(|e| e.to_string())?.replace("127.0.0.1:9999", "127.0.0.1:0");
    let database = Database::start(Mode::Four).await?;
    let connection = Connection::open(&database.uri(), None).await.map_err(|e| e.to_string())?;
    let statements = highwater::sql::parse(&script).map_err(|e| e.to_string())?;
    let [source, view, select] = statements.as_slice() else { return Err("not three statements".into()) };
    for statement in [source, view] {
        connection.query(&statement.text).await.map_err(|e| e.to_string())?;
    }
    let address = connection.query("SELECT address FROM highwater.sources").await.map_err(|e| e.to_string())?;
    let text = b"To be or not to be\nthat is the question\nwhether it is nobler\n";
    crate::net::send(&address.rows[0][0], text).await.map_err(|e| e.to_string())?;
    connection.query("FLUSH").await.map_err(|e| e.to_string())?;
    crate::oracle::check(&database).await?;
    let rows = connection.query(&select.text).await.map_err(|e| e.to_string())?.rows;
    let rows: Vec<String> = rows.into_iter().map(|row| row.join(" ")).collect();
    database.stop().await;
    let expected = ["be 2", "is 2", "to 2", "it 1", "nobler 1", "not 1", "or 1", "question 1", "that 1", "the 1"];
    if rows == expected { Ok(()) } else { Err(format!("{rows:?}")) }
}

/// Whether a row is the expected one; a value `*` is any.
fn fits(row: &str, expected: &str) -> bool {
    let (row, expected): (Vec<_>, Vec<_>) = (row.split('|').collect(), expected.split('|').collect());
    row.len() == expected.len()
        && row.iter().zip(expected).all(|(value, expected)| expected == "*" || *value == expected)
}

/// The SQL in a Markdown text.
fn sql_blocks(text: &str) -> String {
    let blocks = text.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.collect::<Vec<_>>().join("\n")
}
