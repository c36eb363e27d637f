//! The PostgreSQL protocol, byte by byte: what a wrong client is told, and that nobody else notices.

use std::sync::Arc;

use libtest_mimic::Trial;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::database::{Database, Mode};
use crate::trial;

/// All of them.
pub fn trials() -> Vec<Trial> {
    vec![
        trial("protocol::startup", with(startup)),
        trial("protocol::malformed_messages", with(malformed_messages)),
        trial("protocol::wrong_order", with(wrong_order)),
        trial("protocol::bad_parameters", with(bad_parameters)),
        trial("protocol::errors_skip_to_sync", with(errors_skip_to_sync)),
        trial("protocol::portals", with(portals)),
        trial("protocol::batches_are_transactions", with(batches_are_transactions)),
        trial("protocol::simple_batches", with(simple_batches)),
        trial("protocol::copy", with(copy)),
        trial("protocol::cut_off_anywhere", with(cut_off_anywhere)),
        trial("protocol::shutdown", shutdown()),
        trial("protocol::http", with(http)),
    ]
}

/// Runs a test against a server of its own, and checks at the end that others can still use it.
pub async fn with<F>(test: impl FnOnce(Arc<Database>) -> F) -> Result<(), String>
where
    F: Future<Output = Result<(), String>>,
{
    let database = Database::start(Mode::One).await?;
    let mut bystander = Wire::open(&database).await?;
    test(database.clone()).await?;
    let answer = bystander.ask(&[query("SELECT 1")]).await?;
    check(&answer, "T D[1] C[SELECT 1] Z[I]")?;
    database.stop().await;
    Ok(())
}

/// A client without manners.
pub struct Wire {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    /// A connection that has said nothing yet.
    pub async fn raw(database: &Database) -> Result<Self, String> {
        let socket = TcpStream::connect(database.address()).await.map_err(|e| e.to_string())?;
        Ok(Self { socket, buffer: Vec::new() })
    }

    /// A connection that is ready.
    pub async fn open(database: &Database) -> Result<Self, String> {
        let mut wire = Self::raw(database).await?;
        wire.send(&hello(196_608, b"user\0tester\0database\0highwater\0\0")).await?;
        wire.answer().await?;
        Ok(wire)
    }

    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.socket.write_all(bytes).await.map_err(|e| e.to_string())
    }

    /// Sends messages and reads up to ReadyForQuery, or the end of the connection.
    pub async fn ask(&mut self, messages: &[Vec<u8>]) -> Result<String, String> {
        self.send(&messages.concat()).await?;
        self.answer().await
    }

    /// What comes until ReadyForQuery, as `T D[a,b] C[SELECT 1] Z[I]`; errors are `E[severity code message]`.
    pub async fn answer(&mut self) -> Result<String, String> {
        let mut words = Vec::new();
        loop {
            let Some((tag, body)) = self.message().await? else {
                words.push("end".to_owned());
                return Ok(words.join(" "));
            };
            match tag {
                // Settings, keys and notices would make every expectation long.
                b'S' | b'K' | b'N' => {}
                b'D' => words.push(format!("D[{}]", row(&body))),
                b'C' | b'Z' => words.push(format!("{}[{}]", char::from(tag), text(&body))),
                b'd' => words.push(format!("d[{}]", text(&body))),
                b'E' => words.push(format!("E[{}]", error(&body))),
                tag => words.push(char::from(tag).to_string()),
            }
            if tag == b'Z' {
                return Ok(words.join(" "));
            }
        }
    }

    /// The next message; `None` at the end of the connection.
    pub async fn message(&mut self) -> Result<Option<(u8, Vec<u8>)>, String> {
        loop {
            if let Some(length) = self.buffer.get(1..5) {
                let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
                if self.buffer.len() > length {
                    let mut message: Vec<u8> = self.buffer.drain(..=length).collect();
                    let body = message.split_off(5);
                    return Ok(Some((message[0], body)));
                }
            }
            let mut piece = [0; 8192];
            match self.socket.read(&mut piece).await {
                Ok(0) | Err(_) => return Ok(None),
                Ok(n) => self.buffer.extend_from_slice(&piece[..n]),
            }
        }
    }
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).trim_end_matches(['\0', '\n']).to_owned()
}

