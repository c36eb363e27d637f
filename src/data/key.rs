//! Key bytes, their stable hash, and the 256 buckets.
//!
//! Key bytes are Arrow's row format of the key columns' [key forms](super::key_form()): NULL is a value, and equal values have
//! equal bytes. The hash is XXH3 (64 bit, seed 0) over these bytes: fixed, so that a bucket means the same in every
//! process and every version.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::Schema;
use arrow::row::{RowConverter, Rows, SortField};
use xxhash_rust::xxh3::xxh3_64;

use super::key_form::{key_form, varies};
use super::words::to_words;
use crate::error::Result;

/// Number of hash ranges of keys. Buckets map to workers; snapshots are kept per bucket.
pub const BUCKETS: usize = 256;

/// One of [`BUCKETS`] fixed hash ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(pub u8);

/// The stable hash of key bytes.
pub fn hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

impl Bucket {
    /// The bucket of a key hash: its top eight bits.
    pub fn of(hash: u64) -> Self {
        Self((hash >> 56) as u8)
    }

    /// The worker that owns this bucket: contiguous ranges of buckets, so that more workers split ranges.
    pub fn worker(self, workers: usize) -> usize {
        usize::from(self.0) * workers / BUCKETS
    }
}

/// Makes key bytes of some columns of batches of one schema, and columns of key bytes.
///
/// Two rows have equal bytes exactly when their keys are equal as SQL's GROUP BY sees it: NULL equals NULL, `-0.0` equals
/// `0.0`, `1 mon` equals `30 days`. The bytes order as the columns do (jsonb's as text), ascending, NULLs first.
#[derive(Debug)]
pub struct KeyEncoder {
    columns: Vec<usize>,
    converter: RowConverter,
    /// Whether some column's key form is another than the column.
    varies: bool,
}

impl KeyEncoder {
    /// For these columns of a schema. None: the empty key, the same for all rows.
    pub fn new(schema: &Schema, columns: &[usize]) -> Result<Self> {
        let varies = columns.iter().any(|&c| varies(schema.field(c).data_type()));
        Ok(Self { varies, ..Self::exact(schema, columns)? })
    }

    /// The same, but that only what is the same bit for bit has equal bytes: for what tells rows apart.
    pub fn exact(schema: &Schema, columns: &[usize]) -> Result<Self> {
        let fields = columns.iter().map(|&c| SortField::new(schema.field(c).data_type().clone())).collect();
        Ok(Self { columns: columns.to_vec(), converter: RowConverter::new(fields)?, varies: false })
    }

    /// The key of every row of a batch.
    pub fn encode(&self, batch: &RecordBatch) -> Result<Keys> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|&c| Arc::clone(batch.column(c))).collect();
        self.encode_columns(&columns, batch.num_rows())
    }

    /// The key of every one of `len` rows, from the key columns alone, in the encoder's order.
    pub fn encode_columns(&self, columns: &[ArrayRef], len: usize) -> Result<Keys> {
        if columns.is_empty() {
            return Ok(Keys { rows: None, len });
        }
        if self.varies {
            let columns = columns.iter().map(key_form).collect::<Result<Vec<_>>>()?;
            return Ok(Keys { rows: Some(self.converter.convert_columns(&columns)?), len });
        }
        Ok(Keys { rows: Some(self.converter.convert_columns(columns)?), len })
    }

    /// The stable hash of the key of every row of a batch.
    pub fn hashes(&self, batch: &RecordBatch) -> Result<Vec<u64>> {
        if let [column] = self.columns[..] {
            let column = batch.column(column);
            if let Some(hashes) = self.word_hashes(column)? {
                return Ok(hashes);
            }
            if let Some(hashes) = column.as_string_opt::<i32>().and_then(text_hashes) {
                return Ok(hashes);
            }
        }
        Ok(self.encode(batch)?.iter().map(hash).collect())
    }

    /// The hashes of one column of integers: its key bytes are a one and the number, the sign turned, big end first.
    fn word_hashes(&self, column: &ArrayRef) -> Result<Option<Vec<u64>>> {
        fn each<const N: usize>(words: &Int64Array, bytes: impl Fn(i64) -> [u8; N]) -> Vec<u64> {
            words.values().iter().map(|&word| hash(&bytes(word))).collect()
        }
        let Some(words) = to_words(column) else { return Ok(None) };
        let mut hashes = match column.data_type().primitive_width() {
            Some(8) => each(&words, |w| {
                let mut bytes = [1; 9];
                bytes[1..].copy_from_slice(&(w ^ i64::MIN).to_be_bytes());
                bytes
            }),
            Some(4) => each(&words, |w| {
                let mut bytes = [1; 5];
                bytes[1..].copy_from_slice(&(w as i32 ^ i32::MIN).to_be_bytes());
                bytes
            }),
            _ => return Ok(None),
        };
        if words.null_count() > 0 {
            let null = hash(self.encode_columns(&[new_null_array(column.data_type(), 1)], 1)?.get(0));
            (0..hashes.len()).filter(|&i| words.is_null(i)).for_each(|i| hashes[i] = null);
        }
        Ok(Some(hashes))
    }

    /// The key columns (their key forms) of keys that this encoder (or an equal one) made.
    pub fn decode<'a>(&self, keys: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        if self.columns.is_empty() {
            return Ok(vec![]);
        }
        let parser = self.converter.parser();
        Ok(self.converter.convert_rows(keys.into_iter().map(|k| parser.parse(k)))?)
    }
}

