//! Shapes a transaction's changes: nets them per row, merges small batches, cuts big ones.

use std::collections::HashMap;

use arrow::array::UInt32Array;
use xxhash_rust::xxh3::xxh3_128;

use crate::data::{Arrival, Changes, KeyEncoder, Late};
use crate::error::Result;

/// Cancels opposite changes of equal rows; what is left keeps its order. A transaction that only inserts is left alone.
pub(super) fn net(changes: Vec<Changes>) -> Result<Vec<Changes>> {
    if changes.iter().all(|c| c.diffs.is_none()) {
        return Ok(changes);
    }
    let Some(first) = changes.first() else { return Ok(changes) };
    let schema = first.rows.schema();
    let all = Changes { arrival: Arrival::OnTime, ..Changes::concat(&schema, &changes)? };
    let columns: Vec<usize> = (0..schema.fields().len()).collect();
    let keys = KeyEncoder::exact(&schema, &columns)?.encode(&all.rows)?;
    let mut left: Vec<u32> = Vec::with_capacity(all.len());
    let mut cancelled = vec![false; all.len()];
    let mut open: HashMap<u128, Vec<u32>> = HashMap::new();
    for (i, key) in (0u32..).zip(keys.iter()) {
        let stack = open.entry(xxh3_128(key)).or_default();
        match stack.last() {
            Some(&other) if all.diff(other as usize).signum() != all.diff(i as usize).signum() => {
                cancelled[other as usize] = true;
                cancelled[i as usize] = true;
                stack.pop();
            }
            Some(_) | None => stack.push(i),
        }
    }
    left.extend((0u32..).zip(&cancelled).filter(|(_, c)| !**c).map(|(i, _)| i));
    if left.is_empty() {
        return Ok(vec![]);
    }
    let mut netted = if left.len() == all.len() { all } else { all.take(&UInt32Array::from(left))? };
    if netted.diffs.as_ref().is_some_and(|d| d.values().iter().all(|d| *d == 1)) {
        netted.diffs = None;
    }
    Ok(vec![netted])
}

/// Batches for the workers: small neighbours merged, large ones cut so that there is work for every worker.
pub(super) fn shape(changes: &[Changes], batch_rows: usize, peers: usize) -> Result<Vec<Changes>> {
    let merged = merge_small(changes)?;
    let rows: usize = merged.iter().map(Changes::len).sum();
    // Below some thousand rows a hand-over costs more than it saves.
    let share = rows.div_ceil(peers.max(1)).max(1024);
    let piece = share.min(batch_rows).max(1);
    Ok(merged.iter().flat_map(|c| cut(c, if batch_rows == 1 { 1 } else { piece })).collect())
}

fn cut(changes: &Changes, rows: usize) -> Vec<Changes> {
    if changes.len() <= rows {
        return vec![changes.clone()];
    }
    // Equal parts, so that the last is no dwarf.
    let parts = changes.len().div_ceil(rows);
    let rows = changes.len().div_ceil(parts);
    (0..changes.len()).step_by(rows).map(|at| changes.slice(at, rows.min(changes.len() - at))).collect()
}

const SMALL: usize = 512;

fn merge_small(changes: &[Changes]) -> Result<Vec<Changes>> {
    let mut merged: Vec<Changes> = Vec::new();
    let mut group: Vec<Changes> = Vec::new();
    for change in changes.iter().filter(|c| !c.is_empty()) {
        let joins = change.len() < SMALL && group.last().is_none_or(|last| mergeable(last, change));
        if !joins {
            merged.extend(merge(std::mem::take(&mut group))?);
        }
        if change.len() < SMALL {
            group.push(change.clone());
        } else {
            merged.push(change.clone());
        }
    }
    merged.extend(merge(group)?);
    Ok(merged)
}

fn mergeable(a: &Changes, b: &Changes) -> bool {
    match (&a.arrival, &b.arrival) {
        (Arrival::OnTime, Arrival::OnTime) => true,
        (Arrival::Late { partition: a, .. }, Arrival::Late { partition: b, .. }) => a == b,
        (Arrival::OnTime | Arrival::Late { .. } | Arrival::Settled, _) => false,
    }
}

fn merge(group: Vec<Changes>) -> Result<Option<Changes>> {
    if group.len() < 2 {
        return Ok(group.into_iter().next());
    }
    let arrival = match &group[0].arrival {
        Arrival::Late { partition, .. } => {
            let (mut late, mut rows) = (Late::default(), 0);
            for changes in &group {
                if let Arrival::Late { rows: more, .. } = &changes.arrival {
                    late.append(more, rows);
                }
                rows += changes.len();
            }
            Arrival::of(*partition, late)
        }
        other => other.clone(),
    };
    Ok(Some(Changes { arrival, ..Changes::concat(&group[0].rows.schema(), &group)? }))
}
