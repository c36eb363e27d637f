//! Sockets over the loopback address.

use std::io::{Read as _, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema};

use crate::connectors::tests::lines;
use crate::connectors::{BadRecord, Connector, ConnectorSpec, Read, Reader, build};
use crate::data::types;

fn spec(options: &[(&str, &str)], encode: &str, columns: &[(&str, DataType)]) -> ConnectorSpec {
    let fields: Vec<_> = columns.iter().map(|(name, of)| Field::new(*name, of.clone(), true)).collect();
    ConnectorSpec {
        connector: "socket".into(),
        options: options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        encode: Some(encode.into()),
        encode_options: Vec::new(),
        declared: (!fields.is_empty()).then(|| Arc::new(Schema::new(fields))),
        file_root: None,
    }
}

fn listening(encode: &str, columns: &[(&str, DataType)]) -> (Arc<dyn Connector>, String) {
    let connector = build(&spec(&[("listen", "localhost:0")], encode, columns)).unwrap();
    let address = connector.address().unwrap();
    (connector, address)
}

/// Sends, and waits until the other side has read it all and closed.
fn send(address: &str, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let _ = stream.read_to_end(&mut Vec::new());
}

/// Reads until so many records, good or bad, have come.
fn take(reader: &mut dyn Reader, records: u64) -> (Vec<String>, Vec<BadRecord>) {
    let (mut found, mut all_bad) = (Vec::new(), Vec::new());
    loop {
        if let Read::Rows { rows, bad, next_offset } = reader.read(Duration::from_millis(50)).unwrap() {
            found.extend(lines(&rows));
            all_bad.extend(bad);
            if next_offset >= records {
                return (found, all_bad);
            }
        }
    }
}

/// Reads on until a sender has seen its end; nothing more comes.
fn finish(reader: &mut dyn Reader, sender: JoinHandle<()>) {
    while !sender.is_finished() {
        assert!(matches!(reader.read(Duration::from_millis(5)).unwrap(), Read::Waiting));
    }
    sender.join().unwrap();
}

#[test]
fn several_clients_are_read_and_half_lines_reported() {
    let (connector, address) = listening("TEXT", &[]);
    let mut reader = connector.open(0, 0).unwrap();
    let senders: Vec<_> = [&b"a\n\nb\r\n"[..], b"c\xff\nd\nhal", b"e\n"]
        .map(|bytes| {
            let address = address.clone();
            std::thread::spawn(move || send(&address, bytes))
        })
        .into_iter()
        .collect();
    let (mut found, bad) = take(reader.as_mut(), 7);
    senders.into_iter().for_each(|sender| finish(reader.as_mut(), sender));
    found.sort();
    assert_eq!(found, ["", "a", "b", "d", "e"]);
    let mut why: Vec<_> = bad.iter().map(|bad| (bad.code.0, bad.message.splitn(3, ':').nth(2).unwrap())).collect();
    why.sort_unstable();
    assert_eq!(
        why,
        [
            ("22021", "1: invalid byte sequence for encoding \"UTF8\""),
            ("22P04", "3: the connection ended within a line"),
        ]
    );
    assert!(matches!(reader.read(Duration::ZERO).unwrap(), Read::Waiting));
}

#[test]
fn a_line_that_is_too_long_is_one_bad_record() {
    let (connector, address) = listening("TEXT", &[]);
    let mut reader = connector.open(0, 0).unwrap();
    let sender = std::thread::spawn(move || {
        send(&address, &[b"a\n".to_vec(), vec![b'x'; 5 << 20], b"\nb\n".to_vec()].concat());
    });
    let (found, bad) = take(reader.as_mut(), 3);
    finish(reader.as_mut(), sender);
    assert_eq!(found, ["a", "b"]);
    assert_eq!((bad.len(), bad[0].code.0), (1, "54000"));
    assert!(
        bad[0].message.ends_with(":2: the line is too long: a record has at most 4 MiB") && bad[0].record.len() < 4096
    );
}