fn row(body: &[u8]) -> String {
    let mut values = Vec::new();
    let mut rest = &body[2..];
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let length = i32::from_be_bytes(*length);
        let Ok(length) = usize::try_from(length) else {
            values.push("NULL".to_owned());
            rest = tail;
            continue;
        };
        values.push(text(&tail[..length]));
        rest = &tail[length..];
    }
    values.join(",")
}

fn error(body: &[u8]) -> String {
    let fields = body.split(|b| *b == 0).filter(|f| !f.is_empty());
    let wanted = fields.filter(|f| matches!(f[0], b'S' | b'C' | b'M' | b'P'));
    wanted.map(|f| String::from_utf8_lossy(&f[1..]).into_owned()).collect::<Vec<_>>().join(" ")
}

pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend(body);
    bytes
}

fn hello(version: u32, parameters: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(parameters.len() + 8).unwrap().to_be_bytes().to_vec();
    bytes.extend(version.to_be_bytes());
    bytes.extend(parameters);
    bytes
}

pub fn query(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0").as_bytes())
}

fn parse(name: &str, sql: &str, types: &[u32]) -> Vec<u8> {
    let mut body = format!("{name}\0{sql}\0").into_bytes();
    body.extend(u16::try_from(types.len()).unwrap().to_be_bytes());
    types.iter().for_each(|oid| body.extend(oid.to_be_bytes()));
    message(b'P', &body)
}

fn bind(portal: &str, statement: &str, formats: &[i16], values: &[Option<&[u8]>], results: &[i16]) -> Vec<u8> {
    let mut body = format!("{portal}\0{statement}\0").into_bytes();
    let codes = |body: &mut Vec<u8>, codes: &[i16]| {
        body.extend(u16::try_from(codes.len()).unwrap().to_be_bytes());
        codes.iter().for_each(|code| body.extend(code.to_be_bytes()));
    };
    codes(&mut body, formats);
    body.extend(u16::try_from(values.len()).unwrap().to_be_bytes());
    for value in values {
        body.extend(value.map_or(-1, |v| i32::try_from(v.len()).unwrap()).to_be_bytes());
        body.extend(value.unwrap_or_default());
    }
    codes(&mut body, results);
    message(b'B', &body)
}

fn execute(portal: &str, rows: u32) -> Vec<u8> {
    let mut body = format!("{portal}\0").into_bytes();
    body.extend(rows.to_be_bytes());
    message(b'E', &body)
}

fn run(sql: &str) -> Vec<u8> {
    [parse("", sql, &[]), bind("", "", &[], &[], &[]), execute("", 0)].concat()
}

fn sync() -> Vec<u8> {
    message(b'S', b"")
}

/// `..` in what is expected stands for anything.
pub fn check(got: &str, expected: &str) -> Result<(), String> {
    let mut rest = got;
    let parts: Vec<&str> = expected.split("..").collect();
    for (i, part) in parts.iter().enumerate() {
        let at = if i == 0 { rest.starts_with(part).then_some(0) } else { rest.find(part) };
        let Some(at) = at else { return Err(format!("expected {expected}\n     got {got}")) };
        rest = &rest[at + part.len()..];
    }
    if rest.is_empty() || expected.ends_with("..") {
        Ok(())
    } else {
        Err(format!("expected {expected}\n     got {got}"))
    }
}

