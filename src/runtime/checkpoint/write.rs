//! Writes images down.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::checkpoint::{Found, Manifest, Objects, Owner, PartRef, Parts, Used, Writer, find, owner, pack_bytes};
use crate::data::{Changes, Epoch, ObjectId};
use crate::error::{Error, Result, SqlState};
use crate::log::{LogPlace, write_changes};
use crate::store::ChunkImage;

use super::content::{
    CatalogRef, ChunkRef, Content, DeltaRef, FeedRef, HistoryRef, SinkRef, SourceErrorsRef, StateRef, StoreRef,
    TableRef, ViewRef,
};
use super::encode::{masks_bytes, write_batches};
use super::image::{HistoryImage, Image, SinkImage, StateImage, StoreImage, ViewImage};
use super::load::{Checkpoint, Loaded, late_bytes};
use super::thread::State;

/// When writing is tried again, at first; twice as long each time, up to the longest.
const RETRY: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(16);
/// A pack of which less is still of use is written anew, in parts of the whole.
const SPARSE: u64 = 3;

/// A checkpoint that is there.
#[derive(Clone, Debug)]
pub(in crate::runtime) struct Written {
    /// The log is needed from here on: where the older of the two that are kept begins.
    pub(in crate::runtime) log: LogPlace,
    pub(in crate::runtime) number: u64,
    pub(in crate::runtime) epoch: Epoch,
    /// Microseconds since 1970.
    pub(in crate::runtime) taken: i64,
    /// Bytes that were written for it, and bytes that it names in all.
    pub(in crate::runtime) bytes: u64,
    pub(in crate::runtime) total: u64,
    pub(in crate::runtime) took: Duration,
}

/// Chunks with deleted rows: serial, and rows left.
type Marks = Vec<(u64, usize)>;

/// What has been written already, by what tells it apart in this process.
#[derive(Clone, Default)]
pub(super) struct Known {
    /// By serial.
    pub(super) chunks: HashMap<u64, ChunkRef>,
    /// By table or view: which chunks had how many rows left.
    pub(super) deleted: HashMap<ObjectId, (Marks, Option<PartRef>)>,
    /// By the number that changes with it.
    pub(super) books: HashMap<u64, PartRef>,
    /// By where the bytes are; these are kept there.
    pub(super) texts: HashMap<usize, (Arc<[u8]>, PartRef)>,
}

pub(super) struct Writing {
    objects: Arc<dyn Objects>,
    owner: Owner,
    found: Found,
    next_pack: u64,
    /// Of the next checkpoint.
    number: u64,
    last: Option<Manifest<Content>>,
    /// What was written last, be it a checkpoint or not yet.
    content: Content,
    known: Known,
    stopping: Receiver<()>,
    state: Arc<State>,
}

impl Writing {
    /// Goes on behind what was loaded.
    pub(super) fn begin(
        objects: Arc<dyn Objects>,
        owner: Owner,
        loaded: Option<&Checkpoint>,
        stopping: Receiver<()>,
        state: Arc<State>,
    ) -> Result<Self> {
        let found = find(objects.as_ref())?;
        let next_pack = found.packs.last().map_or(1, |last| last + 1);
        let number = found.checkpoints.last().map_or(1, |last| last + 1);
        let mut writing = Writing {
            objects,
            owner,
            found,
            next_pack,
            number,
            last: None,
            content: Content::default(),
            known: Known::default(),
            stopping,
            state,
        };
        if let Some(Loaded { manifest, known }) = loaded.map(|checkpoint| &checkpoint.loaded) {
            writing.content = manifest.content.clone();
            writing.known = known.clone();
            writing.last = Some(manifest.clone());
        }
        Ok(writing)
    }

