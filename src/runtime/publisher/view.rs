//! One materialized view as the publisher keeps it: its rows, its recent changes, what it turned away, who listens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::data::{Changes, Epoch, KeyEncoder, ObjectId, WatermarkVector, consolidate, ordered};
use crate::error::{Error, Result, SqlState};
use crate::operators::{Counters, Output, RowError};
use crate::spill::Memory;
use crate::store::{Store, Version};

use super::super::checkpoint::{ShownImage, StoreImage};
use super::super::command::OperatorStats;
use super::super::digest::Digest;
use super::super::message::Left;
use super::super::message::NewView;
use super::super::subscribe::{Subscriber, Subscription, Unread};
use super::super::{RuntimeConfig, SubscribeSpec};
use super::errors::Errors;
use super::expiry::Calendar;
use super::history::History;
use super::late::{Late, insertions};
use super::past::{before, too_old};

/// What the workers have reported of an epoch.
#[derive(Default)]
struct Pending {
    rows: Vec<Changes>,
    output: Output,
    complete: bool,
}

/// A view.
pub(super) struct View {
    pub(super) id: ObjectId,
    pub(super) name: Arc<str>,
    schema: SchemaRef,
    /// Over all columns.
    encoder: KeyEncoder,
    pub(super) store: Store,
    /// When its rows leave, if they do.
    pub(super) calendar: Option<Calendar>,
    /// Whether no row comes twice in an epoch.
    consolidated: bool,
    late_into: bool,
    /// Only one subscription reads it: what messages call it.
    subscription: Option<String>,
    /// It joins as of an epoch that is past: its history begins there.
    pub(super) past: Option<Epoch>,
    /// Which time it is being filled, until its first epoch is published; and what that brought.
    pub(super) fill: Option<u64>,
    filled: Digest,
    /// Epochs under way.
    pending: BTreeMap<Epoch, Pending>,
    /// None before its first epoch is published.
    pub(super) history: Option<History>,
    pub(super) subscribers: Vec<Subscriber>,
    pub(super) errors: Errors,
    pub(super) late: Late,
    pub(super) counters: Counters,
    /// By worker.
    pub(super) operators: BTreeMap<usize, Vec<OperatorStats>>,
    pub(super) freshness: Duration,
    /// It left the clock: since when it has been behind.
    pub(super) left: Option<Instant>,
    /// `/metrics` says that it is behind.
    pub(super) shows_lag: bool,
}

/// What publishing an epoch of a view brought.
pub(super) struct Epochal {
    pub(super) version: Version,
    pub(super) digest: Digest,
    pub(super) counted: Counters,
    /// For LATE ROWS INTO.
    pub(super) late: Vec<RecordBatch>,
    /// Consolidated where it has retractions; empty batches never.
    pub(super) changes: Vec<Changes>,
}

impl View {
    pub(super) fn new(new: NewView, memory: &Arc<Memory>) -> Result<Self> {
        let NewView { id, name, schema, graph, late_into, subscription } = new;
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        let store = Store::new(Arc::clone(&schema), graph.key.as_deref())?.bounded(memory);
        // What aggregates send they mostly take back.
        let is_indexed = graph.consolidated && !graph.append_only;
        Ok(Self {
            id,
            name: name.into(),
            encoder: KeyEncoder::exact(&schema, &all)?,
            store: if is_indexed { store.indexed() } else { store },
            calendar: graph.retention.clone().map(Calendar::new),
            schema,
            consolidated: graph.consolidated,
            late_into,
            past: subscription.as_ref().and_then(|s| s.as_of),
            subscription: subscription.map(|s| s.called),
            fill: None,
            filled: Digest::new(id, Epoch(0)),
            pending: BTreeMap::new(),
            history: None,
            subscribers: vec![],
            errors: Errors::default(),
            late: Late::default(),
            counters: Counters::default(),
            operators: BTreeMap::new(),
            freshness: Duration::ZERO,
            left: None,
            shows_lag: false,
        })
    }

    /// One that is being filled.
    pub(super) fn filled(new: NewView, fill: u64, memory: &Arc<Memory>) -> Result<Self> {
        Ok(Self { fill: Some(fill), ..Self::new(new, memory)? })
    }

    /// One that was filled, and joins.
    pub(super) fn added(self, new: NewView) -> Self {
        let past = new.subscription.as_ref().and_then(|s| s.as_of);
        Self { name: new.name.into(), past, subscription: new.subscription.map(|s| s.called), ..self }
    }

