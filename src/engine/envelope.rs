//! SUBSCRIBE .. ENVELOPE: one row per key and epoch instead of one per change.
//!
//! ```text
//! ENVELOPE UPSERT (KEY (k))     hw_epoch, [hw_progressed,] hw_state, k, v           upsert | delete | key_violation
//! ENVELOPE DEBEZIUM (KEY (k))   hw_epoch, [hw_progressed,] hw_state, k, before_v, after_v
//!                                                                insert | update | delete | key_violation
//! ```
//!
//! A key that holds the one that the view's query makes unique needs no memory: an epoch's own changes tell what was
//! there before. Under any other key the subscription keeps the rows, from the snapshot on, in order to notice when two
//! rows share a key; their bytes are bounded by `subscribe_buffer`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::data::{Changes, KeyEncoder};
use crate::error::{Error, Result, SqlState};
use crate::sql::statement::{Envelope, EnvelopeKind};

/// Turns an epoch's changes into rows of an envelope.
pub(super) struct Encoder {
    kind: EnvelopeKind,
    schema: SchemaRef,
    key: Vec<usize>,
    values: Vec<usize>,
    keys: KeyEncoder,
    rows: KeyEncoder,
    /// `None`: the key is known to be unique.
    held: Option<Held>,
}

/// Rows as bytes, with their weights.
type Weighted = Vec<(Box<[u8]>, i64)>;

/// The rows of each key, with their weights.
struct Held {
    by_key: HashMap<Box<[u8]>, Weighted>,
    bytes: usize,
    limit: usize,
}

/// What a key's row is, before or after an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    None,
    /// By its place among the rows spoken of.
    One(u32),
    Several,
}

/// What an epoch did to one key.
struct Told {
    /// The place of a row with this key.
    key: u32,
    before: Row,
    after: Row,
}

impl Encoder {
    /// For rows of these columns; `derived`: the key that the query makes unique.
    ///
    /// Errors: `42703` for a column that is not there, `22023` where no key is given and none follows from the query.
    pub(super) fn new(envelope: &Envelope, fields: &[Field], derived: Option<&[usize]>, limit: usize) -> Result<Self> {
        let key = match (&envelope.key, derived) {
            (Some(names), _) => columns(names, fields)?,
            (None, Some(derived)) => derived.to_vec(),
            (None, None) => {
                let kind = envelope.kind.name();
                let message = format!("ENVELOPE {kind} needs a key, and none follows from the query");
                return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
                    .with_hint(format!("Name its columns: ENVELOPE {kind} (KEY (a, b)).")));
            }
        };
        let unique = derived.is_some_and(|derived| derived.iter().all(|c| key.contains(c)));
        let open = fields.iter().map(|f| f.clone().with_nullable(true)).collect::<Vec<_>>();
        let schema = Arc::new(Schema::new(open));
        let all: Vec<usize> = (0..fields.len()).collect();
        Ok(Self {
            kind: envelope.kind,
            // Whoever reads keeps rows by what the key says, not by what it equals.
            keys: KeyEncoder::exact(&schema, &key)?,
            rows: KeyEncoder::exact(&schema, &all)?,
            values: all.into_iter().filter(|c| !key.contains(c)).collect(),
            held: (!unique).then(|| Held { by_key: HashMap::new(), bytes: 0, limit }),
            key,
            schema,
        })
    }

    /// Whether the snapshot has to be read, also if nobody is told of it.
    pub(super) fn needs_snapshot(&self) -> bool {
        self.held.is_some()
    }

    /// The columns, from hw_state on.
    pub(super) fn fields(&self) -> Vec<Field> {
        let column = |c: &usize| self.schema.field(*c).clone();
        let prefixed = |prefix: &'static str| {
            let name = move |f: Field| {
                let name = format!("{prefix}{}", f.name());
                f.with_name(name)
            };
            self.values.iter().map(column).map(name).collect::<Vec<_>>()
        };
        let mut fields = vec![Field::new("hw_state", DataType::Utf8, true)];
        fields.extend(self.key.iter().map(column));
        match self.kind {
            EnvelopeKind::Upsert => fields.extend(prefixed("")),
            EnvelopeKind::Debezium => {
                fields.extend(prefixed("before_"));
                fields.extend(prefixed("after_"));
            }
        }
        fields
    }

    /// The rows of one epoch's changes, as columns.
    pub(super) fn encode(&mut self, changes: &[Changes]) -> Result<Vec<ArrayRef>> {
        let changes = Changes::concat(&self.schema, changes)?;
        let rows = RecordBatch::try_new(self.schema.clone(), changes.rows.columns().to_vec())?;
        if self.held.is_some() {
            let (told, rows) = self.remember(&changes, &rows)?;
            return self.columns(&told, &rows);
        }
        let keys = self.keys.encode(&rows)?;
        let mut places: HashMap<&[u8], usize> = HashMap::new();
        let mut told: Vec<Told> = Vec::new();
        for i in 0..changes.len() {
            let place = *places.entry(keys.get(i)).or_insert_with(|| {
                told.push(Told { key: i as u32, before: Row::None, after: Row::None });
                told.len() - 1
            });
            let diff = changes.diff(i);
            let side = if diff < 0 { &mut told[place].before } else { &mut told[place].after };
            *side = if *side == Row::None && diff.abs() == 1 { Row::One(i as u32) } else { Row::Several };
        }
        self.columns(&told, &rows)
    }

    /// The same, where the rows of each key are held: gives what happened, and the rows that it speaks of.
    fn remember(&mut self, changes: &Changes, batch: &RecordBatch) -> Result<(Vec<Told>, RecordBatch)> {
        let (keys, bytes) = (self.keys.encode(batch)?, self.rows.encode(batch)?);
        let Some(held) = &mut self.held else { return Ok((vec![], batch.clone())) };
        let mut touched: Vec<(u32, Weighted)> = Vec::new();
        let mut places: HashMap<&[u8], usize> = HashMap::new();
        for i in 0..changes.len() {
            let key = keys.get(i);
            places.entry(key).or_insert_with(|| {
                touched.push((i as u32, held.by_key.get(key).cloned().unwrap_or_default()));
                touched.len() - 1
            });
            held.add(key, bytes.get(i), changes.diff(i))?;
        }
        let mut pool: Vec<&[u8]> = Vec::new();
        let mut told = Vec::new();
        for (i, before) in &touched {
            let now = held.by_key.get(keys.get(*i as usize)).map_or(&[][..], Vec::as_slice);
            if before.as_slice() == now {
                continue;
            }
            pool.push(bytes.get(*i as usize));
            let key = pool.len() as u32 - 1;
            told.push(Told { key, before: one(before, &mut pool), after: one(now, &mut pool) });
        }
        let columns = self.rows.decode(pool.iter().copied())?;
        Ok((told, RecordBatch::try_new(self.schema.clone(), columns)?))
    }

    fn columns(&self, told: &[Told], rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let states = told.iter().map(|t| self.state(t));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from_iter_values(states))];
        let side = |of: fn(&Told) -> Row| -> UInt32Array {
            let place = |t: &Told| match (of(t), t.after) {
                (Row::One(place), Row::None | Row::One(_)) => Some(place),
                _ => None,
            };
            told.iter().map(place).collect()
        };
        let keys: UInt32Array = told.iter().map(|t| t.key).collect();
        let after = side(|t| t.after);
        for &c in &self.key {
            columns.push(take(rows.column(c), &keys, None)?);
        }
        let sides = match self.kind {
            EnvelopeKind::Upsert => vec![after],
            EnvelopeKind::Debezium => vec![side(|t| t.before), after],
        };
        for side in &sides {
            for &c in &self.values {
                columns.push(take(rows.column(c), side, None)?);
            }
        }
        Ok(columns)
    }

    fn state(&self, told: &Told) -> &'static str {
        match (self.kind, told.before, told.after) {
            (_, _, Row::Several) => "key_violation",
            (_, _, Row::None) => "delete",
            (EnvelopeKind::Upsert, _, Row::One(_)) => "upsert",
            (EnvelopeKind::Debezium, Row::One(_), Row::One(_)) => "update",
            // Behind a violation there is no one row before.
            (EnvelopeKind::Debezium, Row::None | Row::Several, Row::One(_)) => "insert",
        }
    }
}