    /// Until no more images come. `told` is called with every image that was written: `None` when it is no checkpoint yet.
    pub(super) fn run(&mut self, images: &Receiver<Image>, told: &dyn Fn(Option<Written>)) {
        while let Ok(image) = images.recv() {
            let mut pause = None;
            loop {
                match self.write(&image) {
                    Ok(written) => {
                        if pause.is_some() {
                            tracing::info!("checkpoints can be written again");
                            self.state.failing.store(false, Ordering::Release);
                        }
                        told(written);
                        break;
                    }
                    Err(error) => {
                        if pause.is_none() {
                            tracing::warn!("a checkpoint cannot be written, and is tried again: {error}");
                        }
                        self.state.failing.store(true, Ordering::Release);
                        let next = pause.map_or(RETRY, |pause: Duration| (pause * 2).min(RETRY_MAX));
                        if self.stopping.recv_timeout(next) == Err(RecvTimeoutError::Disconnected) {
                            return;
                        }
                        pause = Some(next);
                    }
                }
            }
        }
    }

    /// What is there: what an attempt that failed has put is named by nobody.
    ///
    /// Errors: `55006` another server writes there.
    fn look(&mut self) -> Result<()> {
        self.found = find(self.objects.as_ref())?;
        self.next_pack = self.next_pack.max(self.found.packs.last().map_or(1, |last| last + 1));
        if let Some(newest) = self.found.checkpoints.last().copied().filter(|newest| *newest >= self.number) {
            match owner(self.objects.as_ref(), newest) {
                Ok(owner) if owner == self.owner => {}
                Ok(_) => {
                    let place = self.objects.path("");
                    let message = format!("another server writes checkpoints to \"{}\"", place.trim_end_matches('/'));
                    return Err(Error::new(SqlState::OBJECT_IN_USE, message));
                }
                // What was put only in part: the next one takes its place.
                Err(error) if error.code() == SqlState::DATA_CORRUPTED => {}
                Err(error) => return Err(error),
            }
            self.number = newest + 1;
        }
        Ok(())
    }

    fn write(&mut self, image: &Image) -> Result<Option<Written>> {
        let began = Instant::now();
        image.write_archives()?;
        self.look()?;
        let writer = Writer::new(Arc::clone(&self.objects), self.next_pack)?;
        let (before, known) = (&self.content, &self.known);
        let mut step = Step { writer, before, known, now: Known::default(), covered: true, bytes: vec![] };
        let mut content = step.content(image)?;
        let Step { mut writer, mut now, covered, .. } = step;
        let sizes: BTreeMap<u64, u64> =
            self.last.iter().flat_map(|last| &last.packs).map(|used| (used.pack, used.bytes)).collect();
        if covered {
            self.rewrite(&mut content, &mut now, &sizes, &mut writer)?;
        }
        let put = writer.finish()?;
        self.found.packs.extend(put.iter().map(|(pack, _)| *pack));
        let mut bytes: u64 = put.iter().map(|(_, bytes)| *bytes).sum();
        let log = image.log.ok_or_else(|| Error::internal("a checkpoint has no place in the log"))?;
        if !covered {
            (self.content, self.known) = (content, now);
            return Ok(None);
        }
        let sizes = self.sizes(&sizes, &put, &mut content)?;
        let (number, taken) = (self.number, chrono::Utc::now().timestamp_micros());
        let packs: Vec<Used> = sizes.into_values().collect();
        let total = packs.iter().map(|used| used.live).sum();
        let lost = self.last.as_ref().map_or_else(Vec::new, |last| last.lost.clone());
        let owner = self.owner.clone();
        let manifest =
            Manifest { number, owner, epoch: image.epoch, log, taken, lost, packs, content: content.clone() };
        if self.state.left.load(Ordering::Acquire) {
            return Err(Error::new(SqlState::ADMIN_SHUTDOWN, "the server stops"));
        }
        bytes += manifest.put(self.objects.as_ref())?;
        image.is_taken();
        self.found.checkpoints.push(number);
        self.number += 1;
        (self.content, self.known) = (content, now);
        let before = self.last.replace(manifest);
        let keep: Vec<&Manifest<Content>> = before.iter().chain(&self.last).collect();
        // As long as there is only one, all of the log stands by.
        let log = before.as_ref().map_or(LogPlace::START, |before| before.log.min(log));
        if let Err(error) = self.found.tidy(&self.objects, &keep) {
            tracing::warn!("what no checkpoint needs any more cannot be removed: {error}");
        }
        Ok(Some(Written { log, number, epoch: image.epoch, taken, bytes, total, took: began.elapsed() }))
    }