async fn startup(database: Arc<Database>) -> Result<(), String> {
    let user = b"user\0tester\0\0";
    for (bytes, expected) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "E[FATAL 08P01 invalid length of startup packet] end"),
        (hello(131_072, user), "E[FATAL 0A000 unsupported frontend protocol 2.0: server supports 3.0] end"),
        (hello(196_608, b"\0"), "E[FATAL 28000 no PostgreSQL user name specified in startup packet] end"),
        (hello(196_608, b"user\0\xff\0\0"), "E[FATAL 22021 invalid byte sequence for encoding \"UTF8\": 0xff] end"),
        (hello(196_608, b"user\0tester"), "E[FATAL 08P01 invalid startup packet layout..] end"),
        (hello(196_608, b"user\0tester\0replication\0true\0\0"), "E[FATAL 0A000 a replication connection..] end"),
        (hello(196_608, b"user\0tester\0TimeZone\0Nowhere\0\0"), "E[FATAL 22023 ..] end"),
        // A newer minor version is negotiated down.
        (hello(196_610, user), "v R Z[I]"),
        // A cancel request for nobody is answered with silence.
        (hello(80_877_102, b"\0\0\0\x01\0\0\0\x02"), "end"),
        (hello(80_877_102, b"\0"), "end"),
    ] {
        let mut wire = Wire::raw(&database).await?;
        let answer = wire.ask(&[bytes]).await?;
        check(&answer, expected)?;
    }
    let mut wire = Wire::raw(&database).await?;
    for request in [80_877_103, 80_877_104] {
        wire.send(&hello(request, b"")).await?;
        let mut no = [0];
        wire.socket.read_exact(&mut no).await.map_err(|e| e.to_string())?;
        check(&text(&no), "N")?;
    }
    check(&wire.ask(&[hello(196_608, user)]).await?, "R Z[I]")
}

