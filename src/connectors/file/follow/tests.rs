//! Files that grow, are new, are renamed, and are cut off.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema};

use crate::connectors::tests::lines;
use crate::connectors::{Connector, ConnectorSpec, Read, Reader, build};
use crate::error::Result;

fn followed(path: &Path, encode: &str, columns: &[(&str, DataType)]) -> Arc<dyn Connector> {
    followed_below(None, path, encode, columns)
}

fn followed_below(root: Option<&Path>, path: &Path, encode: &str, columns: &[(&str, DataType)]) -> Arc<dyn Connector> {
    let fields: Vec<_> = columns.iter().map(|(name, of)| Field::new(*name, of.clone(), true)).collect();
    build(&ConnectorSpec {
        connector: "file".into(),
        options: vec![("path".into(), path.display().to_string()), ("follow".into(), "true".into())],
        encode: Some(encode.into()),
        encode_options: Vec::new(),
        declared: (!fields.is_empty()).then(|| Arc::new(Schema::new(fields))),
        file_root: root.map(Path::to_path_buf),
    })
    .unwrap()
}

fn append(path: &Path, text: &str) {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// One read: its rows, the bad records' messages, and the offset behind it.
type Drained = (Vec<String>, Vec<String>, u64);

/// Each read until it waits.
fn drain(reader: &mut dyn Reader) -> Result<Vec<Drained>> {
    let mut reads = Vec::new();
    loop {
        match reader.read(Duration::ZERO)? {
            Read::Rows { rows, bad, next_offset } => {
                reads.push((lines(&rows), bad.into_iter().map(|bad| bad.message).collect(), next_offset));
            }
            Read::Waiting => return Ok(reads),
            Read::End => panic!("a followed file has no end"),
        }
    }
}

/// What the reader gives now, and that a new one reads all of it the same way again.
fn check(connector: &dyn Connector, reader: &mut dyn Reader, all: &mut Vec<Drained>) -> String {
    let new = drain(reader).unwrap();
    all.extend(new.iter().cloned());
    assert_eq!(&drain(connector.open(0, 0).unwrap().as_mut()).unwrap(), all);
    for (at, (_, _, offset)) in all.iter().enumerate() {
        let rest = drain(connector.open(0, *offset).unwrap().as_mut()).unwrap();
        assert_eq!(rest, all[at + 1..]);
    }
    let texts = new.iter().flat_map(|(rows, bad, _)| rows.iter().chain(bad));
    texts.cloned().collect::<Vec<_>>().join(" | ")
}

#[test]
fn growth_and_new_files_are_read_in_the_order_in_which_they_came() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a.log"), dir.path().join("b.log"));
    append(&a, "a1\na2\nhal");
    let connector = followed(&dir.path().join("*.log"), "TEXT", &[]);
    assert!(!connector.bounded() && connector.replayable());
    let mut reader = connector.open(0, 0).unwrap();
    let mut all = Vec::new();
    assert_eq!(check(connector.as_ref(), reader.as_mut(), &mut all), "a1 | a2");
    append(&a, "f\n\n");
    assert_eq!(check(connector.as_ref(), reader.as_mut(), &mut all), "half | ");
    append(&b, "b1\n");
    append(&a, "a5\nx\u{0}\n");
    let found = check(connector.as_ref(), reader.as_mut(), &mut all);
    assert_eq!(found, "a5 | a.log:6: invalid byte sequence for encoding \"UTF8\" | b1");
    append(&a, "a7\n");
    append(&b, "b2\n");
    // Another reader finds it first; ours reads it the same way.
    drain(connector.open(0, 0).unwrap().as_mut()).unwrap();
    assert_eq!(check(connector.as_ref(), reader.as_mut(), &mut all), "a7 | b2");
    assert_eq!(check(connector.as_ref(), reader.as_mut(), &mut all), "");
}