    /// How much of each pack is named.
    fn sizes(
        &self,
        known: &BTreeMap<u64, u64>,
        put: &[(u64, u64)],
        content: &mut Content,
    ) -> Result<BTreeMap<u64, Used>> {
        let mut used: BTreeMap<u64, Used> = BTreeMap::new();
        for part in content.parts() {
            let entry = used.entry(part.pack).or_insert(Used { pack: part.pack, bytes: 0, live: 0 });
            entry.live += part.bytes;
        }
        for entry in used.values_mut() {
            let own = put.iter().find(|(pack, _)| *pack == entry.pack).map(|(_, bytes)| *bytes);
            entry.bytes = match own.or_else(|| known.get(&entry.pack).copied()) {
                Some(bytes) => bytes,
                // It was put before there was a checkpoint.
                None => pack_bytes(self.objects.as_ref(), entry.pack)?,
            };
        }
        Ok(used)
    }

    /// Writes parts anew that are among the few of their pack, as much as was written otherwise.
    fn rewrite(
        &self,
        content: &mut Content,
        now: &mut Known,
        sizes: &BTreeMap<u64, u64>,
        writer: &mut Writer,
    ) -> Result<()> {
        let mut live: BTreeMap<u64, u64> = BTreeMap::new();
        for part in content.parts() {
            *live.entry(part.pack).or_default() += part.bytes;
        }
        let mut budget = writer.bytes().max(1 << 20);
        let mut sparse = vec![];
        for (pack, live) in live {
            let is_sparse = sizes.get(&pack).is_some_and(|bytes| live < bytes / SPARSE);
            if is_sparse && live <= budget {
                budget -= live;
                sparse.push(pack);
            }
        }
        if sparse.is_empty() {
            return Ok(());
        }
        let reader = Parts(Arc::clone(&self.objects));
        let mut moved: HashMap<PartRef, PartRef> = HashMap::new();
        for part in content.parts().into_iter().filter(|part| sparse.contains(&part.pack)) {
            let to = writer.copy(part, &reader)?;
            moved.insert(*part, to);
            *part = to;
        }
        now.each(|part| {
            if let Some(to) = moved.get(part) {
                *part = *to;
            }
        });
        Ok(())
    }
}

impl Known {
    fn each(&mut self, mut act: impl FnMut(&mut PartRef)) {
        self.chunks.values_mut().for_each(|chunk| act(&mut chunk.rows));
        self.deleted.values_mut().filter_map(|(_, part)| part.as_mut()).for_each(&mut act);
        self.books.values_mut().for_each(&mut act);
        self.texts.values_mut().for_each(|(_, part)| act(part));
    }
}

/// One image on its way.
struct Step<'a> {
    writer: Writer,
    before: &'a Content,
    known: &'a Known,
    /// What of it is known afterwards.
    now: Known,
    covered: bool,
    /// Of the part that is put together; its memory is used again.
    bytes: Vec<u8>,
}

