//! Checkpoints that are not kept in the data directory: other folders, and a bucket, of which `.ci/s3` starts a server.
//!
//! Without that server what needs it is left out, and says so; under CI that is a failure.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use highwater::config::EngineConfig;
use libtest_mimic::Trial;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use crate::connection::Connection;
use crate::database::{Database, Mode};
use crate::trial;

type Result<T, E = String> = std::result::Result<T, E>;

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

/// All of them.
pub fn trials() -> Vec<Trial> {
    vec![
        trial("buckets::checkpoints_move_from_place_to_place", checkpoints_move()),
        trial("buckets::a_place_belongs_to_one_data_directory", one_data_directory()),
        trial("buckets::a_lost_data_directory", async { lost_data_directory(&folder_url).await }),
        trial("buckets::s3_a_lost_data_directory", async {
            match bucket()? {
                Some(bucket) => lost_data_directory(&move |folder: &Path| url(&bucket, folder)).await,
                None => Ok(()),
            }
        }),
        trial("buckets::s3_checkpoints_move_there_and_back", there_and_back()),
        trial("buckets::s3_out_of_reach_for_a_while", async {
            tokio::time::timeout(Duration::from_secs(120), out_of_reach()).await.map_err(text)?
        }),
        trial("buckets::s3_a_second_signal", async {
            tokio::time::timeout(Duration::from_secs(120), a_second_signal()).await.map_err(text)?
        }),
        trial("buckets::wrong_credentials", wrong_credentials()),
    ]
}

/// The bucket's URL; `None`: there is no server for tests.
fn bucket() -> Result<Option<String>> {
    match std::env::var("HIGHWATER_TEST_S3") {
        Ok(url) => Ok(Some(url)),
        Err(_) if std::env::var_os("CI").is_some() => Err("there is no S3 server: run `.ci/s3 cargo test`".into()),
        Err(_) => {
            let _ = writeln!(std::io::stderr(), "left out: it needs an S3 server, as `.ci/s3 cargo test` starts one");
            Ok(None)
        }
    }
}

/// A prefix of a test's own.
fn url(bucket: &str, folder: &Path) -> String {
    let own = folder.file_name().unwrap_or_default().to_string_lossy().replace('.', "-");
    format!("{bucket}/{}/{own}", std::process::id())
}

fn folder_url(folder: &Path) -> String {
    format!("file://{}/elsewhere", folder.display())
}

/// One life of a data directory: runs statements, waits for a checkpoint of all that, and asks.
async fn life(data: &Path, url: Option<&str>, restore: bool, sql: &[&str], query: &str) -> Result<Vec<String>> {
    let config = EngineConfig {
        workers: 2,
        data_dir: Some(data.to_owned()),
        checkpoint_url: url.map(str::to_owned),
        restore,
        checkpoint_interval: Duration::from_millis(20),
        ..EngineConfig::default()
    };
    let database = Database::with(Mode::One, config).await?;
    let found = ask(&database, sql, query).await;
    database.stop().await;
    found
}

async fn ask(database: &Arc<Database>, sql: &[&str], query: &str) -> Result<Vec<String>> {
    let connection = Connection::open(&database.uri(), None).await.map_err(text)?;
    for statement in sql {
        connection.query(statement).await.map_err(|e| format!("{statement}: {e:?}"))?;
    }
    if !sql.is_empty() {
        checkpointed(&connection).await?;
    }
    let rows = connection.query(query).await.map_err(|e| format!("{query}: {e:?}"))?.rows;
    Ok(rows.into_iter().flatten().collect())
}

/// Waits until a checkpoint has all that is published.
pub async fn checkpointed(connection: &Connection) -> Result<()> {
    let epoch = connection.query("SELECT max(epoch) FROM highwater.epochs").await.map_err(text)?.rows[0].join("");
    let written = format!("SELECT count(*) FROM highwater.checkpoints WHERE epoch >= {epoch}");
    while connection.query(&written).await.map_err(text)?.rows[0].join("") == "0" {
        tokio::task::yield_now().await;
    }
    Ok(())
}

fn expect(found: Vec<String>, wanted: &[&str]) -> Result<()> {
    if found == wanted { Ok(()) } else { Err(format!("wanted {wanted:?}, found {found:?}")) }
}

