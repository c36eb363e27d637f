//! Stores against plain lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::ids::Ids;
use super::index::Index;
use super::{Store, Version};
use crate::data::Changes;
use crate::spill::{Holder, Memory};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true), Field::new("v", DataType::Utf8, true)]))
}

fn batch(rows: &[(Option<i64>, &str)]) -> RecordBatch {
    let k: Int64Array = rows.iter().map(|r| r.0).collect();
    let v: StringArray = rows.iter().map(|r| Some(r.1)).collect();
    RecordBatch::try_new(schema(), vec![Arc::new(k), Arc::new(v)]).unwrap()
}

type Row = (Option<i64>, String);

fn rows(batch: &RecordBatch) -> Vec<Row> {
    let (k, v) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_string::<i32>());
    (0..batch.num_rows()).map(|i| (k.is_valid(i).then(|| k.value(i)), v.value(i).to_owned())).collect()
}

fn all(version: &Version) -> Vec<Row> {
    version.batches().unwrap().iter().flat_map(rows).collect()
}

/// Random epochs of insertions, retractions and deletions by id against a list; every version that was ever sealed keeps
/// its rows, wherever they are.
fn check_against_a_list(seed: u64, key: Option<&[usize]>, memory: &Arc<Memory>) {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut store = Store::new(schema(), key).unwrap().bounded(memory);
    let mut model: BTreeMap<u64, Row> = BTreeMap::new();
    let mut sealed: Vec<(Version, Vec<Row>)> = Vec::new();
    let mut next_key = 0;
    for epoch in 0..60 {
        store.begin();
        let before = model.clone();
        for _ in 0..random.random_range(0..20) {
            if random.random_bool(0.6) {
                let n = if epoch == 7 { 900 } else { random.random_range(1..5) };
                let mut new: Vec<(Option<i64>, &str)> = Vec::new();
                for _ in 0..n {
                    next_key += 1;
                    let k = Some(if key.is_some() { next_key } else { random.random_range(0..9) });
                    new.push((k, ["a", "b", ""][random.random_range(0..3)]));
                }
                let first = store.insert(&batch(&new)).unwrap();
                model.extend((first..).zip(new.into_iter().map(|(k, v)| (k, v.to_owned()))));
            } else if !model.is_empty() {
                let nth = random.random_range(0..model.len());
                let (id, row) = model.iter().nth(nth).map(|(id, row)| (*id, row.clone())).unwrap();
                if random.random_bool(0.5) {
                    assert!(store.delete(id).unwrap());
                    assert!(!store.delete(id).unwrap(), "seed {seed}");
                    model.remove(&id);
                } else {
                    let one = Changes::new(batch(&[(row.0, &row.1)]), Int64Array::from(vec![-1]));
                    assert_eq!(store.apply(&one).unwrap(), 0, "seed {seed}");
                    // One of equal rows goes.
                    let gone = model.iter().find(|(id, r)| **r == row && !store.contains(**id)).map(|(id, _)| *id);
                    model.remove(&gone.unwrap());
                }
            }
        }
        if random.random_bool(0.2) {
            store.rollback().unwrap();
            model = before;
        } else {
            store.commit();
        }
        assert_eq!(store.rows(), model.len(), "seed {seed}");
        let version = store.seal().unwrap();
        sealed.push((version, model.values().cloned().collect()));
        if let [.., (older, before), (newer, after)] = sealed.as_slice() {
            check_difference(older, before, newer, after, epoch % 20 == 0 && epoch > 0);
        }
        if let [(first, before), .., (newer, after)] = &sealed[epoch / 20 * 20..] {
            check_difference(first, before, newer, after, false);
        }
        if epoch % 20 == 19 {
            store = store.rebuilt().unwrap();
        }
        if random.random_bool(0.1) {
            // Readers of any version bring rows back.
            let (version, expected) = &sealed[random.random_range(0..sealed.len())];
            check_lookups(version, expected, key, seed);
        }
    }
    for (version, expected) in &sealed {
        assert_eq!(&all(version), expected, "seed {seed}");
        assert_eq!(version.rows(), expected.len());
    }
    let (version, expected) = sealed.last().unwrap();
    check_lookups(version, expected, key, seed);
}

fn check_lookups(version: &Version, expected: &[Row], key: Option<&[usize]>, seed: u64) {
    for wanted in 0..9 {
        let keys = match key {
            Some(_) => batch(&[(Some(wanted), "")]).project(&[0]).unwrap(),
            None => batch(&[(Some(wanted), "a")]),
        };
        let mut found = rows(&version.lookup(&keys).unwrap());
        let matches = |r: &&Row| r.0 == Some(wanted) && (key.is_some() || r.1 == "a");
        let mut by_scan: Vec<Row> = expected.iter().filter(matches).cloned().collect();
        found.sort();
        by_scan.sort();
        assert_eq!(found, by_scan, "seed {seed}");
    }
}

