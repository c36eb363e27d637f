//! ALTER .. RENAME, and ALTER TABLE: at a quiet moment a table gets another shape, and everybody who has to do with it goes on.
//!
//! * The log has one record, the catalog's change, with the values that rows get in columns that come (where each row gets
//!   one of its own, the rows stand before it, and mean nothing without it): epochs before it
//!   have rows of the old shape, those behind it of the new one, and replay changes over where the record stands.
//! * The table's store is made anew: the same rows, by the same ids. Who holds an older version reads on in it.
//! * A view's operators know their inputs' columns by position. They are left alone, state and all: rows are recast to the
//!   shape that the view was planned over before they enter it ([`Graph::recasts`](crate::operators::Graph)), on every
//!   worker. Columns that came are left out; one that went, and that the view therefore does not read, is NULL.
//! * A view that is being filled begins anew; one that was planned over the old shape, and comes later, is recast too.
//! * Writes know the columns that they were made for ([`TableRef`](crate::runtime::TableRef)): those made for others are
//!   refused with 40001, and the engine binds the statement again.
//! * What the table was before cannot be told with the new columns: its history for AS OF begins here.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;

use tokio::sync::oneshot::Sender as Reply;

use crate::data::{Changes, ColumnNumbers, Epoch, ObjectId, Recast, Shape};
use crate::error::{Error, Result, SqlState};
use crate::log::{Record, TableChanges};
use crate::store::Store;

use super::super::command::Command;
use super::super::digest::InputEpoch;
use super::super::message::Publish;
use super::super::{KeptWindows, LateTarget, TableAlter};
use super::Sequencer;
use super::answers::Answer;
use super::table::evaluate;
use super::views::ViewState;

impl Sequencer {
    /// A quiet moment: answers when the epoch closes that begins with the change.
    pub(super) fn alter_for(&mut self, alter: TableAlter, reply: Reply<Result<Epoch>>) -> Result<()> {
        match self.check_disk().and_then(|()| self.check_alter(&alter)).and_then(|()| self.each_value(&alter)) {
            Ok(rows) => {
                if let Some(rows) = &rows {
                    self.append(&Record::Values { epoch: self.next_epoch, rows: rows.clone() })?;
                }
                self.values = rows;
                self.alter_table(alter)?;
                self.open.ddl.push(reply);
            }
            Err(error) => drop(reply.send(Err(error))),
        }
        Ok(())
    }

    /// ALTER .. RENAME.
    pub(in crate::runtime) fn rename(&mut self, object: ObjectId, name: String) {
        if let Some(table) = self.tables.get_mut(&object) {
            table.spec.name.clone_from(&name);
        }
        if let Some(feed) = self.feeds.get_mut(&object) {
            feed.name.clone_from(&name);
        }
        if let Some(view) = self.views.get_mut(&object) {
            view.spec.name.clone_from(&name);
        }
        if let Some(away) = self.away.get_mut(&object) {
            away.spec.name.clone_from(&name);
            self.follow_pauses();
        }
        self.shared.sinks.get(object).iter().for_each(|sink| sink.rename(&name));
        let _ = self.shared.publisher.send(Publish::Rename(object, name));
    }

    /// A quiet moment: objects go, and who subscribes to them is told that there is another view now.
    pub(super) fn replace_view(
        &mut self,
        objects: &[ObjectId],
        ddl: Vec<u8>,
        kept: Option<KeptWindows>,
        reply: Reply<Result<Epoch>>,
    ) -> Result<()> {
        let rows = match kept.as_ref().map(|kept| self.kept_rows(objects, kept)).transpose() {
            Ok(rows) => rows,
            Err(error) => {
                let _ = reply.send(Err(error));
                return Ok(());
            }
        };
        let called = objects.first().map_or_else(String::new, |id| self.called(*id));
        let epoch = Epoch(self.next_epoch.0 - 1);
        for id in objects {
            let message = format!("{called} was replaced at epoch {epoch}");
            let error = Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                .with_hint(format!("Subscribe again: AS OF {epoch} is the first that the new view tells of its own."));
            let _ = self.shared.publisher.send(Publish::End(*id, error));
        }
        self.values = rows;
        let epoch = match kept {
            Some(kept) => self.drop_but(objects, ddl, kept)?,
            None => self.drop_objects(objects, ddl)?,
        };
        self.answer(Answer::Dropped(reply, epoch));
        Ok(())
    }