impl Step<'_> {
    fn content(&mut self, image: &Image) -> Result<Content> {
        let mut content = Content {
            settings: image.settings.clone(),
            vector: image.vector.0.iter().map(|(p, w)| (*p, *w)).collect(),
            away: image.away.clone(),
            ..Content::default()
        };
        for entry in &image.catalog {
            let payload = self.text(&entry.payload)?;
            content.catalog.push(CatalogRef { dropped: entry.dropped.clone(), payload });
        }
        for (id, table) in &image.tables {
            let before = self.before.tables.get(id).and_then(|table| table.history.as_ref());
            let history = table.history.as_ref().map(|history| self.history(history, before)).transpose()?;
            let rows = self.store(*id, &table.rows)?;
            content.tables.insert(*id, TableRef { rows, clock: table.clock.clone(), history });
        }
        for (id, feed) in &image.feeds {
            let decisions = feed.decisions.iter().map(|text| self.text(text)).collect::<Result<_>>()?;
            content.feeds.insert(*id, FeedRef { parts: feed.parts.clone(), decisions });
        }
        for (id, view) in &image.views {
            content.views.insert(*id, self.view(*id, view)?);
        }
        for (origin, rows) in &image.late {
            content.late.push((*origin, self.batches(rows)?));
        }
        for (id, wrong) in &image.source_errors {
            let (number, errors) = &wrong.errors;
            let errors = self.book(*number, || errors.bytes())?;
            let (name, missing) = (wrong.name.clone(), wrong.missing.clone());
            content.source_errors.insert(*id, SourceErrorsRef { name, missing, errors });
        }
        for (id, sink) in &image.sinks {
            content.sinks.insert(*id, self.sink(*id, sink)?);
        }
        Ok(content)
    }

    fn sink(&mut self, id: ObjectId, sink: &SinkImage) -> Result<SinkRef> {
        let mut items = self.before.sinks.get(&id).map_or_else(Vec::new, |before| before.items.clone());
        if let Some((last, _)) = sink.items.last() {
            let mut bytes = Vec::new();
            for (epoch, item) in &sink.items {
                let (is_there, changes) = item.changes()?;
                let own = write_changes(&changes)?;
                for word in [epoch.0, u64::from(is_there), own.len() as u64] {
                    bytes.extend_from_slice(&word.to_le_bytes());
                }
                bytes.extend_from_slice(&own);
            }
            items.push((*last, self.writer.add(&bytes)?));
        }
        items.retain(|(last, _)| *last > sink.durable);
        let away = match &sink.away {
            Some(left) => Some((left.since, left.rows.as_ref().map(|rows| self.store(id, rows)).transpose()?)),
            None => None,
        };
        Ok(SinkRef { durable: sink.durable, items, away })
    }

    fn view(&mut self, id: ObjectId, view: &ViewImage) -> Result<ViewRef> {
        let before = self.before.views.get(&id).filter(|before| before.joined == view.joined);
        let shown = &view.shown;
        let (errors, late) = (&shown.errors, &shown.late);
        Ok(ViewRef {
            joined: view.joined,
            shape: view.shape,
            states: self.states(&view.states, before.map_or(&[][..], |before| &before.states))?,
            rows: self.store(id, &shown.rows)?,
            history: self.history(&shown.history, before.map(|before| &before.history))?,
            counters: shown.counters,
            errors: self.book(errors.0, || errors.1.bytes())?,
            late: self.book(late.0, || late_bytes(&late.1))?,
        })
    }

    /// Deltas of all workers behind those that are there.
    fn states(&mut self, images: &[StateImage], before: &[StateRef]) -> Result<Vec<StateRef>> {
        let mut states: BTreeMap<(usize, u8), (StateRef, Option<u64>)> = BTreeMap::new();
        for StateImage { node, number, delta } in images {
            let key = (*node, delta.slot);
            let fresh = || {
                let before = before.iter().find(|state| (state.node, state.slot) == key).cloned();
                (before.unwrap_or(StateRef { node: *node, slot: delta.slot, deltas: vec![] }), delta.base)
            };
            let (state, base) = states.entry(key).or_insert_with(fresh);
            *base = (*base).zip(delta.base).map(|(a, b)| a.min(b));
            self.covered &= delta.covered;
            if !delta.is_empty() {
                let mut part = |rows: &[RecordBatch]| -> Result<Option<PartRef>> {
                    if rows.is_empty() { Ok(None) } else { self.batches(rows).map(Some) }
                };
                let (number, made_by) = (*number, delta.made_by);
                let (mut cleared, mut removed) = (delta.cleared.clone(), part(&delta.removed)?);
                // What is on disk is read piece by piece, never all at once.
                for extent in &delta.stored {
                    let rows = part(&[extent.read()?])?;
                    let (cleared, removed) = (std::mem::take(&mut cleared), removed.take());
                    state.deltas.push(DeltaRef { number, cleared, emitted: vec![], removed, rows, made_by });
                }
                let (rows, emitted) = (part(&delta.rows)?, delta.emitted.clone());
                state.deltas.push(DeltaRef { number, cleared, emitted, removed, rows, made_by });
            }
        }
        let finish = |(mut state, base): (StateRef, Option<u64>)| {
            if let Some(base) = base {
                state.deltas.retain(|delta| delta.number >= base);
            }
            state
        };
        Ok(states.into_values().map(finish).collect())
    }

    fn store(&mut self, id: ObjectId, store: &StoreImage) -> Result<StoreRef> {
        let chunks = store.chunks.iter().map(|chunk| self.chunk(chunk)).collect::<Result<Vec<_>>>()?;
        let masked = store.chunks.iter().filter(|chunk| chunk.deleted().is_some());
        let marks: Marks = masked.map(|chunk| (chunk.serial(), chunk.live())).collect();
        let deleted = match self.known.deleted.get(&id).filter(|(known, _)| *known == marks) {
            // Positions may have moved: they are in the part too.
            Some((_, part)) if same_places(self.before, id, &chunks) => *part,
            _ if marks.is_empty() => None,
            _ => Some(self.writer.add(&masks_bytes(&store.chunks))?),
        };
        self.now.deleted.insert(id, (marks, deleted));
        Ok(StoreRef { next_row: store.next_row, chunks, deleted })
    }

    fn batches(&mut self, batches: &[RecordBatch]) -> Result<PartRef> {
        self.bytes.clear();
        write_batches(batches, &mut self.bytes)?;
        self.writer.add(&self.bytes)
    }

    fn chunk(&mut self, chunk: &ChunkImage) -> Result<ChunkRef> {
        let known = match self.known.chunks.get(&chunk.serial()) {
            Some(known) => known.clone(),
            None => {
                let (batch, first) = chunk.batch()?;
                ChunkRef { rows: self.batches(&[batch])?, first }
            }
        };
        self.now.chunks.insert(chunk.serial(), known.clone());
        Ok(known)
    }

    fn history(&mut self, history: &HistoryImage, before: Option<&HistoryRef>) -> Result<HistoryRef> {
        let kept = self.epochs(&history.kept, before.map(|before| &before.kept), history.since)?;
        let expired = self.epochs(&history.expired, before.map(|before| &before.expired), history.since)?;
        Ok(HistoryRef { since: history.since, kept, expired })
    }

    /// Changes by epoch, behind those that were written before.
    fn epochs(&mut self, epochs: &[(Epoch, Arc<[Changes]>)], before: Option<&Dated>, since: Epoch) -> Result<Dated> {
        let mut kept = before.cloned().unwrap_or_default();
        if let Some((last, _)) = epochs.last() {
            let mut bytes = Vec::new();
            for (epoch, changes) in epochs {
                let own = write_changes(changes)?;
                bytes.extend_from_slice(&epoch.0.to_le_bytes());
                bytes.extend_from_slice(&(own.len() as u64).to_le_bytes());
                bytes.extend_from_slice(&own);
            }
            kept.push((*last, self.writer.add(&bytes)?));
        }
        kept.retain(|(last, _)| *last > since);
        Ok(kept)
    }

    fn book(&mut self, number: u64, bytes: impl FnOnce() -> Result<Vec<u8>>) -> Result<Option<PartRef>> {
        if number == 0 {
            return Ok(None);
        }
        let part = match self.known.books.get(&number).or_else(|| self.now.books.get(&number)) {
            Some(part) => *part,
            None => self.writer.add(&bytes()?)?,
        };
        self.now.books.insert(number, part);
        Ok(Some(part))
    }

    fn text(&mut self, text: &Arc<[u8]>) -> Result<PartRef> {
        let place = text.as_ptr() as usize;
        let part = match self.known.texts.get(&place) {
            Some((_, part)) => *part,
            None => self.writer.add(text)?,
        };
        self.now.texts.insert(place, (Arc::clone(text), part));
        Ok(part)
    }
}

/// Changes of epochs; the last one of each part.
type Dated = Vec<(Epoch, PartRef)>;

/// Whether a store has the same chunks at the same places as before.
fn same_places(before: &Content, id: ObjectId, chunks: &[ChunkRef]) -> bool {
    let table = before.tables.get(&id).map(|table| &table.rows);
    let known = table.or_else(|| before.views.get(&id).map(|view| &view.rows));
    known.is_some_and(|known| known.chunks.iter().map(|c| c.rows).eq(chunks.iter().map(|c| c.rows)))
}