async fn malformed_messages(database: Arc<Database>) -> Result<(), String> {
    let too_long = [b"Q".as_slice(), &u32::MAX.to_be_bytes()].concat();
    for (bytes, expected) in [
        (b"\0\x01\x02garbage".to_vec(), "E[FATAL 08P01 invalid frontend message type 0] end"),
        (b"Q\0\0\0\x03".to_vec(), "E[FATAL 08P01 invalid message length] end"),
        (too_long, "E[FATAL 08P01 a message of 4294967295 bytes exceeds the limit of 268435456 bytes] end"),
        (message(b'Q', b"SELECT 1"), "E[ERROR 08P01 invalid string in message] Z[I]"),
        (message(b'Q', b"SELECT 1\0\0"), "E[ERROR 08P01 invalid message format] Z[I]"),
        (
            message(b'Q', b"SELECT '\xc3\x28'\0"),
            "E[ERROR 22021 invalid byte sequence for encoding \"UTF8\": 0xc3] Z[I]",
        ),
        ([message(b'P', b"\0\0\0\x05"), sync()].concat(), "E[ERROR 08P01 insufficient data left in message] Z[I]"),
        ([message(b'B', b"\0\0\xff\xff"), sync()].concat(), "E[ERROR 08P01 insufficient data left in message] Z[I]"),
        (
            [message(b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff"), sync()].concat(),
            "E[ERROR 08P01 insufficient data left in message] Z[I]",
        ),
        ([message(b'D', b"X\0"), sync()].concat(), "E[ERROR 08P01 invalid DESCRIBE message subtype 88] Z[I]"),
        (message(b'F', b"\0\0\0\x01"), "E[ERROR 0A000 the function call interface is not supported] Z[I]"),
        (message(b'p', b"secret\0"), "E[FATAL 08P01 invalid frontend message type 112] end"),
    ] {
        let mut wire = Wire::open(&database).await?;
        let answer = wire.ask(&[bytes]).await?;
        check(&answer, expected)?;
        if !answer.ends_with("end") {
            check(&wire.ask(&[query("SELECT 1")]).await?, "T D[1] C[SELECT 1] Z[I]")?;
        }
    }
    Ok(())
}

async fn wrong_order(database: Arc<Database>) -> Result<(), String> {
    let mut wire = Wire::open(&database).await?;
    for (messages, expected) in [
        (vec![execute("nobody", 0), sync()], "E[ERROR 34000 portal \"nobody\" does not exist] Z[I]"),
        (
            vec![bind("", "nobody", &[], &[], &[]), execute("", 0), sync()],
            "E[ERROR 26000 prepared statement \"nobody\" does not exist] Z[I]",
        ),
        (vec![bind("", "", &[], &[], &[]), sync()], "E[ERROR 26000 unnamed prepared statement does not exist] Z[I]"),
        (vec![message(b'D', b"Pnobody\0"), sync()], "E[ERROR 34000 portal \"nobody\" does not exist] Z[I]"),
        (vec![message(b'C', b"Snobody\0"), sync()], "3 Z[I]"),
        (
            vec![parse("s", "SELECT 1", &[]), parse("s", "SELECT 2", &[]), sync()],
            "1 E[ERROR 42P05 prepared statement \"s\" already exists] Z[I]",
        ),
        (
            vec![parse("", "SELECT 1; SELECT 2", &[]), sync()],
            "E[ERROR 42601 cannot insert multiple commands into a prepared statement] Z[I]",
        ),
        // What is left of a failed COPY is ignored.
        (vec![message(b'd', b"1\n"), message(b'c', b""), sync()], "Z[I]"),
        (
            vec![parse("", "", &[]), bind("", "", &[], &[], &[]), message(b'D', b"P\0"), execute("", 0), sync()],
            "1 2 n I Z[I]",
        ),
    ] {
        check(&wire.ask(&messages).await?, expected)?;
    }
    check(&wire.ask(&[query("")]).await?, "I Z[I]")?;
    check(&wire.ask(&[query(" ; ")]).await?, "I Z[I]")
}

async fn bad_parameters(database: Arc<Database>) -> Result<(), String> {
    let mut wire = Wire::open(&database).await?;
    let one = |value: &'static [u8], format: i16| bind("", "", &[format], &[Some(value)], &[]);
    for (bind, expected) in [
        (
            bind("", "", &[], &[], &[]),
            "E[ERROR 08P01 bind message supplies 0 parameters, but prepared statement \"\" requires 1]",
        ),
        (
            bind("", "", &[0, 0, 0], &[None], &[]),
            "E[ERROR 08P01 bind message has 3 parameter formats but 1 parameters]",
        ),
        (
            bind("", "", &[], &[None], &[0, 0]),
            "E[ERROR 08P01 bind message has 2 result formats but query has 1 columns]",
        ),
        (one(b"abc", 1), "E[ERROR 22P03 incorrect binary data format in bind parameter 1]"),
        (one(b"1", 7), "E[ERROR 22023 unsupported format code: 7]"),
        (one(b"abc", 0), "E[ERROR 22P02 invalid input syntax for type integer: \"abc\"]"),
        (one(b"99999999999", 0), "E[ERROR 22003 value \"99999999999\" is out of range for type integer]"),
        (one(b"\xff", 0), "E[ERROR 22021 invalid byte sequence for encoding \"UTF8\": 0xff]"),
    ] {
        let answer = wire.ask(&[parse("", "SELECT $1 + 1", &[23]), bind, execute("", 0), sync()]).await?;
        check(&answer, &format!("1 {expected} Z[I]"))?;
    }
    let answer = wire.ask(&[parse("", "SELECT $1 + 1", &[23]), one(b"\0\0\0\x29", 1), execute("", 0), sync()]).await?;
    check(&answer, "1 2 D[42] C[SELECT 1] Z[I]")
}

async fn errors_skip_to_sync(database: Arc<Database>) -> Result<(), String> {
    let mut wire = Wire::open(&database).await?;
    let answer = wire.ask(&[run("SELECT 1/0"), run("SELECT 2"), sync(), run("SELECT 3"), sync()]).await?;
    check(&answer, "1 2 E[ERROR 22012 division by zero] Z[I]")?;
    check(&wire.answer().await?, "1 2 D[3] C[SELECT 1] Z[I]")?;
    // A failed block stays failed until it is ended.
    check(&wire.ask(&[query("BEGIN")]).await?, "C[BEGIN] Z[T]")?;
    check(&wire.ask(&[query("SELECT nope")]).await?, "E[ERROR 42703 column \"nope\" does not exist 8] Z[E]")?;
    check(&wire.ask(&[query("SELECT 1")]).await?, "E[ERROR 25P02 ..] Z[E]")?;
    check(&wire.ask(&[run("SELECT 1"), sync()]).await?, "E[ERROR 25P02 ..] Z[E]")?;
    check(&wire.ask(&[query("COMMIT")]).await?, "C[ROLLBACK] Z[I]")
}

async fn portals(database: Arc<Database>) -> Result<(), String> {
    let mut wire = Wire::open(&database).await?;
    let series = "SELECT * FROM generate_series(1, 5)";
    let piece = || execute("", 2);
    let answer = wire
        .ask(&[parse("", series, &[]), bind("", "", &[], &[], &[]), piece(), piece(), piece(), piece(), sync()])
        .await?;
    check(&answer, "1 2 D[1] D[2] s D[3] D[4] s D[5] C[SELECT 1] C[SELECT 0] Z[I]")?;
    // The transaction ended with Sync, and the portal with it; in a block both live on.
    check(&wire.ask(&[piece(), sync()]).await?, "E[ERROR 34000 portal \"\" does not exist] Z[I]")?;
    wire.ask(&[query("BEGIN")]).await?;
    let bound = [parse("s", series, &[]), bind("p", "s", &[], &[], &[]), execute("p", 3), sync()].concat();
    check(&wire.ask(&[bound]).await?, "1 2 D[1] D[2] D[3] s Z[T]")?;
    check(&wire.ask(&[query("SELECT 7")]).await?, "T D[7] C[SELECT 1] Z[T]")?;
    check(&wire.ask(&[execute("p", 3), sync()]).await?, "D[4] D[5] C[SELECT 2] Z[T]")?;
    check(&wire.ask(&[query("COMMIT")]).await?, "C[COMMIT] Z[I]")
}

async fn batches_are_transactions(database: Arc<Database>) -> Result<(), String> {
    let mut wire = Wire::open(&database).await?;
    wire.ask(&[query("CREATE TABLE t (a INT PRIMARY KEY)")]).await?;
    let answer = wire.ask(&[run("INSERT INTO t VALUES (1)"), run("INSERT INTO t VALUES (1)"), sync()]).await?;
    check(&answer, "1 2 C[INSERT 0 1] 1 2 E[ERROR 23505 ..] Z[I]")?;
    check(&wire.ask(&[query("SELECT count(*) FROM t")]).await?, "T D[0] C[SELECT 1] Z[I]")?;
    let answer = wire.ask(&[run("INSERT INTO t VALUES (1)"), run("INSERT INTO t VALUES (2)"), sync()]).await?;
    check(&answer, "1 2 C[INSERT 0 1] 1 2 C[INSERT 0 1] Z[I]")?;
    check(&wire.ask(&[query("SELECT count(*) FROM t")]).await?, "T D[2] C[SELECT 1] Z[I]")
}

async fn simple_batches(database: Arc<Database>) -> Result<(), String> {
    let mut wire = Wire::open(&database).await?;
    wire.ask(&[query("CREATE TABLE t (a INT PRIMARY KEY)")]).await?;
    let answer = wire.ask(&[query("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); SELECT 1/0; SELECT 2")]).await?;
    check(&answer, "C[INSERT 0 1] C[INSERT 0 1] ..E[ERROR 22012 division by zero] Z[I]")?;
    check(&wire.ask(&[query("SELECT count(*) FROM t")]).await?, "T D[0] C[SELECT 1] Z[I]")?;
    // The position is the one in the whole string.
    let answer = wire.ask(&[query("SELECT 'é'; SELECT nope")]).await?;
    check(&answer, "T D[é] C[SELECT 1] E[ERROR 42703 column \"nope\" does not exist 20] Z[I]")
}

async fn copy(database: Arc<Database>) -> Result<(), String> {
    let mut wire = Wire::open(&database).await?;
    let start = || query("COPY t FROM STDIN");
    let data = |text: &str| message(b'd', text.as_bytes());
    let done = || message(b'c', b"");
    wire.ask(&[query("CREATE TABLE t (a INT PRIMARY KEY, b TEXT)")]).await?;
    let answer = wire.ask(&[start(), data("1\tx\n2"), data("\t\\N\n3\ta\\tb\n"), done()]).await?;
    check(&answer, "G C[COPY 3] Z[I]")?;
    let answer = wire.ask(&[query("COPY (SELECT * FROM t ORDER BY a) TO STDOUT")]).await?;
    check(&answer, "H d[1\tx] d[2\t\\N] d[3\ta\\tb] c C[COPY 3] Z[I]")?;
    let answer = wire.ask(&[query("COPY (SELECT * FROM t ORDER BY a) TO STDOUT WITH (FORMAT csv, HEADER)")]).await?;
    check(&answer, "H d[a,b] d[1,x] d[2,] d[3,a\tb] c C[COPY 3] Z[I]")?;
    // Each of these fails as a whole, and the connection goes on.
    for (messages, expected) in [
        (
            vec![start(), data("4\tx\nq\ty\n"), done()],
            "G E[ERROR 22P02 invalid input syntax for type integer: \"q\"] Z[I]",
        ),
        (vec![start(), data("4\n"), done()], "G E[ERROR 22P04 missing data for column \"b\"] Z[I]"),
        (vec![start(), data("4\tx\ty\n"), done()], "G E[ERROR 22P04 extra data after last expected column] Z[I]"),
        (
            vec![start(), data("4\tx\n"), message(b'f', b"tired\0")],
            "G E[ERROR 57014 COPY from stdin failed: tired] Z[I]",
        ),
        (vec![start(), query("SELECT 1")], "G E[ERROR 08P01 unexpected message type 0x51 during COPY from stdin] Z[I]"),
        (vec![start(), data("1\tx\n"), done()], "G E[ERROR 23505 ..] Z[I]"),
    ] {
        check(&wire.ask(&messages).await?, expected)?;
    }
    // The extended protocol; some clients send Sync with the Execute already.
    let answer = wire.ask(&[run("COPY t FROM STDIN"), sync(), data("4\tx\n"), done(), sync()]).await?;
    check(&answer, "1 2 G C[COPY 1] Z[I]")?;
    check(&wire.ask(&[query("SELECT count(*) FROM t")]).await?, "T D[4] C[SELECT 1] Z[I]")
}

async fn cut_off_anywhere(database: Arc<Database>) -> Result<(), String> {
    Wire::open(&database).await?.ask(&[query("CREATE TABLE t (a INT)")]).await?;
    let session = [
        hello(196_608, b"user\0tester\0\0"),
        query("SELECT 1"),
        run("SELECT 2"),
        sync(),
        query("COPY t FROM STDIN"),
        message(b'd', b"1\n"),
    ]
    .concat();
    for end in 0..session.len() {
        let mut wire = Wire::raw(&database).await?;
        wire.send(&session[..end]).await?;
        drop(wire);
    }
    let mut wire = Wire::open(&database).await?;
    check(&wire.ask(&[query("SELECT count(*) FROM t")]).await?, "T D[0] C[SELECT 1] Z[I]")
}

async fn shutdown() -> Result<(), String> {
    let database = Database::start(Mode::One).await?;
    let mut idle = Wire::open(&database).await?;
    let mut busy = Wire::open(&database).await?;
    busy.ask(&[query("CREATE TABLE t (a INT)")]).await?;
    busy.send(&query("COPY (SUBSCRIBE t) TO STDOUT")).await?;
    let (tag, _) = busy.message().await?.ok_or("the connection ended")?;
    check(&char::from(tag).to_string(), "H")?;
    database.stop().await;
    let told = "E[FATAL 57P01 terminating connection due to administrator command] end";
    check(&idle.answer().await?, told)?;
    check(&busy.answer().await?, told)
}

async fn http(database: Arc<Database>) -> Result<(), String> {
    for (path, expected) in [
        ("/health", "HTTP/1.1 200 OK..ok"),
        ("/metrics", "HTTP/1.1 200 OK..highwater_connections 1..highwater_memory_limit_bytes{holder=\"queries\"} .."),
        ("/x", "HTTP/1.1 404.."),
    ] {
        let mut socket = TcpStream::connect(database.http).await.map_err(|e| e.to_string())?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.map_err(|e| e.to_string())?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.map_err(|e| e.to_string())?;
        check(answer.trim_end(), expected)?;
    }
    Ok(())
}