/// What lies between two versions makes one of the other; versions of two stores cannot be compared.
fn check_difference(older: &Version, before: &[Row], newer: &Version, after: &[Row], other_store: bool) {
    let Some(changes) = newer.since(older).unwrap() else { return assert!(other_store) };
    assert!(!other_store);
    let mut weights: BTreeMap<Row, i64> = BTreeMap::new();
    before.iter().for_each(|row| *weights.entry(row.clone()).or_default() += 1);
    after.iter().for_each(|row| *weights.entry(row.clone()).or_default() -= 1);
    for change in &changes {
        for (i, row) in rows(&change.rows).into_iter().enumerate() {
            *weights.entry(row).or_default() += change.diff(i);
        }
    }
    assert!(weights.values().all(|w| *w == 0));
    // No row is named that is in both.
    let named: usize = changes.iter().map(Changes::len).sum();
    assert!(named <= before.len() + after.len());
    let negative = |c: &Changes| c.diffs.is_some();
    assert!(changes.is_sorted_by_key(|c| !negative(c)), "retractions first");
}

#[test]
fn a_store_is_a_list_with_versions() {
    for seed in 0..4 {
        check_against_a_list(seed, None, &Memory::unbounded());
        check_against_a_list(seed, Some(&[0]), &Memory::unbounded());
    }
}

#[test]
fn a_store_that_is_on_disk_is_a_list_with_versions() {
    let seed = rand::random::<u64>() >> 1;
    println!("seed {seed}");
    // Everything is on disk; what was used lately is not; next to nothing is.
    for (seed, limit) in (seed..).zip([1, 50_000, 400_000]) {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::bounded(limit, folder.path().join("spill")).unwrap();
        for key in [None, Some(&[0][..])] {
            check_against_a_list(seed, key, &memory);
        }
        let usage = memory.usage(Holder::Rows);
        assert_eq!((usage.memory, usage.disk), (0, 0), "seed {seed}");
    }
}

#[test]
fn what_is_on_disk_takes_little_memory_and_is_not_written_twice() {
    let folder = tempfile::tempdir().unwrap();
    let memory = Memory::bounded(1 << 20, folder.path().join("spill")).unwrap();
    let mut store = Store::new(schema(), Some(&[0])).unwrap().bounded(&memory);
    for i in 0..40 {
        let rows: Vec<(Option<i64>, &str)> = (i * 5000..(i + 1) * 5000).map(|k| (Some(k), "some text")).collect();
        store.insert(&batch(&rows)).unwrap();
        store.seal().unwrap();
        assert!(memory.usage(Holder::Rows).memory < 1 << 19);
    }
    let on_disk = memory.usage(Holder::Rows).disk;
    assert!(on_disk > 2 << 20);
    let version = store.seal().unwrap();
    for k in (0..200_000).step_by(9973) {
        let found = version.lookup(&batch(&[(Some(k), "")]).project(&[0]).unwrap()).unwrap();
        assert_eq!(rows(&found), vec![(Some(k), "some text".to_owned())]);
        store.relieve();
        assert!(memory.usage(Holder::Rows).memory < 1 << 20);
    }
    assert!(memory.usage(Holder::Rows).disk <= on_disk + (1 << 19));
}

#[test]
fn ids_are_found_whatever_lies_between_them() {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    for widest in [1, 3, 1 << 9, 1 << 20, 1 << 40] {
        let mut list = vec![random.random_range(0..1000_u64)];
        for _ in 0..random.random_range(0..1000) {
            list.push(list[list.len() - 1] + random.random_range(1..=widest));
        }
        let ids = Ids::of(&list);
        for (position, id) in list.iter().enumerate() {
            assert_eq!((ids.id(position), ids.position(*id)), (*id, Some(position)));
            let next = list.get(position + 1).copied().unwrap_or(u64::MAX);
            if id + 1 < next {
                assert!(ids.position(id + 1).is_none_or(|position| position >= list.len()));
            }
        }
    }
}

#[test]
fn weights_are_copies_and_missing_retractions_are_counted() {
    let mut store = Store::new(schema(), None).unwrap();
    let weighted = |d: Vec<i64>| Changes::new(batch(&[(Some(1), "a"), (None, "b")]), Int64Array::from(d));
    assert_eq!(store.apply(&weighted(vec![3, 1])).unwrap(), 0);
    assert_eq!(store.rows(), 4);
    assert_eq!(store.apply(&weighted(vec![-2, -3])).unwrap(), 2);
    assert_eq!(all(&store.seal().unwrap()), vec![(Some(1), "a".to_owned())]);
}

#[test]
fn many_single_rows_make_few_chunks_and_big_batches_are_not_copied() {
    let mut store = Store::new(schema(), None).unwrap();
    for i in 0..3000 {
        store.insert(&batch(&[(Some(i), "x")])).unwrap();
        store.seal().unwrap();
    }
    assert!(store.seal().unwrap().batches().unwrap().len() < 16);
    let big = batch(&vec![(Some(1), "y"); 8192]);
    store.insert(&big).unwrap();
    let last = store.seal().unwrap().batches().unwrap().pop().unwrap();
    assert_eq!(last.column(0).to_data().buffers()[0].as_ptr(), big.column(0).to_data().buffers()[0].as_ptr());
}