fn refused<T>(found: Result<T>, code: &str, words: &str) -> Result<()> {
    match found {
        Err(error) if error.contains(code) && error.contains(words) => Ok(()),
        Err(error) => Err(format!("wanted {code} and {words:?}, found {error}")),
        Ok(_) => Err(format!("nothing was refused with {code} and {words:?}")),
    }
}

fn checkpoints(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    names.filter(|entry| entry.file_name().to_string_lossy().ends_with(".checkpoint")).count()
}

const CREATE: [&str; 3] = [
    "CREATE TABLE t (a INT PRIMARY KEY, b INT)",
    "CREATE MATERIALIZED VIEW v AS SELECT count(*) AS c, sum(b) AS s FROM t",
    "INSERT INTO t VALUES (1, 10), (2, 20)",
];
const ROWS: &str = "SELECT c || ' ' || s FROM v";

async fn checkpoints_move() -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let (data, elsewhere) = (folder.path().join("data"), folder.path().join("elsewhere"));
    let (own, there) = (format!("file://{}/checkpoints", data.display()), folder_url(folder.path()));
    expect(life(&data, None, false, &CREATE, ROWS).await?, &["2 30"])?;
    expect(life(&data, Some(&there), false, &["INSERT INTO t VALUES (3, 30)"], ROWS).await?, &["3 60"])?;
    if checkpoints(&data.join("checkpoints")) != 0 || checkpoints(&elsewhere) != 2 {
        return Err("the checkpoints have not moved".into());
    }
    // They stay there until another place is named, and come back to what was once theirs.
    expect(life(&data, None, false, &["DELETE FROM t WHERE a = 1"], ROWS).await?, &["2 50"])?;
    expect(life(&data, Some(&own), false, &["INSERT INTO t VALUES (4, 40)"], ROWS).await?, &["3 90"])?;
    expect(life(&data, None, false, &[], ROWS).await?, &["3 90"])?;
    if checkpoints(&data.join("checkpoints")) != 2 || checkpoints(&elsewhere) != 0 {
        return Err("the checkpoints have not moved back".into());
    }
    // The same place by another name is left alone.
    let same = format!("file://{}/../data/checkpoints", data.display());
    expect(life(&data, Some(&same), false, &[], ROWS).await?, &["3 90"])?;
    expect(life(&data, Some(&own), false, &[], ROWS).await?, &["3 90"])
}

async fn one_data_directory() -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    let url = folder_url(folder.path());
    expect(life(&one, Some(&url), false, &CREATE, ROWS).await?, &["2 30"])?;
    expect(life(&other, None, false, &CREATE, ROWS).await?, &["2 30"])?;
    let words = "has the checkpoints of another data directory";
    refused(life(&other, Some(&url), false, &[], ROWS).await, "55006", words)?;
    refused(life(&other, Some("nowhere"), false, &[], ROWS).await, "22023", "is no URL of a place")?;
    // Both are as they were.
    expect(life(&other, None, false, &["INSERT INTO t VALUES (3, 30)"], ROWS).await?, &["3 60"])?;
    expect(life(&one, None, false, &[], ROWS).await?, &["2 30"])
}

/// The directory is gone, and its checkpoints are not.
async fn lost_data_directory(url: &(impl Fn(&Path) -> String + Sync)) -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let (data, out) = (folder.path().join("data"), folder.path().join("out"));
    let url = url(folder.path());
    let sink =
        format!("CREATE SINK k FROM t WITH (connector = 'file', path = '{}') FORMAT UPSERT ENCODE JSON", out.display());
    life(&data, Some(&url), false, &[&CREATE[..], &[&sink]].concat(), ROWS).await?;
    life(&data, None, false, &[], "ALTER SYSTEM SET checkpoint_interval = '1h'").await?;
    // What comes now is in no checkpoint, but in the sink's files.
    let server = Server::start(folder.path(), &[], &[]).await?;
    let connection = server.connect().await?;
    connection.query("INSERT INTO t VALUES (3, 30)").await.map_err(text)?;
    connection.query("FLUSH").await.map_err(text)?;
    let told = connection.query("SELECT epoch FROM highwater.sinks").await.map_err(text)?.rows[0].join("");
    drop(server);
    std::fs::remove_dir_all(&data).map_err(text)?;

    refused(life(&data, Some(&url), false, &[], ROWS).await, "55000", "has checkpoints, but")?;
    let more = ["ALTER SYSTEM SET checkpoint_interval = '20ms'", "INSERT INTO t VALUES (5, 50)"];
    let sinks = "SELECT status || ': ' || error FROM highwater.sinks";
    for (restore, statements) in [(true, &more[..]), (false, &[])] {
        expect(life(&data, Some(&url), restore, statements, ROWS).await?, &["3 80"])?;
        let found = life(&data, None, false, &[], sinks).await?.concat();
        if !found.starts_with("failed: files up to epoch") {
            return Err(format!("a sink that has what is lost: {found}"));
        }
    }
    let resume = format!("COPY (SUBSCRIBE v AS OF {told} UP TO {told}) TO STDOUT");
    refused(life(&data, None, false, &[], &resume).await, "72000", "does not go back to epoch")
}

