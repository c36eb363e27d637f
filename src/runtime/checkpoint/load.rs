//! Reads checkpoints back.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::checkpoint::{Manifest, Objects, PartRef, Parts, find};
use crate::data::{Changes, Epoch, EventTime};
use crate::error::{Error, Result, SqlState};
use crate::log::{Disk, LogFiles, LogPlace, Progress, read_changes, size, write_changes};
use crate::operators::{LateRows, RowError};
use crate::sink::Item;
use crate::spill::Memory;
use crate::state::Delta;
use crate::store::ChunkImage;

use super::super::CheckpointStatus;
use super::super::publisher::stamp;
use super::content::{Content, DeltaRef, HistoryRef, StoreRef, ViewRef};
use super::decode::{self, Decoded};
use super::image::{
    CatalogEntry, ErrorsImage, FeedImage, HistoryImage, Image, LeftImage, ShownImage, SinkImage, SourceErrors,
    StateImage, StoreImage, TableImage, ViewImage,
};
use super::progress::Watched;
use super::write::Known;

/// A checkpoint below this part of the memory's limit is read at once.
const AT_ONCE: u64 = 4;

/// A checkpoint that was read back.
pub struct Checkpoint {
    pub(super) loaded: Loaded,
    pub(super) image: Image,
}

/// What the next one is based on.
pub(super) struct Loaded {
    pub(super) manifest: Manifest<Content>,
    pub(super) known: Known,
}

impl Checkpoint {
    /// The newest one that is whole; a warning tells of others. `None`: there is none.
    ///
    /// Errors: `XX001` there are some, and none is whole, `0A000` another version wrote them, `58030`.
    pub fn newest(objects: &Arc<dyn Objects>, memory: &Arc<Memory>) -> Result<Option<Self>> {
        let mut why = None;
        for number in find(objects.as_ref())?.checkpoints.into_iter().rev() {
            match Self::load(objects, number, memory) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(error) if error.code() == SqlState::FEATURE_NOT_SUPPORTED => return Err(error),
                Err(error) => {
                    tracing::warn!("checkpoint {number} cannot be used: {error}");
                    why.get_or_insert(error);
                }
            }
        }
        match why {
            Some(error) => Err(Error::new(error.code(), format!("no checkpoint can be used: {}", error.message()))
                .with_hint("put the data directory back from a copy")),
            None => Ok(None),
        }
    }

    /// The one to begin with: the newest that is whole. Where there is none such, but all of the log from the first record
    /// on (there was only one, and its file is torn), the log says the same, and takes longer.
    ///
    /// Errors: as [`Self::newest`].
    pub fn to_begin_with(
        objects: &Arc<dyn Objects>,
        log: &Arc<dyn Disk>,
        memory: &Arc<Memory>,
    ) -> Result<Option<Self>> {
        let error = match Self::newest(objects, memory) {
            Err(error) if [SqlState::DATA_CORRUPTED, SqlState::UNDEFINED_FILE].contains(&error.code()) => error,
            newest => return newest,
        };
        match LogFiles::find(Arc::clone(log), LogPlace::START) {
            Ok(files) if !files.is_empty() => {
                tracing::warn!("{}: the input log is read back from its beginning", error.message());
                Ok(None)
            }
            Ok(_) | Err(_) => Err(error),
        }
    }

    /// Reads all of one.
    fn load(objects: &Arc<dyn Objects>, number: u64, memory: &Arc<Memory>) -> Result<Self> {
        let mut manifest: Manifest<Content> = Manifest::get(objects.as_ref(), number)?;
        let total: u64 = manifest.packs.iter().map(|used| used.live).sum();
        tracing::info!("reading checkpoint {number} of epoch {} ({})", manifest.epoch, size(total));
        let watched = Watched::over(objects, Progress::new(format!("reading checkpoint {number}"), total));
        let parts = Parts(watched);
        // Otherwise one after the other, so that what does not fit goes to disk at once.
        let unpacked: u64 = manifest.content.parts().iter().map(|part| part.unpacked.unwrap_or(part.bytes)).sum();
        let fits = memory.limit().is_none_or(|limit| unpacked < limit as u64 / AT_ONCE);
        let decoded = if fits { decode::all(&parts, &manifest.content)? } else { Decoded::new() };
        let mut reading = Reading { parts, decoded, known: Known::default(), memory: Arc::clone(memory) };
        let mut image = reading.image(&manifest.content)?;
        (image.epoch, image.log) = (manifest.epoch, Some(manifest.log));
        let loaded = Loaded { manifest, known: reading.known };
        Ok(Self { loaded, image })
    }

    /// Reads every byte of all that are there, and compares checksums: numbers, epochs, and what each says of the log.
    pub fn check(objects: &Arc<dyn Objects>) -> Result<Vec<(u64, Epoch, LogPlace)>> {
        let mut checked = vec![];
        for number in find(objects.as_ref())?.checkpoints {
            let mut manifest: Manifest<Content> = Manifest::get(objects.as_ref(), number)?;
            let parts = Parts(Arc::clone(objects));
            manifest.packs.iter().try_for_each(|used| parts.check_header(used.pack))?;
            for part in manifest.content.parts() {
                parts.get(part)?;
            }
            checked.push((number, manifest.epoch, manifest.log));
        }
        Ok(checked)
    }

    /// Where the log goes on.
    pub fn log(&self) -> LogPlace {
        self.loaded.manifest.log
    }

    /// The last epoch in it.
    pub fn epoch(&self) -> Epoch {
        self.loaded.manifest.epoch
    }

    /// Bytes that were read.
    pub fn bytes(&self) -> u64 {
        self.loaded.manifest.packs.iter().map(|used| used.live).sum()
    }

    /// The number of the newest copy of state in it.
    pub(in crate::runtime) fn copies(&self) -> u64 {
        let states = self.loaded.manifest.content.views.values().flat_map(|view| &view.states);
        states.flat_map(|state| &state.deltas).map(|delta| delta.number).max().unwrap_or(0)
    }

    /// As it is shown.
    pub(in crate::runtime) fn status(&self) -> CheckpointStatus {
        let Manifest { number, epoch, taken, .. } = self.loaded.manifest;
        CheckpointStatus { number, epoch, taken, total_bytes: self.bytes(), written: None }
    }

    /// What is in it; taken once.
    pub(in crate::runtime) fn take(&mut self) -> Image {
        std::mem::take(&mut self.image)
    }
}