#[test]
fn headers_name_the_columns_of_each_file_and_lines_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let columns = [("n", DataType::Int64), ("t", DataType::Utf8)];
    let connector = followed(&dir.path().join("*.csv"), "CSV", &columns);
    let mut reader = connector.open(0, 0).unwrap();
    let mut all = Vec::new();
    assert_eq!(check(connector.as_ref(), reader.as_mut(), &mut all), "");
    append(&dir.path().join("a.csv"), "n,t\n1,\"x,y\"\n2,");
    append(&dir.path().join("b.csv"), "t\n");
    assert_eq!(check(connector.as_ref(), reader.as_mut(), &mut all), "1,x,y");
    append(&dir.path().join("a.csv"), "z\nthree,\n");
    append(&dir.path().join("b.csv"), "u\n");
    let found = check(connector.as_ref(), reader.as_mut(), &mut all);
    assert!(found.contains("a.csv:4: invalid input syntax for type bigint: \"three\" in column \"n\""), "{found}");
    assert!(found.contains(",u") && found.contains("2,z"), "{found}");
}

#[test]
fn a_renamed_file_is_read_on_and_one_that_is_cut_off_from_its_start() {
    let dir = tempfile::tempdir().unwrap();
    let (log, old) = (dir.path().join("log"), dir.path().join("log.1"));
    append(&log, "1\n");
    let connector = followed(&log, "TEXT", &[]);
    let mut reader = connector.open(0, 0).unwrap();
    let mut all = Vec::new();
    assert_eq!(check(connector.as_ref(), reader.as_mut(), &mut all), "1");
    fs::rename(&log, &old).unwrap();
    append(&old, "2\n");
    append(&log, "3\n");
    assert_eq!(check(connector.as_ref(), reader.as_mut(), &mut all), "2 | 3");
    append(&old, "4\n");
    assert_eq!(check(connector.as_ref(), reader.as_mut(), &mut all), "4");
    // Cut off: what comes is read, what was can not be read again.
    fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(0).unwrap();
    append(&log, "5");
    let found = drain(reader.as_mut()).unwrap();
    assert_eq!(
        found[0].1,
        ["log: the file was cut off: what was not read of it by then is lost, and it is read from its start"]
    );
    append(&log, "\n");
    assert_eq!(drain(reader.as_mut()).unwrap()[0].0, ["5"]);
    let error = drain(connector.open(0, 0).unwrap().as_mut()).unwrap_err();
    assert_eq!((error.code().0, error.message()), ("55000", "file \"log\" is no longer what was read of it before"));
}

#[test]
fn packed_files_among_them_are_reported_once() {
    let dir = tempfile::tempdir().unwrap();
    append(&dir.path().join("log.2.gz"), "x");
    append(&dir.path().join("log"), "1\nlast");
    let connector = followed(&dir.path().join("log*"), "TEXT", &[]);
    let mut reader = connector.open(0, 0).unwrap();
    let mut all = Vec::new();
    assert_eq!(check(connector.as_ref(), reader.as_mut(), &mut all), "log.2.gz: not followed: it is packed | 1");
    // A file that is deleted has no more to come: its last line needs no end.
    fs::remove_file(dir.path().join("log")).unwrap();
    assert_eq!(drain(reader.as_mut()).unwrap()[0].0, ["last"]);
}

#[test]
fn a_link_that_leads_out_of_the_root_does_not_stop_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    append(&dir.path().join("secret"), "secret\n");
    append(&root.join("a.log"), "a1\n");
    std::os::unix::fs::symlink(dir.path().join("secret"), root.join("b.log")).unwrap();
    std::os::unix::fs::symlink(root.join("nowhere"), root.join("c.log")).unwrap();
    let connector = followed_below(Some(&root), &root.join("*.log"), "TEXT", &[]);
    let mut reader = connector.open(0, 0).unwrap();
    let mut all = Vec::new();
    let found = check(connector.as_ref(), reader.as_mut(), &mut all);
    let link = root.join("b.log");
    let refused = format!("b.log: not followed: \"{}\" is outside of the server's file root", link.display());
    assert!(found.contains("a1") && found.contains(&refused), "{found}");
    append(&root.join("a.log"), "a2\n");
    append(&root.join("d.log"), "d1\n");
    assert_eq!(check(connector.as_ref(), reader.as_mut(), &mut all), "a2 | d1");
    // What takes the link's place is followed.
    fs::remove_file(&link).unwrap();
    append(&link, "b1\n");
    assert_eq!(check(connector.as_ref(), reader.as_mut(), &mut all), "b1");
}