/// The hashes of texts of at most 32 bytes. Their key bytes are a two, and blocks of eight bytes, the last filled up with
/// zeros, each with what follows it: 255 where there is a further one, else the number of bytes in it.
fn text_hashes(texts: &StringArray) -> Option<Vec<u64>> {
    const BLOCK: usize = 8;
    const BLOCKS: usize = 4;
    if texts.null_count() > 0 {
        return None;
    }
    let mut hashes = Vec::with_capacity(texts.len());
    for text in texts.iter().flatten().map(str::as_bytes) {
        if text.is_empty() {
            hashes.push(hash(&[1]));
            continue;
        }
        if text.len() > BLOCK * BLOCKS {
            return None;
        }
        let mut bytes = [0; 1 + BLOCKS * (BLOCK + 1)];
        bytes[0] = 2;
        let (mut at, mut left) = (1, text);
        while left.len() > BLOCK {
            bytes[at..at + BLOCK].copy_from_slice(&left[..BLOCK]);
            bytes[at + BLOCK] = 255;
            (at, left) = (at + BLOCK + 1, &left[BLOCK..]);
        }
        bytes[at..at + left.len()].copy_from_slice(left);
        bytes[at + BLOCK] = left.len() as u8;
        hashes.push(hash(&bytes[..=at + BLOCK]));
    }
    Some(hashes)
}

/// The key bytes of the rows of one batch.
#[derive(Debug)]
pub struct Keys {
    rows: Option<Rows>,
    len: usize,
}

impl Keys {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The key of row `i`.
    pub fn get(&self, i: usize) -> &[u8] {
        self.rows.as_ref().map_or(&[], |rows| rows.row(i).data())
    }

    /// The stable hash of the key of row `i`.
    pub fn hash(&self, i: usize) -> u64 {
        hash(self.get(i))
    }

    /// All keys, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len).map(|i| self.get(i))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float32Array, Float64Array, ListArray};
    use arrow::datatypes::Float64Type;

    fn keys(columns: Vec<ArrayRef>) -> (KeyEncoder, Keys) {
        let named = columns.into_iter().enumerate().map(|(i, c)| (format!("c{i}"), c));
        let batch = RecordBatch::try_from_iter_with_nullable(named.map(|(n, c)| (n, c, true))).unwrap();
        let all: Vec<usize> = (0..batch.num_columns()).collect();
        let encoder = KeyEncoder::new(&batch.schema(), &all).unwrap();
        let keys = encoder.encode(&batch).unwrap();
        (encoder, keys)
    }