async fn there_and_back() -> Result<()> {
    let Some(bucket) = bucket()? else { return Ok(()) };
    let folder = TempDir::new().map_err(text)?;
    let data = folder.path().join("data");
    let (there, own) = (url(&bucket, folder.path()), format!("file://{}/checkpoints", data.display()));
    let many = "INSERT INTO t SELECT g, 1 FROM generate_series(10, 60000) x(g)";
    expect(life(&data, None, false, &[&CREATE[..], &[many]].concat(), ROWS).await?, &["59993 60021"])?;
    expect(life(&data, Some(&there), false, &["DELETE FROM t WHERE a = 60000"], ROWS).await?, &["59992 60020"])?;
    expect(life(&data, None, false, &["DELETE FROM t WHERE a > 50"], ROWS).await?, &["43 71"])?;
    if checkpoints(&data.join("checkpoints")) != 0 {
        return Err("the checkpoints have not moved".into());
    }
    let missing = format!("{there}-of-another-bucket").replace(&bucket, "s3://no-such-bucket");
    refused(life(&data, Some(&missing), false, &[], ROWS).await, "58P01", "(NoSuchBucket)")?;
    expect(life(&data, Some(&own), false, &["INSERT INTO t VALUES (3, 30)"], ROWS).await?, &["44 101"])
}

/// A server of its own process, with its own environment; killed at its end.
pub struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Its data are in FOLDER/data, what it says in FOLDER/stderr.
    pub async fn start(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Self> {
        let said = std::fs::File::create(folder.join("stderr")).map_err(text)?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_highwater"))
            .args(["serve", "--pg-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.join("data"))
            .args(arguments)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(said)
            .spawn()
            .map_err(text)?;
        let lines = BufReader::new(child.stdout.take().ok_or("no stdout")?).lines();
        let mut server = Self { child, address: String::new() };
        let listening = tokio::task::spawn_blocking(move || {
            lines.map_while(Result::ok).find_map(|line| Some(line.strip_prefix("listening on ")?.to_owned()))
        });
        match listening.await.map_err(text)? {
            Some(address) => server.address = address,
            None => return Err(said_in(folder)?),
        }
        Ok(server)
    }

    /// A connection to it.
    pub async fn connect(&self) -> Result<Connection> {
        Connection::open(&self.address, None).await.map_err(text)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What it said.
pub fn said_in(folder: &Path) -> Result<String> {
    std::fs::read_to_string(folder.join("stderr")).map_err(text)
}

/// What [`between`] does.
const OPEN: u8 = 0;
const SHUT: u8 = 1;
const HELD: u8 = 2;

/// Between a server and its bucket: hands on what comes, hangs up, or lets it wait.
async fn between(to: String) -> Result<(String, Arc<AtomicU8>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
    let address = listener.local_addr().map_err(text)?;
    let door = Arc::new(AtomicU8::new(OPEN));
    let own = Arc::clone(&door);
    crate::runtime().spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (to, door) = (to.clone(), Arc::clone(&own));
            crate::runtime().spawn(async move {
                let Ok(mut server) = TcpStream::connect(to).await else { return };
                let (mut back, mut on) = ([0; 65536], [0; 65536]);
                loop {
                    use tokio::io::{AsyncReadExt, AsyncWriteExt};
                    let (read, other) = tokio::select! {
                        read = client.read(&mut on) => (read.map(|n| &on[..n]), &mut server),
                        read = server.read(&mut back) => (read.map(|n| &back[..n]), &mut client),
                    };
                    let Ok(bytes) = read else { return };
                    match door.load(Ordering::SeqCst) {
                        HELD => std::future::pending().await,
                        OPEN if !bytes.is_empty() && other.write_all(bytes).await.is_ok() => {}
                        _ => return,
                    }
                }
            });
        }
    });
    Ok((format!("http://{address}"), door))
}

/// A server with some rows in a bucket that [`between`] stands before; `None`: there is no bucket.
async fn behind_a_door(folder: &Path) -> Result<Option<(Server, Connection, Arc<AtomicU8>)>> {
    let Some(bucket) = bucket()? else { return Ok(None) };
    let endpoint = std::env::var("AWS_ENDPOINT_URL").map_err(text)?;
    let (proxy, door) = between(endpoint.trim_start_matches("http://").to_owned()).await?;
    let arguments = ["--checkpoint-url", &url(&bucket, folder)];
    let server = Server::start(folder, &arguments, &[("AWS_ENDPOINT_URL", &proxy)]).await?;
    let connection = server.connect().await?;
    connection.query("ALTER SYSTEM SET checkpoint_interval = '20ms'").await.map_err(text)?;
    for statement in CREATE {
        connection.query(statement).await.map_err(text)?;
    }
    checkpointed(&connection).await?;
    Ok(Some((server, connection, door)))
}

/// Nothing but checkpoints waits for the bucket, and they go on by themselves.
async fn out_of_reach() -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let Some((_server, connection, door)) = behind_a_door(folder.path()).await? else { return Ok(()) };
    door.store(SHUT, Ordering::SeqCst);
    let mut rows = 2;
    while !said_in(folder.path())?
        .contains("a checkpoint cannot be written, and is tried again: 58030: checkpoints in \"s3:")
    {
        rows += 1;
        connection.query(&format!("INSERT INTO t VALUES ({rows}, 0)")).await.map_err(text)?;
        let found = connection.query("SELECT c FROM v").await.map_err(text)?.rows.concat();
        expect(found, &[&rows.to_string()])?;
    }
    door.store(OPEN, Ordering::SeqCst);
    checkpointed(&connection).await
}