/// The one row of a key, put among the rows spoken of.
fn one<'a>(rows: &'a [(Box<[u8]>, i64)], pool: &mut Vec<&'a [u8]>) -> Row {
    match rows {
        [] => Row::None,
        [(row, 1)] => {
            pool.push(row);
            Row::One(pool.len() as u32 - 1)
        }
        _ => Row::Several,
    }
}

impl Held {
    fn add(&mut self, key: &[u8], row: &[u8], diff: i64) -> Result<()> {
        const ENTRY: usize = 64;
        if !self.by_key.contains_key(key) {
            self.bytes += key.len() + ENTRY;
            self.by_key.insert(key.into(), Vec::new());
        }
        let Some(rows) = self.by_key.get_mut(key) else { return Ok(()) };
        match rows.iter().position(|(r, _)| r.as_ref() == row) {
            Some(place) => {
                rows[place].1 += diff;
                if rows[place].1 == 0 {
                    rows.remove(place);
                    self.bytes -= row.len() + ENTRY;
                }
            }
            None => {
                rows.push((row.into(), diff));
                self.bytes += row.len() + ENTRY;
            }
        }
        if rows.is_empty() {
            self.by_key.remove(key);
            self.bytes -= key.len() + ENTRY;
        }
        if self.bytes > self.limit {
            let message =
                format!("the rows held to find duplicate keys exceed subscribe_buffer ({} bytes)", self.limit);
            return Err(Error::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, message).with_hint(
                "Name a key that the view's query makes unique (EXPLAIN shows it), or raise subscribe_buffer.",
            ));
        }
        Ok(())
    }
}

/// The places of columns by name.
fn columns(names: &[(String, usize)], fields: &[Field]) -> Result<Vec<usize>> {
    let mut places = Vec::new();
    for (name, position) in names {
        let Some(place) = fields.iter().position(|f| f.name() == name) else {
            let message = format!("column \"{name}\" does not exist");
            return Err(Error::new(SqlState::UNDEFINED_COLUMN, message)
                .with_position(*position)
                .with_hint("KEY names columns of what is subscribed to."));
        };
        if places.contains(&place) {
            let message = format!("column \"{name}\" specified more than once");
            return Err(Error::new(SqlState::DUPLICATE_COLUMN, message).with_position(*position));
        }
        places.push(place);
    }
    Ok(places)
}