    /// Takes rows before the first epoch. Nobody reads them yet.
    pub(super) fn fill(&mut self, rows: Vec<Changes>, digests: bool) -> Result<()> {
        let is_mixed = rows.iter().any(|changes| changes.diffs.is_some());
        let rows = if is_mixed { vec![consolidate(&self.schema, &self.encoder, &rows)?] } else { rows };
        for changes in rows.iter().filter(|changes| !changes.is_empty()) {
            if digests {
                self.filled.add_changes(changes)?;
            }
            let first = self.store.next_row();
            self.store.apply(changes)?;
            if let Some(calendar) = &mut self.calendar {
                calendar.note(changes, first..self.store.next_row())?;
            }
        }
        // Merges small chunks, and moves what there is no memory for.
        self.store.seal().map(drop)
    }

    /// All of it, but what a history has had until an epoch.
    pub(super) fn image(&mut self, above: Epoch) -> Result<ShownImage> {
        let rows = StoreImage { next_row: self.store.next_row(), chunks: self.store.seal()?.image() };
        let history = self.history.as_ref().map(|history| history.image(above)).unwrap_or_default();
        let (stamp, errors) = self.errors.image();
        let errors = (stamp, Arc::new(errors));
        Ok(ShownImage { rows, history, counters: self.counters, errors, late: self.late.image() })
    }

    /// The view that [`Self::image`] gave.
    pub(super) fn restored(new: NewView, image: ShownImage, memory: &Arc<Memory>) -> Result<Self> {
        let mut view = Self::new(new, memory)?;
        let key = view.store.key().map(<[usize]>::to_vec);
        let StoreImage { next_row, chunks } = image.rows;
        view.store = Store::from_image(Arc::clone(&view.schema), key.as_deref(), next_row, chunks)?.bounded(memory);
        if let Some(calendar) = &mut view.calendar {
            calendar.fill(&view.store)?;
        }
        view.history = Some(History::restored(image.history));
        view.counters = image.counters;
        view.errors = Errors::restored(image.errors.0, &image.errors.1);
        view.late = Late::restored(image.late.0, image.late.1);
        Ok(view)
    }

    /// Takes what one worker reported.
    pub(super) fn output(&mut self, epoch: Epoch, output: Output) {
        let Output { rows, mut errors, mut late, counters } = output;
        let pending = self.pending.entry(epoch).or_default();
        pending.rows.extend(rows);
        pending.output.errors.append(&mut errors);
        pending.output.late.append(&mut late);
        pending.output.counters.add(&counters);
    }

    pub(super) fn complete(&mut self, epoch: Epoch) {
        self.pending.entry(epoch).or_default().complete = true;
    }

    pub(super) fn is_complete(&self, epoch: Epoch) -> bool {
        self.left.is_some() || self.pending.get(&epoch).is_some_and(|p| p.complete)
    }