    #[test]
    fn floats_have_one_zero_and_one_nan() {
        let odd_nan = f64::from_bits(0xfff8_0000_0000_0001);
        let (_, k) = keys(vec![Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, odd_nan, 1.0]))]);
        assert_eq!(k.get(0), k.get(1));
        assert_eq!(k.get(2), k.get(3));
        assert!(k.get(0) < k.get(4) && k.get(4) < k.get(2));
        let (_, k) = keys(vec![Arc::new(Float32Array::from(vec![0.0, -0.0]))]);
        assert_eq!(k.get(0), k.get(1));
        let list = ListArray::from_iter_primitive::<Float64Type, _, _>([Some([Some(0.0)]), Some([Some(-0.0)]), None]);
        let (_, k) = keys(vec![Arc::new(list)]);
        assert_eq!(k.get(0), k.get(1));
        assert_ne!(k.get(0), k.get(2));
        let zeros: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0]));
        let batch = RecordBatch::try_from_iter([("z", zeros)]).unwrap();
        let rows = KeyEncoder::exact(&batch.schema(), &[0]).unwrap().encode(&batch).unwrap();
        assert_ne!(rows.get(0), rows.get(1));
    }

    #[test]
    fn keys_order_decode_and_know_null() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), None, Some(-1), None]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("b"), Some("a"), None, Some("a")]));
        let (encoder, k) = keys(vec![Arc::clone(&numbers), Arc::clone(&texts)]);
        assert_eq!(k.get(1), k.get(3));
        assert!(k.get(1) < k.get(2) && k.get(2) < k.get(0));
        let back = encoder.decode(k.iter()).unwrap();
        assert_eq!(&back[0], &numbers);
        assert_eq!(&back[1], &texts);
    }

    #[test]
    fn hashes_of_integers_are_those_of_their_key_bytes() {
        let numbers = [Some(2), None, Some(-1), Some(0), Some(i32::MIN), Some(i32::MAX)];
        let columns: [ArrayRef; 3] = [
            Arc::new(numbers.iter().map(|n| n.map(i64::from)).collect::<Int64Array>()),
            Arc::new(numbers.into_iter().collect::<arrow::array::Int32Array>()),
            Arc::new(numbers.iter().map(|n| n.map(|n| n as i16)).collect::<arrow::array::Int16Array>()),
        ];
        for column in columns {
            let batch = RecordBatch::try_from_iter_with_nullable([("c", column, true)]).unwrap();
            let encoder = KeyEncoder::new(&batch.schema(), &[0]).unwrap();
            let keys = encoder.encode(&batch).unwrap();
            let hashes: Vec<u64> = keys.iter().map(hash).collect();
            assert_eq!(encoder.hashes(&batch).unwrap(), hashes);
        }
    }

    #[test]
    fn hashes_of_texts_are_those_of_their_key_bytes() {
        let long = "0123456789abcdefghijklmnopqrstuvwxyz";
        for texts in [(0..=32).map(|n| &long[..n]).collect::<Vec<_>>(), vec!["a", long]] {
            let (encoder, k) = keys(vec![Arc::new(StringArray::from(texts.clone()))]);
            let column: ArrayRef = Arc::new(StringArray::from(texts));
            let batch = RecordBatch::try_from_iter([("c", column)]).unwrap();
            assert_eq!(encoder.hashes(&batch).unwrap(), k.iter().map(hash).collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_columns_are_the_empty_key() {
        let batch = RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)]).unwrap();
        let k = KeyEncoder::new(&batch.schema(), &[]).unwrap().encode(&batch).unwrap();
        assert_eq!((k.len(), k.get(0), k.get(1)), (2, &[][..], &[][..]));
    }

    #[test]
    fn hashes_and_buckets_never_change() {
        // These numbers are on disk: snapshots are kept per bucket.
        let (_, k) = keys(vec![Arc::new(Int64Array::from(vec![0, 1, 42]))]);
        assert_eq!((0..3).map(|i| Bucket::of(k.hash(i)).0).collect::<Vec<_>>(), vec![94, 130, 91]);
        assert_eq!(hash(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!([0, 127, 128, 255].map(|b| Bucket(b).worker(2)), [0, 0, 1, 1]);
        assert_eq!([0, 85, 86, 255].map(|b| Bucket(b).worker(3)), [0, 0, 1, 2]);
    }
}
