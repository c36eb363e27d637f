//! The net change per row.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use arrow::array::{Int64Array, UInt32Array};
use arrow::datatypes::SchemaRef;

use crate::data::{Changes, KeyEncoder};
use crate::error::Result;

/// Each row at most once, with its summed weight; rows whose weights cancel out are gone. Retractions come before
/// insertions, each in the order of their first mention. `encoder` is over all columns.
pub(super) fn consolidate(schema: &SchemaRef, encoder: &KeyEncoder, parts: &[Changes]) -> Result<Changes> {
    let all = Changes::concat(schema, parts)?;
    let keys = encoder.encode(&all.rows)?;
    let mut places: HashMap<&[u8], usize> = HashMap::with_capacity(all.len());
    let mut net: Vec<(u32, i64)> = Vec::with_capacity(all.len());
    for (row, key) in (0..).zip(keys.iter()) {
        let diff = all.diff(row as usize);
        match places.entry(key) {
            Entry::Vacant(place) => {
                place.insert(net.len());
                net.push((row, diff));
            }
            Entry::Occupied(place) => net[*place.get()].1 += diff,
        }
    }
    if all.diffs.is_none() && net.len() == all.len() {
        return Ok(all);
    }
    let negative = net.iter().filter(|(_, diff)| *diff < 0);
    let ordered = negative.chain(net.iter().filter(|(_, diff)| *diff > 0));
    let (rows, diffs): (Vec<u32>, Vec<i64>) = ordered.copied().unzip();
    let rows = all.take(&UInt32Array::from(rows))?.rows;
    Ok(Changes::settled(rows, Some(Int64Array::from(diffs))))
}
