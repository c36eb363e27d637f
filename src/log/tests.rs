//! The log against damage.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};

use super::frame::{MAGIC, write_packed};
use super::{
    Ddl, EpochRecord, Fault, InputLog, JoinRecord, LateOrigin, MemoryLog, Position, Record, SourceEnd, SourceRange,
    TableChanges, WatermarkMove, read,
};
use crate::data::{Arrival, Changes, Epoch, EventTime, Late, ObjectId, Partition, RowRanges};

fn changes() -> Changes {
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
    let rows = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![Some(1), None]))]).unwrap();
    let arrival = Arrival::of(partition(), Late::from_column(&Int64Array::from(vec![i64::MIN, 7])));
    Changes { rows, diffs: Some(Int64Array::from(vec![-1, 2])), arrival }
}

fn partition() -> Partition {
    Partition { source: ObjectId(9), index: 1 }
}

fn records() -> Vec<Record> {
    let range = SourceRange {
        partition: partition(),
        from: Position { offset: 3, skip: 1 },
        to: Position { offset: 5, skip: 0 },
        rows: 4,
        ahead: RowRanges::default(),
    };
    let on_time = Changes::insertions(changes().rows);
    let table = TableChanges { object: ObjectId(8), partition: 0, changes: vec![changes(), on_time] };
    vec![
        Record::Ddl(Ddl { epoch: Epoch(1), dropped: vec![ObjectId(3)], payload: b"CREATE".to_vec() }),
        Record::Join(JoinRecord { view: ObjectId(4), epoch: Epoch(1), caught_up: vec![range.clone()] }),
        Record::Epoch(EpochRecord {
            epoch: Epoch(2),
            tables: vec![table.clone()],
            ranges: vec![range],
            rows: vec![table.clone()],
            moves: vec![WatermarkMove { partition: partition(), at_least: EventTime::MIN, idle: true }],
            ends: vec![SourceEnd { partition: partition(), fingerprint: "17 bytes".into() }],
            late: vec![LateOrigin { view: ObjectId(4), epoch: Epoch(1) }],
            faults: vec![Fault {
                object: ObjectId(9),
                operator: "source".into(),
                code: "22P02".into(),
                message: "no JSON".into(),
                row: "{\"é".into(),
            }],
        }),
        Record::Leave { view: ObjectId(4), epoch: Epoch(3), missed: Epoch(2), kept: true },
        Record::Pause { view: ObjectId(4), epoch: Epoch(3), reason: Some("asked for".into()), kept: true },
        Record::Pause { view: ObjectId(4), epoch: Epoch(3), reason: None, kept: false },
        Record::Settings { epoch: Epoch(3), payload: b"{}".to_vec() },
        Record::Values { epoch: Epoch(3), rows: table },
        Record::Decisions { epoch: Epoch(3), object: ObjectId(9), payload: b"a.csv".to_vec() },
    ]
}

fn log(keep: bool) -> MemoryLog {
    let mut log = MemoryLog::new(keep);
    for record in records() {
        log.append(&record).unwrap();
    }
    log
}

#[test]
fn what_was_written_is_read() {
    let bytes = log(true).read_from(Epoch(0)).unwrap();
    let read: Vec<Record> = read(&bytes).unwrap().map(Result::unwrap).collect();
    assert_eq!(format!("{read:?}"), format!("{:?}", records()));
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let bytes = log(true).read_from(Epoch(0)).unwrap();
    let whole = records().len();
    let good = |bytes: &[u8]| read(bytes).map(|frames| frames.take_while(Result::is_ok).count()).unwrap_or(0);
    assert_eq!(good(&bytes), whole);
    for at in (0..bytes.len()).step_by(3) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(good(&damaged) < whole, "byte {at}");
    }
    for length in (8..bytes.len()).step_by(5) {
        assert!(good(&bytes[..length]) < whole, "cut at {length}");
    }
}

#[test]
fn damage_is_reported_with_its_place() {
    let mut bytes = log(true).read_from(Epoch(0)).unwrap();
    bytes[30] ^= 1;
    let error = read(&bytes).unwrap().next().unwrap().unwrap_err();
    assert_eq!(error.message(), "the input log is damaged at byte 8: the checksum does not match");
    bytes[8] = 77;
    let error = read(&bytes).unwrap().next().unwrap().unwrap_err();
    assert_eq!(error.message(), "the input log is damaged at byte 8: record version 77 is unknown");
    assert!(read(b"something else").is_err());
}

#[test]
fn a_log_is_cut_unless_it_is_kept() {
    let mut cut = log(false);
    let before = cut.bytes();
    cut.cut(Epoch(3)).unwrap();
    assert!(cut.bytes() < before);
    let later = records().iter().filter(|record| record.epoch() >= Epoch(3)).count();
    assert_eq!(read(&cut.read_from(Epoch(0)).unwrap()).unwrap().count(), later);
    let mut kept = log(true);
    kept.cut(Epoch(3)).unwrap();
    assert_eq!(kept.bytes(), before);
}

#[test]
fn a_long_record_is_packed_and_read_back() {
    let payload: Vec<u8> = (0..100_000_u32).map(|i| (i % 1000) as u8).collect();
    let record = Record::Ddl(Ddl { epoch: Epoch(1), dropped: vec![ObjectId(3)], payload: payload.clone() });
    let mut bytes = MAGIC.to_vec();
    write_packed(&record, &mut crate::data::Packer::new().unwrap(), &mut bytes).unwrap();
    assert!(bytes.len() < payload.len() / 4, "{} bytes", bytes.len());
    let mut again: Vec<Record> = read(&bytes).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(format!("{:?}", again.remove(0)), format!("{record:?}"));
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        let error = match read(&flipped) {
            Ok(mut frames) => frames.next().unwrap().unwrap_err(),
            Err(error) => error,
        };
        assert!(error.message().contains("input log"), "byte {at}: {error}");
    }
}