/// A clean stop waits for its checkpoint, and not after a second signal.
async fn a_second_signal() -> Result<()> {
    let folder = TempDir::new().map_err(text)?;
    let Some((mut server, connection, door)) = behind_a_door(folder.path()).await? else { return Ok(()) };
    door.store(HELD, Ordering::SeqCst);
    connection.query("INSERT INTO t VALUES (3, 30)").await.map_err(text)?;
    for said in ["stopped by SIGTERM", "stopped by a second signal, without a checkpoint"] {
        let kill = format!("kill -TERM {}", server.child.id());
        Command::new("sh").args(["-c", &kill]).status().map_err(text)?;
        while !said_in(folder.path())?.contains(said) {
            tokio::task::yield_now().await;
        }
    }
    let ended = server.child.wait().map_err(text)?;
    door.store(OPEN, Ordering::SeqCst);
    if !ended.success() {
        return Err(format!("it ended with {ended}"));
    }
    expect(life(&folder.path().join("data"), None, false, &[], ROWS).await?, &["3 60"])
}

/// A server that has nothing to say but no.
async fn wrong_credentials() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
    let address = format!("http://{}", listener.local_addr().map_err(text)?);
    crate::runtime().spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let body = "<Error><Code>InvalidAccessKeyId</Code><Message>The key does not exist.</Message></Error>";
        let length = body.len();
        let no = format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        while let Ok((mut client, _)) = listener.accept().await {
            let _ = client.read(&mut [0; 4096]).await;
            let _ = client.write_all(no.as_bytes()).await;
        }
    });
    let folder = TempDir::new().map_err(text)?;
    let who = [
        ("AWS_ENDPOINT_URL", address.as_str()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "wrong"),
        ("AWS_SECRET_ACCESS_KEY", "wrong"),
    ];
    let started = Server::start(folder.path(), &["--checkpoint-url", "s3://bucket/prefix"], &who).await;
    match started {
        Err(said) if said.trim_end().lines().count() == 1 => {
            let words =
                "error: checkpoints in \"s3://bucket/prefix\": The key does not exist (InvalidAccessKeyId) (AWS_";
            if said.starts_with(words) { Ok(()) } else { Err(said) }
        }
        Err(said) => Err(said),
        Ok(_) => Err("it started".into()),
    }
}
