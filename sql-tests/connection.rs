//! A connection of the tests: sqllogictest's driver over tokio-postgres, plus what .slt files call `\commands`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType};
use tokio_postgres::error::DbError;
use tokio_postgres::{AsyncMessage, Client, NoTls, SimpleQueryMessage};

use crate::database::Database;

/// What a test sees of an error: severity, SQLSTATE, message, detail, hint, each where present, exactly.
#[derive(Debug)]
pub struct Failure(pub String);

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(error) => Self(describe(error)),
            None => Self(format!("CONNECTION: {error:?}")),
        }
    }
}

fn describe(error: &DbError) -> String {
    let mut text = format!("{} {}: {}", error.severity(), error.code().code(), error.message());
    for (name, part) in [("DETAIL", error.detail()), ("HINT", error.hint())] {
        if let Some(part) = part {
            text += &format!("\n{name}: {part}");
        }
    }
    text
}

/// One client.
pub struct Connection {
    /// The raw client, for tests that are not .slt files.
    pub client: Client,
    notices: Arc<Mutex<Vec<DbError>>>,
    /// Told of every FLUSH; `None` when the other side is not ours.
    database: Option<Arc<Database>>,
}

/// A result set as text; NULL is `NULL`, an empty string `(empty)`.
#[derive(Default)]
pub struct Rows {
    /// Column names.
    pub columns: Vec<String>,
    /// Values.
    pub rows: Vec<Vec<String>>,
    /// Whether there was a result set at all.
    pub any: bool,
    /// The number in the last command tag.
    pub count: u64,
}

impl Connection {
    /// Connects, and collects notices from then on.
    pub async fn open(uri: &str, database: Option<Arc<Database>>) -> Result<Self, Failure> {
        let (client, mut connection) = tokio_postgres::connect(uri, NoTls).await?;
        let notices = Arc::new(Mutex::new(Vec::new()));
        let sink = notices.clone();
        crate::runtime().spawn(async move {
            let mut messages = futures::stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(message) = messages.next().await {
                if let Ok(AsyncMessage::Notice(notice)) = message {
                    sink.lock().unwrap().push(notice);
                }
            }
        });
        Ok(Self { client, notices, database })
    }

    /// Runs one simple query; the last result set counts.
    pub async fn query(&self, sql: &str) -> Result<Rows, Failure> {
        let mut result = Rows::default();
        for message in self.client.simple_query(sql).await? {
            match message {
                SimpleQueryMessage::RowDescription(columns) => {
                    result.columns = columns.iter().map(|c| c.name().to_owned()).collect();
                    result.rows.clear();
                    result.any = true;
                }
                SimpleQueryMessage::Row(row) => {
                    result.rows.push((0..row.len()).map(|i| value(row.get(i))).collect());
                }
                SimpleQueryMessage::CommandComplete(count) => result.count = count,
                _ => {}
            }
        }
        Ok(result)
    }

    /// Notices since the last call.
    pub fn take_notices(&self) -> Vec<DbError> {
        std::mem::take(&mut self.notices.lock().unwrap())
    }