    /// Leaves the clock: its rows stay as they were published last.
    pub(super) fn leave(&mut self, behind_since: Instant, how: Left) {
        self.left = Some(behind_since);
        self.pending.clear();
        let what = match how {
            Left::Slow => "fell too far behind and has left the clock",
            Left::Dropped => "was dropped",
            Left::Paused => "was paused",
        };
        let message = format!("{} {what}", self.called());
        let error = Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message);
        self.end_subscriptions(&match how {
            Left::Slow | Left::Paused => {
                error.with_hint("Subscribe again when its status in highwater.views is running.")
            }
            Left::Dropped => error,
        });
    }

    /// What messages call it.
    pub(super) fn called(&self) -> String {
        self.subscription.clone().unwrap_or_else(|| format!("materialized view \"{}\"", self.name))
    }

    /// Ends all subscriptions with an error.
    pub(super) fn end_subscriptions(&mut self, error: &Error) {
        for subscriber in self.subscribers.drain(..) {
            subscriber.fail(error.clone());
        }
    }

    /// Brings the rows to an epoch that is complete.
    pub(super) fn publish(
        &mut self,
        epoch: Epoch,
        now: Instant,
        watermarks: &WatermarkVector,
        config: &RuntimeConfig,
    ) -> Result<Epochal> {
        let mut all = Digest::new(self.id, epoch);
        // What it sent of epochs that were past when it joined is its history. Otherwise, what a dataflow of this view
        // sent that was dropped since.
        let later = self.pending.split_off(&epoch);
        let earlier = std::mem::replace(&mut self.pending, later);
        let past = self.past.take();
        for (epoch, pending) in earlier.into_iter().filter(|(e, _)| past.is_some_and(|p| *e >= p)) {
            all.add(&self.advance(epoch, now, pending, watermarks, config)?.digest);
        }
        let pending = self.pending.remove(&epoch).unwrap_or_default();
        let mut epochal = self.advance(epoch, now, pending, watermarks, config)?;
        epochal.digest.add(&all);
        if self.fill.take().is_some() {
            epochal.digest.add(&std::mem::replace(&mut self.filled, Digest::new(self.id, epoch)));
        }
        Ok(epochal)
    }

    /// Takes in what one epoch brought.
    fn advance(
        &mut self,
        epoch: Epoch,
        now: Instant,
        pending: Pending,
        watermarks: &WatermarkVector,
        config: &RuntimeConfig,
    ) -> Result<Epochal> {
        let Pending { rows, output, .. } = pending;
        let mut changes = rows;
        if changes.iter().any(|c| c.diffs.is_some()) {
            changes = vec![match self.consolidated {
                true => ordered(&self.schema, changes)?,
                false => consolidate(&self.schema, &self.encoder, &changes)?,
            }];
        }
        changes.retain(|c| !c.is_empty());
        let mut digest =
            if config.record_digests { self.digest(epoch, &changes, &output)? } else { Digest::new(self.id, epoch) };
        for changes in &changes {
            let first = self.store.next_row();
            let missing = self.store.apply(changes)?;
            if let Some(calendar) = &mut self.calendar {
                calendar.note(changes, first..self.store.next_row())?;
            }
            if missing > 0 {
                tracing::error!(
                    "view \"{}\" retracted {missing} rows in epoch {epoch} that it does not have",
                    self.name
                );
            }
        }
        let expired = match &mut self.calendar {
            Some(calendar) => calendar.expire(watermarks, &mut self.store)?,
            None => vec![],
        };
        let Output { errors, late, mut counters, .. } = output;
        for expired in &expired {
            counters.expired_rows += expired.len() as u64;
            if config.record_digests {
                digest.add_expired(expired)?;
            }
        }
        History::add_both(&mut self.history, epoch, now, changes.clone(), expired);
        self.counters.add(&counters);
        self.errors.add(epoch, errors, config.limits.errors_kept);
        let mut into = Vec::new();
        for late in late {
            if self.late_into {
                into.extend(insertions(&late)?);
            }
            self.late.add(epoch, late, config.settings.late_rows);
        }
        let version = self.store.seal()?;
        Ok(Epochal { version, digest, counted: counters, late: into, changes })
    }

    fn digest(&self, epoch: Epoch, changes: &[Changes], output: &Output) -> Result<Digest> {
        let mut digest = Digest::new(self.id, epoch);
        changes.iter().try_for_each(|c| digest.add_changes(c))?;
        output.late.iter().try_for_each(|l| digest.add_late(l))?;
        output.errors.iter().for_each(|e: &RowError| digest.add_error(e));
        Ok(digest)
    }

    /// Tells subscribers of an epoch, whether it changed the view or not.
    pub(super) fn tell(&mut self, epoch: Epoch, changes: &[Changes]) -> Result<()> {
        if self.subscribers.is_empty() {
            return Ok(());
        }
        let net = self.net(changes)?;
        self.subscribers.retain_mut(|s| s.send(epoch, net.as_ref()));
        Ok(())
    }

    /// The changes of one epoch as subscribers see them.
    fn net(&self, changes: &[Changes]) -> Result<Option<Changes>> {
        match changes {
            [] => Ok(None),
            // With weights, it was consolidated before it was applied.
            [one] if one.diffs.is_some() => Ok(Some(one.clone())),
            parts => consolidate(&self.schema, &self.encoder, parts).map(Some),
        }
    }

    /// A new subscription; `now` is the published epoch, and not before `as_of`.
    pub(super) fn subscribe(
        &mut self,
        spec: &SubscribeSpec,
        now: Epoch,
        open: &prometheus_client::metrics::gauge::Gauge,
        unread: &Arc<Unread>,
    ) -> Result<Subscription> {
        let as_of = spec.as_of.unwrap_or(now);
        if let Some(up_to) = spec.up_to.filter(|u| *u < as_of) {
            return Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("UP TO {up_to} lies before AS OF {as_of}"),
            ));
        }
        let since = self.history.as_ref().map_or(now, |h| h.since);
        if as_of < since {
            return Err(too_old(&self.called(), as_of, since));
        }
        let (mut subscriber, subscription) = Subscriber::new(spec, as_of, open, unread);
        if spec.snapshot {
            match as_of == now {
                true => subscriber.stored(self.store.seal()?),
                false => subscriber.snapshot(self.rows_at(as_of)?),
            }
        }
        let mut more = subscriber.begin();
        for (epoch, changes) in self.history.iter().flat_map(|h| h.after(as_of)) {
            if more && spec.up_to.is_none_or(|u| epoch <= u) {
                more = subscriber.send(epoch, self.net(changes)?.as_ref());
            }
        }
        if more && now > as_of {
            more = subscriber.catch_up(now);
        }
        if more {
            self.subscribers.push(subscriber);
        }
        Ok(subscription)
    }

    /// The rows as they were at an epoch, as insertions.
    fn rows_at(&mut self, epoch: Epoch) -> Result<Vec<Changes>> {
        let now = self.store.seal()?;
        let later = self.history.as_ref().map_or_else(Vec::new, |h| h.between(epoch));
        Ok(before(&now, &later)?.into_iter().map(Changes::insertions).collect())
    }
}