#[test]
fn a_truncated_store_can_be_rolled_back() {
    let mut store = Store::new(schema(), Some(&[0])).unwrap();
    store.insert(&batch(&[(Some(1), "a"), (Some(2), "b")])).unwrap();
    let identity = store.identities(&batch(&[(Some(2), "")])).unwrap()[0];
    assert!(store.find(identity).unwrap().is_some());
    store.begin();
    store.truncate();
    assert_eq!(store.rows(), 0);
    assert!(store.find(identity).unwrap().is_none());
    store.rollback().unwrap();
    assert_eq!(store.rows(), 2);
    assert!(store.find(identity).unwrap().is_some());
}

/// Random changes of an index that moves to disk every now and then, against a map.
fn check_index(seed: u64, unique: bool, memory: &Memory) {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut index = Index::new(unique);
    let mut model: BTreeMap<u128, Vec<u64>> = BTreeMap::new();
    // Few, so that they come again, of all shards.
    let names: Vec<u128> = (0..300).map(|_| random.random()).collect();
    let mut next = 0;
    for _ in 0..60 {
        let gone: Vec<u128> =
            (0..random.random_range(0..40)).map(|_| names[random.random_range(0..names.len())]).collect();
        index.load(&gone).unwrap();
        let mut taken = vec![];
        for name in &gone {
            let ids = model.entry(*name).or_default();
            let live = ids.clone();
            match random.random_bool(0.5) {
                true => {
                    let id = index.take(*name, |id| live.contains(&id));
                    assert_eq!(id.is_some(), !ids.is_empty(), "seed {seed}");
                    if let Some(id) = id {
                        ids.retain(|other| *other != id);
                        taken.push(*name);
                    }
                }
                false => {
                    let Some(id) = ids.pop() else { continue };
                    let live = ids.clone();
                    assert!(index.nth(*name, live.len(), |id| live.contains(&id)).is_none(), "seed {seed}");
                    index.remove(*name, id, |id| live.contains(&id));
                    if random.random_bool(0.2) {
                        index.reinsert(*name, id);
                        ids.push(id);
                    }
                }
            }
        }
        for _ in 0..random.random_range(0..60) {
            let name = names[random.random_range(0..names.len())];
            let ids = model.entry(name).or_default();
            if unique && !ids.is_empty() {
                continue;
            }
            index.fill(name, next);
            ids.push(next);
            next += 1;
        }
        taken.into_iter().for_each(|name| index.sweep(name));
        if random.random_bool(0.4) {
            let before = index.bytes();
            index.shrink(before * random.random_range(0..4) / 4, memory).unwrap();
            assert!(index.bytes() <= before);
        }
    }
    index.load(&names).unwrap();
    for name in names {
        let live = model.remove(&name).unwrap_or_default();
        let is_live = |id| live.contains(&id);
        let mut found: Vec<u64> = (0..live.len() + 1).filter_map(|n| index.nth(name, n, is_live)).collect();
        found.sort_unstable();
        assert_eq!(found, live, "seed {seed}");
    }
}

#[test]
fn an_index_that_moves_to_disk_is_a_map() {
    let seed = rand::random::<u64>() >> 1;
    println!("seed {seed}");
    let folder = tempfile::tempdir().unwrap();
    let memory = Memory::bounded(64 << 20, folder.path().join("spill")).unwrap();
    for seed in seed..seed + 4 {
        check_index(seed, false, &memory);
        check_index(seed, true, &memory);
    }
}

#[test]
fn what_only_an_old_version_has_leaves_memory_too() {
    let folder = tempfile::tempdir().unwrap();
    let memory = Memory::bounded(1, folder.path().join("spill")).unwrap();
    let mut store = Store::new(schema(), Some(&[0])).unwrap().bounded(&memory);
    let all_rows: Vec<(Option<i64>, &str)> = (0..5000).map(|k| (Some(k), "some text")).collect();
    store.insert(&batch(&all_rows)).unwrap();
    let old = store.seal().unwrap();
    // A look-up finds nothing in memory, and leaves nothing there.
    let _ = old.lookup(&batch(&[(Some(3), "")]).project(&[0]).unwrap()).unwrap();
    old.chunks.iter().for_each(|chunk| chunk.data().bring_back().unwrap());
    store.truncate();
    store.seal().unwrap();
    assert!(memory.usage(Holder::Rows).memory < 1000, "{:?}", memory.usage(Holder::Rows));
    assert!(memory.usage(Holder::Rows).disk > 0);
    assert_eq!(all(&old).len(), 5000);
    drop((old, store));
    assert_eq!(memory.usage(Holder::Rows).disk, 0);
}
