//! One materialized view as the publisher keeps it: its rows, its recent changes, what it turned away, who listens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::data::{Changes, Epoch, KeyEncoder, ObjectId};
use crate::error::{Error, Result, SqlState};
use crate::operators::{Counters, Output, RowError};
use crate::store::{Store, Version};

use super::super::command::OperatorStats;
use super::super::digest::Digest;
use super::super::message::NewView;
use super::super::subscribe::{Subscriber, Subscription};
use super::super::{Limits, Settings, SubscribeSpec};
use super::consolidate::{consolidate, ordered};
use super::errors::Errors;
use super::history::History;
use super::late::{Late, insertions};

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
    /// Whether no row comes twice in an epoch.
    consolidated: bool,
    late_into: bool,
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
    pub(super) fn new(new: NewView) -> Result<Self> {
        let NewView { id, name, schema, graph, late_into } = new;
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        Ok(Self {
            id,
            name: name.into(),
            encoder: KeyEncoder::new(&schema, &all)?,
            store: Store::new(Arc::clone(&schema), graph.key.as_deref())?,
            schema,
            consolidated: graph.consolidated,
            late_into,
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
    pub(super) fn leave(&mut self, behind_since: Instant) {
        self.left = Some(behind_since);
        self.pending.clear();
        let error = Error::new(
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("materialized view \"{}\" fell too far behind and has left the clock", self.name),
        );
        self.end_subscriptions(&error.with_hint("subscribe again when its status in highwater.views is running"));
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
        limits: &Limits,
        settings: &Settings,
        digests: bool,
    ) -> Result<Epochal> {
        let Pending { rows, output, .. } = self.pending.remove(&epoch).unwrap_or_default();
        // What a dataflow of this view sent that was dropped since.
        self.pending = self.pending.split_off(&epoch);
        let mut changes = rows;
        if changes.iter().any(|c| c.diffs.is_some()) {
            changes = vec![match self.consolidated {
                true => ordered(&self.schema, changes)?,
                false => consolidate(&self.schema, &self.encoder, &changes)?,
            }];
        }
        changes.retain(|c| !c.is_empty());
        let digest = if digests { self.digest(epoch, &changes, &output)? } else { Digest::new(self.id, epoch) };
        for changes in &changes {
            let missing = self.store.apply(changes)?;
            if missing > 0 {
                tracing::error!(
                    "view \"{}\" retracted {missing} rows in epoch {epoch} that it does not have",
                    self.name
                );
            }
        }
        match &mut self.history {
            Some(history) if !changes.is_empty() => history.push(epoch, now, changes.clone()),
            Some(_) => {}
            None => self.history = Some(History::new(epoch)),
        }
        let Output { errors, late, counters, .. } = output;
        self.counters.add(&counters);
        self.errors.add(epoch, errors, limits.errors_kept);
        let mut into = Vec::new();
        for late in late {
            if self.late_into {
                into.extend(insertions(&late)?);
            }
            self.late.add(epoch, late, settings.late_rows);
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
            return Err(Error::new(
                SqlState::SNAPSHOT_TOO_OLD,
                format!("the history of materialized view \"{}\" does not go back to epoch {as_of}", self.name),
            )
            .with_hint(format!("the oldest epoch is {since}; the setting history says how long changes are kept")));
        }
        let (mut subscriber, subscription) = Subscriber::new(spec, as_of, open);
        if spec.snapshot {
            subscriber.snapshot(self.rows_at(as_of)?);
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
        let now = self.store.seal()?.batches()?.into_iter().map(Changes::insertions);
        let mut later = self.history.iter().flat_map(|h| h.after(epoch)).peekable();
        if later.peek().is_none() {
            return Ok(now.collect());
        }
        let mut parts: Vec<Changes> = now.collect();
        parts.extend(later.flat_map(|(_, changes)| changes).map(Changes::negated));
        Ok(vec![consolidate(&self.schema, &self.encoder, &parts)?])
    }
}
