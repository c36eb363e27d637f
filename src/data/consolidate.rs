//! The net change per row, retractions before insertions.

use arrow::array::{BooleanArray, Int64Array, UInt32Array};
use arrow::datatypes::SchemaRef;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::{Changes, KeyEncoder, hash};
use crate::error::Result;

/// Retractions before insertions, of changes among which no row comes twice.
pub fn ordered(schema: &SchemaRef, parts: Vec<Changes>) -> Result<Changes> {
    let (mut retractions, mut insertions) = (vec![], vec![]);
    for part in parts {
        let negative = part.diffs.as_ref().map_or(0, |d| d.values().iter().filter(|d| **d < 0).count());
        if negative == 0 {
            insertions.push(part);
        } else if negative == part.len() {
            retractions.push(part);
        } else {
            let down: BooleanArray = (0..part.len()).map(|i| Some(part.diff(i) < 0)).collect();
            retractions.push(part.filter(&down)?);
            insertions.push(part.filter(&arrow::compute::not(&down)?)?);
        }
    }
    retractions.append(&mut insertions);
    Changes::concat(schema, &retractions)
}

/// Each row at most once, with its summed weight; rows whose weights cancel out are gone. Retractions come before
/// insertions, each in the order of their first mention. `encoder` is over all columns.
pub fn consolidate(schema: &SchemaRef, encoder: &KeyEncoder, parts: &[Changes]) -> Result<Changes> {
    let all = Changes::concat(schema, parts)?;
    let keys = encoder.encode(&all.rows)?;
    let mut places: HashTable<usize> = HashTable::with_capacity(all.len());
    // Row of the first mention, and weight.
    let mut net: Vec<(u32, i64)> = Vec::with_capacity(all.len());
    for (row, key) in (0..).zip(keys.iter()) {
        let diff = all.diff(row as usize);
        let at = |place: &usize| net[*place].0 as usize;
        match places.entry(hash(key), |place| keys.get(at(place)) == key, |place| keys.hash(at(place))) {
            Entry::Vacant(place) => {
                place.insert(net.len());
                net.push((row, diff));
            }
            Entry::Occupied(place) => {
                let place = *place.get();
                net[place].1 += diff;
            }
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