    /// What a view keeps of the first of some views.
    fn kept_rows(&self, views: &[ObjectId], kept: &KeptWindows) -> Result<TableChanges> {
        let old = views.first().copied().unwrap_or(kept.view);
        let version = self.shared.published().version(old, &self.called(old))?;
        let changes = kept.of(&version)?;
        let bytes: usize = changes.iter().map(Changes::bytes).sum();
        if bytes > self.config.limits.max_transaction {
            let message = format!("{} has too many rows that are to stay as they are", self.called(old));
            let hint = "Name an earlier time behind FROM: what is kept goes through the log, as one transaction does.";
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).with_hint(hint));
        }
        Ok(TableChanges { object: kept.view, partition: 0, changes })
    }

    /// A quiet moment: views go but for some rows, which stand in the log before that.
    pub(in crate::runtime) fn drop_but(
        &mut self,
        views: &[ObjectId],
        ddl: Vec<u8>,
        kept: KeptWindows,
    ) -> Result<Epoch> {
        let rows = self.values.take().filter(|rows| rows.object == kept.view);
        let Some(rows) = rows else { return self.drop_objects(views, ddl) };
        self.append(&Record::Values { epoch: self.next_epoch, rows: rows.clone() })?;
        let epoch = self.drop_objects(views, ddl)?;
        let (reply, answer) = crossbeam_channel::bounded(1);
        let _ = self.shared.publisher.send(Publish::Keep(kept, rows.changes, reply));
        answer.recv().map_err(|_| Error::internal("the publisher is gone"))??;
        Ok(epoch)
    }

    /// Whether a table has other columns than what is published of it.
    pub(super) fn is_altering(&self, table: ObjectId) -> bool {
        let published = self.shared.published().find(table).map(|version| ColumnNumbers::carried(version.schema()));
        let now = self.tables.get(&table).map(|head| ColumnNumbers::carried(&head.spec.schema));
        published.is_some_and(|published| now.is_some_and(|now| now != published))
    }

    /// A quiet moment: a view can be filled that was to be when a table was being altered.
    pub(super) fn fill_now(&mut self, view: ObjectId) -> Result<()> {
        let waits = |state: &&ViewState| !state.is_published() && !self.catchups.contains_key(&view);
        match self.views.get(&view).filter(waits).map(ViewState::inputs) {
            Some(inputs) => self.fill(view, &inputs),
            None => Ok(()),
        }
    }

    /// NOT NULL holds for the rows that are there.
    fn check_alter(&mut self, alter: &TableAlter) -> Result<()> {
        let (name, schema) = (&alter.spec.name, &alter.spec.schema);
        let Some(head) = self.tables.get_mut(&alter.spec.id) else {
            return Err(Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist")));
        };
        let version = head.store.seal()?;
        let (before, after) = (Shape::carried(&head.spec.schema), Shape::carried(schema));
        for &column in &alter.required {
            let number = after.numbers.of(column);
            let has_null = match before.numbers.position(number, before.schema.fields().len()) {
                Some(was) => version.has_null(was)?,
                None if alter.each.iter().any(|(n, _)| *n == number) => false,
                None => version.rows() > 0 && alter.added.iter().all(|(n, value)| *n != number || value.is_null(0)),
            };
            if has_null {
                let column = schema.field(column).name();
                let message = format!("column \"{column}\" of relation \"{name}\" contains null values");
                return Err(Error::new(SqlState::NOT_NULL_VIOLATION, message));
            }
        }
        Ok(())
    }

    /// The table's rows, where each gets a value of its own.
    fn each_value(&self, alter: &TableAlter) -> Result<Option<TableChanges>> {
        let TableAlter { spec, added, each, .. } = alter;
        let Some(head) = self.tables.get(&spec.id).filter(|head| !each.is_empty() && head.store.rows() > 0) else {
            return Ok(None);
        };
        let (before, after) = (Shape::carried(&head.spec.schema), Shape::carried(&spec.schema));
        let fill = |number| added.iter().find(|(n, _)| *n == number).map(|(_, value)| Arc::clone(value));
        let recast = Recast::new(&before, &after, fill);
        let mut changes = Vec::new();
        for (rows, _) in head.store.batches_with_ids()? {
            let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
            let none = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?;
            let mut columns = recast.columns(&rows)?;
            for (number, expr) in each {
                let at = after.numbers.position(*number, columns.len());
                let value = evaluate(expr, &none)?;
                at.into_iter().for_each(|at| columns[at] = Arc::clone(&value));
            }
            let rows = RecordBatch::try_new(Arc::clone(&spec.schema), columns).map_err(|_| {
                Error::new(
                    SqlState::NOT_NULL_VIOLATION,
                    format!("a column of relation \"{}\" contains null values", spec.name),
                )
            })?;
            changes.push(Changes::insertions(rows));
        }
        Ok(Some(TableChanges { object: spec.id, partition: 0, changes }))
    }

    /// A quiet moment: the table is so from the open epoch on.
    pub(in crate::runtime) fn alter_table(&mut self, alter: TableAlter) -> Result<()> {
        let TableAlter { mut spec, added, mut dropped, valued, .. } = alter;
        let id = spec.id;
        let now = Shape::carried(&spec.schema);
        // Subscriptions that read a column that goes.
        for (view, error) in self.views_without(id, &spec.name, &now) {
            if !dropped.contains(&view) {
                let _ = self.shared.publisher.send(Publish::End(view, error));
                dropped.push(view);
            }
        }
        self.log_ddl(std::mem::take(&mut spec.ddl), dropped.clone())?;
        self.remove_objects(dropped)?;
        let Some(head) = self.tables.get_mut(&id) else { return Ok(()) };
        let before = Shape::carried(&head.spec.schema);
        let key = (!spec.primary_key.is_empty()).then_some(spec.primary_key.as_slice());
        let changed = before.numbers != now.numbers;
        let fill = |number| added.iter().find(|(n, _)| *n == number).map(|(_, value)| Arc::clone(value));
        let recast = changed.then(|| Recast::new(&before, &now, fill));
        let values = self.values.take().filter(|rows| valued && is_of(rows, id, head.store.rows()));
        head.store = match &values {
            Some(rows) => {
                let mut store = Store::new(Arc::clone(&spec.schema), key)?.bounded(&self.config.memory);
                rows.changes.iter().try_for_each(|changes| store.insert(&changes.rows).map(drop))?;
                store
            }
            None => head.store.recast(Arc::clone(&spec.schema), key, recast.as_ref())?,
        };
        head.clock.redefine(spec.watermark.clone());
        spec.connector = head.spec.connector.take();
        head.spec = spec;
        self.open.changed_tables.insert(id);
        let Some(recast) = recast else { return Ok(()) };
        let _ = self.shared.publisher.send(Publish::Altered(id));
        match values {
            Some(rows) => replace_inputs(&mut self.inputs, id, &rows.changes),
            None => self.recast_inputs(id, &recast)?,
        }
        self.recast_targets(id, &before, &now);
        self.recast_readers(id, &now)
    }

    /// Views that are there, and that read a column that is not any more.
    fn views_without(&self, table: ObjectId, name: &str, now: &Shape) -> Vec<(ObjectId, Error)> {
        let lacking = self.views.iter().filter_map(|(id, view)| {
            let column = view.spec.lacks(table, now)?;
            let message = format!("column \"{column}\" of table \"{name}\", which it reads, was dropped");
            Some((*id, Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)))
        });
        lacking.collect()
    }

    /// Views go on with the table as they know it.
    fn recast_readers(&mut self, table: ObjectId, now: &Shape) -> Result<()> {
        for away in self.away.values_mut() {
            away.spec.see(table, now);
        }
        let readers = self.views.iter().filter(|(_, view)| view.names(table));
        for id in readers.map(|(id, _)| *id).collect::<Vec<_>>() {
            let Some(state) = self.views.get_mut(&id) else { continue };
            state.spec.see(table, now);
            if !state.is_published() {
                self.fill_anew(id)?;
            } else if let Some(workers) = &self.workers {
                let recast = state.spec.graph.recasts.get(&table).cloned();
                workers.send(Command::Alter { view: id, table, recast });
            }
        }
        Ok(())
    }

    /// Late rows on their way to the table have its new columns.
    fn recast_targets(&mut self, table: ObjectId, before: &Shape, now: &Shape) {
        let views = self.views.values_mut().map(|view| &mut view.spec.late_into);
        let away = self.away.values_mut().map(|away| &mut away.spec.late_into);
        let late = self.late.iter_mut().map(|late| &mut late.target);
        let targets = views.chain(away).flatten().chain(late);
        targets.filter(|target| target.table == table).for_each(|target| target.recast(before, now));
    }

    /// What tests compare with is told with the new columns.
    fn recast_inputs(&mut self, table: ObjectId, recast: &Recast) -> Result<()> {
        let inputs = self.inputs.iter_mut().flat_map(|epoch| &mut epoch.inputs);
        for changes in inputs.filter(|(id, _)| *id == table).flat_map(|(_, changes)| changes) {
            *changes = recast.changes(changes)?;
        }
        Ok(())
    }
}

/// The same where rows have values of their own: what came before is told as if it had come at once.
fn replace_inputs(inputs: &mut [InputEpoch], table: ObjectId, rows: &[Changes]) {
    let mut rows = Some(rows);
    for (_, changes) in inputs.iter_mut().flat_map(|epoch| &mut epoch.inputs).filter(|(id, _)| *id == table) {
        *changes = rows.take().map(<[Changes]>::to_vec).unwrap_or_default();
    }
}

/// Whether these are the rows of a table; others are of a change that did not come about.
fn is_of(rows: &TableChanges, table: ObjectId, count: usize) -> bool {
    rows.object == table && rows.changes.iter().map(Changes::len).sum::<usize>() == count
}

impl LateTarget {
    /// The table has other columns: those that came get NULL.
    pub(super) fn recast(&mut self, before: &Shape, now: &Shape) {
        let width = before.schema.fields().len();
        let from =
            |number| before.numbers.position(number, width).and_then(|at| self.columns.get(at).copied().flatten());
        self.columns = now.all().map(from).collect();
    }
}