struct Reading {
    memory: Arc<Memory>,
    parts: Parts,
    /// What was read before, until it is taken.
    decoded: Decoded,
    known: Known,
}

impl Reading {
    fn image(&mut self, content: &Content) -> Result<Image> {
        let mut image = Image {
            settings: content.settings.clone(),
            vector: Arc::new(content.watermarks()),
            away: content.away.clone(),
            ..Image::default()
        };
        for entry in &content.catalog {
            let payload = self.text(&entry.payload)?;
            image.catalog.push(CatalogEntry { dropped: entry.dropped.clone(), payload });
        }
        for (id, table) in &content.tables {
            let history = table.history.as_ref().map(|history| self.history(history)).transpose()?;
            let rows = self.store(&table.rows)?;
            self.know_masks(*id, &rows, table.rows.deleted);
            image.tables.insert(*id, TableImage { rows, clock: table.clock.clone(), history });
        }
        for (id, feed) in &content.feeds {
            let decisions = feed.decisions.iter().map(|part| self.text(part)).collect::<Result<_>>()?;
            image.feeds.insert(*id, FeedImage { parts: feed.parts.clone(), decisions });
        }
        for (id, view) in &content.views {
            let states = self.states(view)?;
            let rows = self.store(&view.rows)?;
            self.know_masks(*id, &rows, view.rows.deleted);
            let history = self.history(&view.history)?;
            let errors = self.errors(view.errors)?;
            let late = match view.late {
                Some(part) => (self.know_book(part), read_late(&self.parts.get(&part)?)?),
                None => (0, vec![]),
            };
            let shown = ShownImage { rows, history, counters: view.counters, errors, late };
            image.views.insert(*id, ViewImage { joined: view.joined, shape: view.shape, states, shown });
        }
        for (origin, part) in &content.late {
            image.late.push((*origin, self.batches(part)?));
        }
        for (id, wrong) in &content.source_errors {
            let errors = self.errors(wrong.errors)?;
            let (name, missing) = (wrong.name.clone(), wrong.missing.clone());
            image.source_errors.insert(*id, SourceErrors { name, missing, errors });
        }
        for (id, sink) in &content.sinks {
            let mut items = vec![];
            for (_, part) in &sink.items {
                let bytes = self.parts.get(part)?;
                let mut rest = bytes.as_ref();
                while !rest.is_empty() {
                    let (epoch, is_there, length) = (word(&mut rest)?, word(&mut rest)?, word(&mut rest)?);
                    let (own, more) = rest.split_at_checked(length as usize).ok_or_else(corrupt)?;
                    rest = more;
                    let changes = read_changes(own)?;
                    let item = if is_there == 1 { Item::Rows(changes) } else { Item::Changes(changes) };
                    if Epoch(epoch) > sink.durable {
                        items.push((Epoch(epoch), item));
                    }
                }
            }
            let away = match &sink.away {
                Some((since, rows)) => {
                    let rows = rows.as_ref().map(|rows| self.store(rows)).transpose()?;
                    Some(LeftImage { rows, since: *since })
                }
                None => None,
            };
            image.sinks.insert(*id, SinkImage { durable: sink.durable, items, away });
        }
        Ok(image)
    }

