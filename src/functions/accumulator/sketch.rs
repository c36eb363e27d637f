//! approx_distinct: HyperLogLog that can be taken back.
//!
//! A value's stable hash names one of 4096 registers, and a rank: how many zeros follow, and one. The estimate depends only
//! on the highest rank in each register, so on the set of values and on nothing else. Rows are counted per register and
//! rank; when the last row of the highest rank goes, the next one shows. So a view and a query run once agree exactly, and
//! a group's memory is bounded. The standard error is 1.6 %.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, UInt32Type};
use hashbrown::HashMap;

use super::lists::{lists, unlist};
use super::{Cells, Finished, Rows};
use crate::data::KeyEncoder;
use crate::error::Result;

/// Bits of a hash that name a register.
const BITS: u32 = 12;
const REGISTERS: usize = 1 << BITS;
/// Ranks go from 1 to this.
const RANKS: usize = (64 - BITS + 1) as usize;

/// The sketches of a column of groups.
pub(super) struct Sketch {
    encoder: KeyEncoder,
    /// Per entry: rows by place, which is `register * 64 + rank`.
    places: Vec<HashMap<u32, i64>>,
}

fn place(hash: u64) -> u32 {
    let register = (hash >> (64 - BITS)) as u32;
    let rank = (hash << BITS).leading_zeros().min(64 - BITS) + 1;
    register * 64 + rank
}

impl Sketch {
    pub fn new(input: &DataType) -> Result<Self> {
        let schema = Schema::new(vec![Field::new("v", input.clone(), true)]);
        Ok(Self { encoder: KeyEncoder::new(&schema, &[0])?, places: vec![] })
    }

    fn add(&mut self, entry: u32, place: u32, diff: i64) {
        let count = self.places[entry as usize].entry(place).or_insert(0);
        *count += diff;
        if *count == 0 {
            self.places[entry as usize].remove(&place);
        }
    }

    /// How many registers have which highest rank; 0: none.
    fn ranks(&self, entry: u32) -> [u32; RANKS + 1] {
        let mut highest = [0_u8; REGISTERS];
        for (&place, &count) in &self.places[entry as usize] {
            let register = &mut highest[(place / 64) as usize];
            if count > 0 {
                *register = (*register).max((place % 64) as u8);
            }
        }
        let mut ranks = [0; RANKS + 1];
        highest.iter().for_each(|r| ranks[usize::from(*r)] += 1);
        ranks
    }
}

/// Ertl's estimator, which needs no correction for small or large sets.
fn estimate(ranks: &[u32; RANKS + 1]) -> f64 {
    let m = REGISTERS as f64;
    let mut z = m * tau((m - f64::from(ranks[RANKS])) / m);
    for &rank in ranks[1..RANKS].iter().rev() {
        z = (z + f64::from(rank)) / 2.0;
    }
    z += m * sigma(f64::from(ranks[0]) / m);
    m * m / (2.0 * std::f64::consts::LN_2) / z
}

/// `x + sum of x^(2^k) * 2^(k-1)` for k from 1 on.
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut weight, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * weight;
        weight += weight;
        if z == before {
            return z;
        }
    }
}

/// `(1 - x - sum of (1 - x^(2^-k))^2 * 2^-k) / 3` for k from 1 on.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut weight, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        weight /= 2.0;
        z -= (1.0 - x) * (1.0 - x) * weight;
        if z == before {
            return z / 3.0;
        }
    }
}

impl Cells for Sketch {
    fn resize(&mut self, entries: usize) {
        self.places.resize(entries, HashMap::new());
    }

    fn reset(&mut self, entry: u32) {
        self.places[entry as usize] = HashMap::new();
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let keys = self.encoder.encode_columns(&rows.arguments[..1], rows.entries.len())?;
        rows.each(|i, e, d| self.add(e, place(keys.hash(i)), d));
        Ok(())
    }

    fn finish(&self, entries: &[u32]) -> Result<Finished> {
        let column: Int64Array = entries.iter().map(|&e| estimate(&self.ranks(e)).round() as i64).collect();
        Ok(Finished::fine(Arc::new(column)))
    }

    fn bytes(&self) -> usize {
        self.places.iter().map(|p| p.capacity() * 17 + size_of::<HashMap<u32, i64>>()).sum()
    }

    fn dump(&self, entries: &[u32]) -> Result<Vec<ArrayRef>> {
        let (mut index, mut places, mut counts) = (vec![], vec![], vec![]);
        for (i, &e) in entries.iter().enumerate() {
            for (&place, &count) in &self.places[e as usize] {
                index.push(i as u32);
                places.push(place);
                counts.push(count);
            }
        }
        let places = UInt32Array::from(places);
        lists(entries.len(), &index, vec![Arc::new(places)], counts)
    }

    fn merge(&mut self, entries: &[u32], columns: &mut dyn Iterator<Item = ArrayRef>) -> Result<()> {
        let (entries, places, counts) = unlist(entries, 1, columns)?;
        let places = places[0].as_primitive::<UInt32Type>().values();
        entries.iter().zip(places).zip(counts).for_each(|((&e, &p), n)| self.add(e, p, n));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::hash;

    fn of(values: std::ops::Range<u64>) -> [u32; RANKS + 1] {
        let mut highest = vec![0_u32; REGISTERS];
        for v in values {
            let place = place(hash(&v.to_le_bytes()));
            let register = &mut highest[(place / 64) as usize];
            *register = (*register).max(place % 64);
        }
        let mut ranks = [0; RANKS + 1];
        highest.iter().for_each(|r| ranks[*r as usize] += 1);
        ranks
    }

    #[test]
    fn estimates_are_near() {
        assert_eq!(estimate(&of(0..0)), 0.0);
        assert_eq!(estimate(&of(0..5)).round(), 5.0);
        for n in [100, 1_000, 10_000, 100_000, 1_000_000] {
            let off = estimate(&of(0..n)) / n as f64 - 1.0;
            assert!(off.abs() < 0.05, "{n}: {off}");
        }
    }
}