#[test]
fn csv_with_a_header_names_the_columns_on_each_connection() {
    let columns = [("n", DataType::Int64), ("t", types::timestamp())];
    let mut spec = spec(&[("listen", "127.0.0.1:0")], "CSV", &columns);
    spec.encode_options = vec![("header".into(), "true".into())];
    let connector = build(&spec).unwrap();
    let address = connector.address().unwrap();
    let mut reader = connector.open(0, 0).unwrap();
    let sender = std::thread::spawn(move || {
        send(&address, b"t,n\n2026-01-01 10:00:00,1\n,2,3\n");
        send(&address, b"n\n4\nfive\n");
    });
    let (found, bad) = take(reader.as_mut(), 4);
    finish(reader.as_mut(), sender);
    assert_eq!(found, ["1,2026-01-01T10:00:00", "4,"]);
    assert_eq!(bad.iter().map(|bad| bad.code.0).collect::<Vec<_>>(), ["22P04", "22P02"]);
}

#[test]
fn a_connection_is_made_again_when_it_ends() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    let connector = build(&spec(&[("connect", &address)], "JSON", &[("n", DataType::Int64)])).unwrap();
    let mut reader = connector.open(0, 0).unwrap();
    let serve = std::thread::spawn(move || {
        for text in ["{\"n\": 1}\n{\"n\"", "{\"n\": 2}\n"] {
            let (mut stream, _) = server.accept().unwrap();
            stream.write_all(text.as_bytes()).unwrap();
        }
    });
    let (found, bad) = take(reader.as_mut(), 3);
    serve.join().unwrap();
    assert_eq!(found, ["1", "2"]);
    assert_eq!(bad[0].message, format!("{address}:2: the connection ended within a line"));
    // Nobody listens any more.
    while connector.trouble().is_none_or(|trouble| !trouble.contains("refused")) {
        assert!(matches!(reader.read(Duration::from_millis(20)).unwrap(), Read::Waiting));
    }
}

#[test]
fn a_reader_gives_the_address_on() {
    let (connector, address) = listening("TEXT", &[]);
    drop(connector.open(0, 0).unwrap());
    let mut reader = connector.open(0, 0).unwrap();
    let sender = std::thread::spawn(move || send(&address, b"x\n"));
    assert_eq!(take(reader.as_mut(), 1).0, ["x"]);
    finish(reader.as_mut(), sender);
}

#[test]
fn what_does_not_fit_is_refused() {
    let code = |options: &[(&str, &str)], encode: &str, columns: &[(&str, DataType)]| {
        let error = build(&spec(options, encode, columns)).unwrap_err();
        format!("{} {} / {}", error.code().0, error.message(), error.parts().hint.clone().unwrap_or_default())
    };
    let listen = [("listen", "127.0.0.1:0")];
    assert_eq!(
        code(&[("listen", "0.0.0.0:9000")], "TEXT", &[]),
        "0A000 listening on 0.0.0.0:9000, which is not a loopback address, is not supported / \
         There is no authentication yet: listen on 127.0.0.1 or [::1]."
    );
    assert!(code(&[("listen", "9000")], "TEXT", &[]).starts_with("22023 invalid address \"9000\""));
    assert!(code(&[("connect", "host")], "TEXT", &[]).starts_with("22023 invalid value for option \"connect\""));
    assert!(code(&[], "TEXT", &[]).starts_with("22023 connector \"socket\" needs option"));
    assert!(code(&[("listen", "[::1]:0"), ("connect", "a:1")], "TEXT", &[]).contains("not both"));
    assert!(code(&[("lisen", "127.0.0.1:0")], "TEXT", &[]).ends_with("Perhaps you meant \"listen\"."));
    assert!(code(&listen, "PARQUET", &[]).starts_with("0A000 ENCODE PARQUET of connector \"socket\""));
    assert!(code(&listen, "JSON", &[]).starts_with("42P16 the columns of a socket have to be declared"));
    assert!(code(&listen, "TEXT", &[("n", DataType::Int32)]).starts_with("42P16 ENCODE TEXT has one column"));
    let taken = build(&spec(&listen, "TEXT", &[])).unwrap();
    let again = [("listen", taken.address().unwrap())].map(|(name, value)| (name, value));
    assert!(code(&[(again[0].0, &again[0].1)], "TEXT", &[]).starts_with("58030 could not listen on"));
}