    fn batches(&mut self, part: &PartRef) -> Result<Vec<RecordBatch>> {
        self.decoded.remove(part).map_or_else(|| decode::batches(&self.parts, part), Ok)
    }

    fn text(&mut self, part: &PartRef) -> Result<Arc<[u8]>> {
        let text: Arc<[u8]> = Arc::from(self.parts.get(part)?.as_ref());
        self.known.texts.insert(text.as_ptr() as usize, (Arc::clone(&text), *part));
        Ok(text)
    }

    fn store(&mut self, store: &StoreRef) -> Result<StoreImage> {
        let mut masks = match &store.deleted {
            Some(part) => read_masks(&self.parts.get(part)?)?,
            None => BTreeMap::new(),
        };
        let mut chunks = vec![];
        for (place, chunk) in (0_u32..).zip(&store.chunks) {
            let batch = self.batches(&chunk.rows)?.pop().ok_or_else(corrupt)?;
            let image = ChunkImage::new(batch, chunk.first, masks.remove(&place), &self.memory)?;
            self.known.chunks.insert(image.serial(), chunk.clone());
            chunks.push(image);
        }
        Ok(StoreImage { next_row: store.next_row, chunks })
    }

    fn know_masks(&mut self, id: crate::data::ObjectId, rows: &StoreImage, part: Option<PartRef>) {
        let masked = rows.chunks.iter().filter(|chunk| chunk.deleted().is_some());
        let marks = masked.map(|chunk| (chunk.serial(), chunk.live())).collect();
        self.known.deleted.insert(id, (marks, part));
    }

    fn know_book(&mut self, part: PartRef) -> u64 {
        let number = stamp();
        self.known.books.insert(number, part);
        number
    }

    fn history(&self, history: &HistoryRef) -> Result<HistoryImage> {
        let kept = self.epochs(&history.kept, history.since)?;
        Ok(HistoryImage { since: history.since, kept, expired: self.epochs(&history.expired, history.since)? })
    }

    /// The changes of epochs above one.
    fn epochs(&self, parts: &[(Epoch, PartRef)], since: Epoch) -> Result<Vec<(Epoch, Arc<[Changes]>)>> {
        let mut kept = vec![];
        for (_, part) in parts {
            let bytes = self.parts.get(part)?;
            let mut rest = bytes.as_ref();
            while !rest.is_empty() {
                let (epoch, length) = (word(&mut rest)?, word(&mut rest)?);
                let (own, more) = rest.split_at_checked(length as usize).ok_or_else(corrupt)?;
                rest = more;
                if Epoch(epoch) > since {
                    kept.push((Epoch(epoch), read_changes(own)?.into()));
                }
            }
        }
        Ok(kept)
    }