    async fn command(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failure> {
        let Some(rest) = sql.strip_prefix('\\') else {
            let result = self.query(sql).await?;
            let flushed = sql.trim().eq_ignore_ascii_case("flush");
            if let (true, Some(database)) = (flushed, &self.database) {
                database.flushed().await.map_err(Failure)?;
            }
            return Ok(if result.any { table(result.rows) } else { DBOutput::StatementComplete(result.count) });
        };
        let (command, sql) = rest.split_once(' ').ok_or_else(|| Failure(format!("what is \\{rest}?")))?;
        let list = |values: Vec<String>| table(values.into_iter().map(|v| vec![v]).collect());
        match command {
            "columns" => Ok(list(self.query(sql).await?.columns)),
            "describe" => self.describe(sql).await,
            "nofirst" => {
                Ok(table(self.rows(sql).await?.into_iter().map(|row| row.into_iter().skip(1).collect()).collect()))
            }
            "epochs" => Ok(list(runs(&self.rows(sql).await?))),
            "copyin" => self.copy_in(sql).await,
            "send" => self.send(sql).await,
            "post" => Ok(list(vec![self.post(sql).await?])),
            "copyout" => Ok(list(self.copy_out(sql).await?.into_iter().map(|l| l.replace('\t', "<tab>")).collect())),
            "copyrows" => Ok(table(self.rows(&format!("\\{rest}")).await?)),
            "match" => {
                // `/regex/ SQL`: what it finds in the first column, row by row.
                let (pattern, sql) = sql.trim_start_matches('/').split_once("/ ").unwrap_or_default();
                let pattern = regex::Regex::new(pattern).map_err(|e| Failure(e.to_string()))?;
                let rows = self.rows(sql).await?;
                let texts = rows.iter().filter_map(|row| row.first());
                Ok(list(texts.flat_map(|t| pattern.find_iter(t).map(|m| m.as_str().to_owned())).collect()))
            }
            "back" => {
                // Asks until the view is on the clock again.
                let began = std::time::Instant::now();
                loop {
                    match self.query(sql).await {
                        Err(away) if away.0.contains("55000") && began.elapsed().as_secs() < 60 => {}
                        other => return Ok(table(other?.rows)),
                    }
                }
            }
            "progress" => Ok(list(vec![progress(&self.rows(&format!("\\copyrows {sql}")).await?)])),
            "notices" => {
                self.take_notices();
                self.query(sql).await?;
                let text = |n: DbError| format!("{} {} {}", n.severity(), n.code().code(), n.message());
                Ok(list(self.take_notices().into_iter().map(text).collect()))
            }
            "noticecount" => {
                self.take_notices();
                self.query(sql).await?;
                Ok(list(vec![self.take_notices().len().to_string()]))
            }
            "position" => match self.client.simple_query(sql).await {
                Ok(_) => Err(Failure("no error".into())),
                Err(error) => match error.as_db_error().and_then(DbError::position) {
                    Some(tokio_postgres::error::ErrorPosition::Original(at)) => Ok(list(vec![at.to_string()])),
                    _ => Ok(list(vec!["none".into()])),
                },
            },
            other => Err(Failure(format!("what is \\{other}?"))),
        }
    }

    /// The rows of a query, or of `\copyrows COPY .. TO STDOUT`.
    async fn rows(&self, sql: &str) -> Result<Vec<Vec<String>>, Failure> {
        match sql.strip_prefix("\\copyrows ") {
            Some(copy) => {
                let split = |line: String| line.split('\t').map(|v| value((v != "\\N").then_some(v))).collect();
                Ok(self.copy_out(copy).await?.into_iter().map(split).collect())
            }
            None => Ok(self.query(sql).await?.rows),
        }
    }

    async fn describe(&self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failure> {
        let statement = self.client.prepare(sql).await?;
        let name = |t: &str| -> String {
            match t {
                "bool" => "boolean",
                "int2" => "smallint",
                "int4" => "integer",
                "int8" => "bigint",
                "float4" => "real",
                "float8" => "double precision",
                "varchar" => "character varying",
                "timestamp" => "timestamp without time zone",
                "timestamptz" => "timestamp with time zone",
                other => other,
            }
            .to_owned()
        };
        Ok(table(statement.columns().iter().map(|c| vec![c.name().to_owned(), name(c.type_().name())]).collect()))
    }

    async fn copy_in(&self, text: &str) -> Result<DBOutput<DefaultColumnType>, Failure> {
        let (sql, data) = text.split_once('\n').unwrap_or((text, ""));
        let mut data = data.replace("<tab>", "\t");
        data.push('\n');
        let sink = self.client.copy_in::<_, Bytes>(sql).await?;
        let mut sink = std::pin::pin!(sink);
        sink.send(Bytes::from(data)).await?;
        Ok(DBOutput::StatementComplete(sink.finish().await?))
    }

    /// Sends lines to a socket source that some view reads, and waits until all of them were read.
    async fn send(&self, text: &str) -> Result<DBOutput<DefaultColumnType>, Failure> {
        let (source, data) = text.split_once('\n').unwrap_or((text, ""));
        let address = self.query(&format!("SELECT address FROM highwater.sources WHERE name = '{source}'")).await?;
        let address = address.rows.first().and_then(|row| row.first()).ok_or_else(|| Failure("no address".into()))?;
        crate::net::send(address, format!("{data}\n").as_bytes()).await.map_err(|e| Failure(e.to_string()))?;
        Ok(DBOutput::StatementComplete(data.lines().count() as u64))
    }

    /// `\post PATH CONTENT-TYPE`, then the body: the status and the answer, the epoch as `N`.
    async fn post(&self, text: &str) -> Result<String, Failure> {
        let (head, body) = text.split_once('\n').unwrap_or((text, ""));
        let (path, of) = head.split_once(' ').ok_or_else(|| Failure("no Content-Type".into()))?;
        let database = self.database.as_ref().ok_or_else(|| Failure("not ours".into()))?;
        let answer = crate::net::post(database.http, path, of, body).await.map_err(|e| Failure(e.to_string()))?;
        Ok(format!("{} {}", answer.status, answer.without_epoch()))
    }

    async fn copy_out(&self, sql: &str) -> Result<Vec<String>, Failure> {
        let mut stream = std::pin::pin!(self.client.copy_out(sql).await?);
        let mut bytes = Vec::new();
        while let Some(piece) = stream.next().await {
            bytes.extend_from_slice(&piece?);
        }
        let text = String::from_utf8(bytes).map_err(|e| Failure(e.to_string()))?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

fn value(value: Option<&str>) -> String {
    match value {
        None => "NULL".into(),
        Some("") => "(empty)".into(),
        Some(text) => text.into(),
    }
}

fn table(rows: Vec<Vec<String>>) -> DBOutput<DefaultColumnType> {
    let columns = rows.first().map_or(1, Vec::len);
    DBOutput::Rows { types: vec![DefaultColumnType::Any; columns], rows }
}

/// How many rows in a row share their first value.
fn runs(rows: &[Vec<String>]) -> Vec<String> {
    rows.chunk_by(|a, b| a[0] == b[0]).map(|run| run.len().to_string()).collect()
}

/// Checks what PROGRESS promises over rows (hw_epoch, hw_progressed, ..): epochs ascend, and after a progress row p
/// nothing with an epoch <= p follows; there is at least one progress row and one data row.
fn progress(rows: &[Vec<String>]) -> String {
    let (mut done, mut last, mut data) = (0_u64, 0_u64, 0);
    for row in rows {
        let Ok(epoch) = row[0].parse::<u64>() else { return format!("bad epoch in {row:?}") };
        if epoch <= done || epoch < last {
            return format!("{row:?} after progress {done}");
        }
        last = epoch;
        match row[1].as_str() {
            "t" => done = epoch,
            "f" => data += 1,
            _ => return format!("bad hw_progressed in {row:?}"),
        }
    }
    if done > 0 && data > 0 && done == last { "ok".into() } else { format!("unfinished: {rows:?}") }
}

#[async_trait]
impl AsyncDB for Connection {
    type Error = Failure;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failure> {
        if let Some(database) = &self.database {
            database.note(sql);
        }
        self.command(sql).await
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "highwater"
    }

    async fn sleep(_: Duration) {}

    fn error_sql_state(error: &Failure) -> Option<String> {
        error.0.split_ascii_whitespace().nth(1).map(|code| code.trim_end_matches(':').to_owned())
    }
}
