//! Tests of trees, extents and accounts.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::{Extent, Holder, Memory};

fn memory(limit: usize) -> (tempfile::TempDir, Arc<Memory>) {
    let folder = tempfile::tempdir().unwrap();
    let memory = Memory::bounded(limit, folder.path().join("spill")).unwrap();
    (folder, memory)
}

#[test]
fn holders_shrink_in_proportion_when_they_have_too_much() {
    let (_folder, memory) = memory(1600);
    let (mut one, mut two) = (memory.account(Holder::State), memory.account(Holder::Rows));
    assert_eq!((one.hold(500), two.hold(200)), (None, None));
    assert_eq!(two.hold(500), Some(500 * 700 / 1000 * 3 / 4));
    assert!(memory.is_short());
    drop(one);
    assert!(!memory.is_short());
    assert_eq!(memory.usage(Holder::Rows).memory, 500);
    assert_eq!(two.hold(600), None);
}

#[test]
fn rows_come_back_as_they_were_and_their_file_goes_with_them() {
    let (folder, memory) = memory(1 << 20);
    let column: Int64Array = (0..100).map(|i| (i % 7 != 0).then_some(i)).collect();
    let rows = RecordBatch::try_from_iter([("a", Arc::new(column) as _)]).unwrap();
    let extent = Extent::write(&memory, &rows).unwrap();
    assert_eq!(extent.read().unwrap(), rows);
    assert!(extent.bytes() > 800);
    drop(extent);
    // Of several blocks.
    let column: Int64Array = (0..50_000).map(|i| (i % 7 != 0).then_some(i)).collect();
    let rows = RecordBatch::try_from_iter([("a", Arc::new(column) as _)]).unwrap();
    let extent = Extent::write(&memory, &rows).unwrap();
    assert_eq!(extent.read().unwrap(), rows);
    for positions in [vec![], vec![49_999], vec![40_000, 3, 8191, 8192, 3]] {
        let taken = take_record_batch(&rows, &UInt32Array::from(positions.clone())).unwrap();
        assert_eq!(extent.take(&positions).unwrap(), taken);
    }
    drop(extent);
    assert_eq!(std::fs::read_dir(folder.path().join("spill")).unwrap().count(), 0);
}

#[test]
fn a_tree_is_a_sorted_map_and_its_snapshots_stay() {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let (folder, memory) = memory(64 << 20);
    let mut tree = memory.tree().unwrap();
    let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut held = vec![];
    for round in 0..60_u32 {
        let mut run: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
        for _ in 0..random.random_range(1..200) {
            let key = random.random_range(0..500_u32).to_be_bytes().to_vec();
            run.insert(key, random.random_bool(0.7).then(|| round.to_be_bytes().repeat(random.random_range(0..9))));
        }
        tree.write(run.iter().map(|(k, v)| (k.as_slice(), v.as_deref()))).unwrap();
        for (key, value) in run {
            match value {
                Some(value) => model.insert(key, value),
                None => model.remove(&key),
            };
        }
        if random.random_bool(0.2) {
            held.push((tree.snapshot(), model.clone()));
        }
        let key = random.random_range(0..500_u32).to_be_bytes();
        let found = tree.get(&key).unwrap();
        assert_eq!(found.as_deref(), model.get(key.as_slice()).map(Vec::as_slice));
    }
    held.push((tree.snapshot(), model));
    drop(tree);
    let first = 100_u32.to_be_bytes();
    for (snapshot, model) in held {
        let all: Vec<_> = snapshot.from(&first).unwrap().map(|entry| entry.unwrap()).collect();
        let all: Vec<(&[u8], &[u8])> = all.iter().map(|(k, v)| (&**k, &**v)).collect();
        let wanted: Vec<(&[u8], &[u8])> =
            model.range(first.to_vec()..).map(|(k, v)| (k.as_slice(), v.as_slice())).collect();
        assert_eq!(all, wanted);
    }
    drop(memory);
    assert!(std::fs::read_dir(folder.path()).unwrap().count() <= 1);
}