    fn states(&mut self, view: &ViewRef) -> Result<Vec<StateImage>> {
        let mut states = vec![];
        for state in &view.states {
            for DeltaRef { number, cleared, emitted, removed, rows, made_by } in &state.deltas {
                let mut part = |part: &Option<PartRef>| part.as_ref().map_or(Ok(vec![]), |part| self.batches(part));
                let delta = Delta {
                    slot: state.slot,
                    cleared: cleared.clone(),
                    removed: part(removed)?,
                    stored: vec![],
                    rows: part(rows)?,
                    emitted: emitted.clone(),
                    covered: true,
                    base: None,
                    made_by: *made_by,
                    whole: false,
                };
                states.push(StateImage { node: state.node, number: *number, delta });
            }
        }
        Ok(states)
    }

    fn errors(&mut self, part: Option<PartRef>) -> Result<(u64, Arc<ErrorsImage>)> {
        let Some(part) = part else { return Ok((0, Arc::default())) };
        type Kept = (Epoch, String, String, String, String, i64);
        let (standing, kept): (i64, Vec<Kept>) =
            serde_json::from_slice(&self.parts.get(&part)?).map_err(|_| corrupt())?;
        let error = |(epoch, operator, code, message, row, diff): Kept| {
            let (operator, message) = (Arc::from(operator), Arc::from(message));
            (epoch, RowError { operator, code: SqlState::named(&code), message, row, diff })
        };
        let kept = kept.into_iter().map(error).collect();
        Ok((self.know_book(part), Arc::new(ErrorsImage { standing, kept })))
    }
}

fn corrupt() -> Error {
    Error::new(SqlState::DATA_CORRUPTED, "a part of a checkpoint does not say what it should")
}

fn word(bytes: &mut &[u8]) -> Result<u64> {
    let (word, rest) = bytes.split_first_chunk::<8>().ok_or_else(corrupt)?;
    *bytes = rest;
    Ok(u64::from_le_bytes(*word))
}

fn read_masks(bytes: &[u8]) -> Result<BTreeMap<u32, Vec<u64>>> {
    let (mut rest, mut masks) = (bytes, BTreeMap::new());
    while !rest.is_empty() {
        let head = word(&mut rest)?;
        let (place, words) = (head as u32, head >> 32);
        let mask = (0..words).map(|_| word(&mut rest)).collect::<Result<_>>()?;
        masks.insert(place, mask);
    }
    Ok(masks)
}

/// Late rows: per epoch, what is not a row, and the rows.
type LateHead = (Epoch, Vec<EventTime>, Vec<EventTime>, Vec<u32>);

pub(super) fn late_bytes(late: &[(Epoch, LateRows)]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for (epoch, late) in late {
        let head: LateHead = (*epoch, late.event_time.clone(), late.watermark.clone(), late.windows_missed.clone());
        let head = serde_json::to_vec(&head).map_err(|e| Error::internal(e.to_string()))?;
        for own in [head, write_changes(std::slice::from_ref(&late.changes))?] {
            bytes.extend_from_slice(&(own.len() as u64).to_le_bytes());
            bytes.extend_from_slice(&own);
        }
    }
    Ok(bytes)
}

fn read_late(bytes: &[u8]) -> Result<Vec<(Epoch, LateRows)>> {
    let (mut rest, mut late) = (bytes, vec![]);
    while !rest.is_empty() {
        let mut own = || -> Result<&[u8]> {
            let length = word(&mut rest)?;
            let (own, more) = rest.split_at_checked(length as usize).ok_or_else(corrupt)?;
            rest = more;
            Ok(own)
        };
        let (epoch, event_time, watermark, windows_missed): LateHead =
            serde_json::from_slice(own()?).map_err(|_| corrupt())?;
        let changes = read_changes(own()?)?.pop().ok_or_else(corrupt)?;
        late.push((epoch, LateRows { changes, event_time, watermark, windows_missed }));
    }
    Ok(late)
}
