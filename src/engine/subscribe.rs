//! SUBSCRIBE: a view's changes as rows, epoch by epoch; `envelope` makes one row per key of them.
//!
//! A subscription to a query, a table or a plain view runs on a materialized view of its own, which nobody else sees
//! and which goes when the subscription ends. AS OF a past epoch it reads what its tables and views held then, and goes
//! through what changed since, epoch by epoch, before it joins the clock.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::StreamExt;

use super::Engine;
use super::ddl::Ddl;
use super::envelope::Encoder;
use super::outcome::{Column, Outcome};
use super::session::Session;
use super::stream::{Batches, Guard};
use super::views::PlannedView;
use crate::catalog::object::{Emit, Kind, Object};
use crate::catalog::{Resolved, Snapshot};
use crate::data::{Changes, Epoch, ObjectId};
use crate::error::{Error, Result};
use crate::runtime::{ForSubscription, SubscribeSpec, Subscription, SubscriptionEvent};
use crate::sql::statement::{CreateMaterializedView, Name, Subscribe};

impl Session {
    /// SUBSCRIBE, as a statement of its own.
    pub(super) async fn subscribe(&self, subscribe: &Subscribe, guard: Guard) -> Result<Outcome> {
        let (columns, rows) = guard.wait(self.subscription(subscribe)).await?;
        Ok(Outcome::Rows { columns, rows: guard.rows(rows), tag: "SUBSCRIBE" })
    }

    /// The columns that a subscription will have.
    pub(super) async fn subscription_columns(&self, subscribe: &Subscribe) -> Result<Vec<Column>> {
        let snapshot = self.shared.engine.catalog.snapshot();
        let (fields, key) = match materialized(&snapshot, subscribe)? {
            Some(view) => (plain(&view), derived(&view)),
            None => {
                let planned = self.plan_subscription(subscribe).await?;
                (planned.bound.columns, planned.view.key)
            }
        };
        let encoder = self.encoder(subscribe, &fields, key.as_deref())?;
        Ok(with_prefix(fields, subscribe.progress, encoder.as_ref()))
    }

    fn encoder(&self, subscribe: &Subscribe, fields: &[Field], key: Option<&[usize]>) -> Result<Option<Encoder>> {
        let limit = self.shared.settings.lock().bytes("subscribe_buffer");
        subscribe.envelope.as_ref().map(|envelope| Encoder::new(envelope, fields, key, limit)).transpose()
    }

    /// Starts a subscription.
    pub(super) async fn subscription(&self, subscribe: &Subscribe) -> Result<(Vec<Column>, Batches)> {
        let engine = &self.shared.engine;
        let (view, fields, key, temporary) = match materialized(&engine.catalog.snapshot(), subscribe)? {
            Some(view) => (view.id, plain(&view), derived(&view), None),
            None => {
                let (guard, planned) = self.temporary_view(subscribe).await?;
                (guard.view, planned.bound.columns, planned.view.key, Some(guard))
            }
        };
        let encoder = self.encoder(subscribe, &fields, key.as_deref())?;
        let buffer = self.shared.settings.lock().bytes("subscribe_buffer");
        let spec = SubscribeSpec {
            view,
            snapshot: subscribe.snapshot || encoder.as_ref().is_some_and(Encoder::needs_snapshot),
            as_of: subscribe.as_of.map(Epoch),
            up_to: subscribe.up_to.map(Epoch),
            // The first one ends the snapshot.
            progress: subscribe.progress || encoder.is_some(),
            buffer,
        };
        let subscription = engine.runtime.subscribe(spec).await?;
        let columns = with_prefix(fields, subscribe.progress, encoder.as_ref());
        let schema = Arc::new(Schema::new(columns.iter().map(|c| c.field.clone()).collect::<Vec<_>>()));
        let state = State {
            subscription,
            _temporary: temporary,
            schema,
            progress: subscribe.progress,
            snapshot: Some(Vec::new()),
            tell_snapshot: subscribe.snapshot,
            encoder,
        };
        Ok((columns, futures::stream::unfold(Some(state), next).boxed()))
    }

    /// A view for one subscription.
    async fn temporary_view(&self, subscribe: &Subscribe) -> Result<(TemporaryView, PlannedView)> {
        let engine = self.shared.engine.clone();
        let id = engine.catalog.allocate();
        let planned = self.plan_subscription(subscribe).await?;
        let name = format!("subscription_{id}");
        let mut spec = planned.spec(id, &name, self.subscription_ddl(id, &name, subscribe, &planned)?)?;
        let as_of = subscribe.as_of.map(Epoch);
        if let Some(as_of) = as_of {
            refuse_sources(&engine.catalog.snapshot(), &planned.view.inputs)?;
            engine.runtime.wait_published(as_of).await?;
        }
        spec.subscription = Some(ForSubscription { called: called(subscribe), as_of });
        let inputs = planned.view.inputs.clone();
        engine.temporary.lock().insert(id, inputs);
        let guard = TemporaryView { engine: engine.clone(), view: id };
        engine.runtime.create_view(spec).await?;
        Ok((guard, planned))
    }
}

impl Session {
    /// What replay makes the view of again.
    fn subscription_ddl(
        &self,
        id: ObjectId,
        name: &str,
        subscribe: &Subscribe,
        planned: &PlannedView,
    ) -> Result<Vec<u8>> {
        let create = CreateMaterializedView {
            or_replace: false,
            name: Name { schema: None, name: name.to_owned(), position: 0 },
            if_not_exists: false,
            columns: Vec::new(),
            query: subscribe.query.clone(),
            emit: Emit::OnUpdate,
            lateness: None,
            retention: None,
            late_into: None,
            definition: format!("CREATE MATERIALIZED VIEW {name} AS {}", subscribe.query.text),
        };
        let kind = Kind::MaterializedView(self.describe(&create, planned));
        Ddl::Subscription(Object { id, name: name.to_owned(), schema: planned.schema(), kind, comment: None }).bytes()
    }
}

/// The materialized view that is subscribed to directly.
fn materialized(snapshot: &Snapshot, subscribe: &Subscribe) -> Result<Option<Arc<Object>>> {
    let Some(name) = &subscribe.relation else { return Ok(None) };
    match snapshot.resolve(name.schema.as_deref(), &name.name) {
        Ok(Resolved::User(object)) if matches!(object.kind, Kind::MaterializedView(_)) => Ok(Some(object)),
        Ok(_) => Ok(None),
        Err(error) => Err(if name.position > 0 { error.with_position(name.position) } else { error }),
    }
}

/// What messages call the view of a subscription.
fn called(subscribe: &Subscribe) -> String {
    match &subscribe.relation {
        Some(name) => format!("the subscription to \"{}\"", name.name),
        None => "the subscription's query".to_owned(),
    }
}

/// AS OF needs the history of all that is read, and only tables and materialized views have one.
fn refuse_sources(snapshot: &Snapshot, inputs: &[ObjectId]) -> Result<()> {
    let objects = inputs.iter().filter_map(|id| snapshot.get(*id));
    match objects.into_iter().find(|o| matches!(o.kind, Kind::Source(_))) {
        None => Ok(()),
        Some(source) => Err(Error::unsupported(
            format!("SUBSCRIBE .. AS OF with source \"{}\"", source.name),
            "A source keeps no history: create a materialized view over it and subscribe to that.",
        )),
    }
}

/// Drops a subscription's own view when the subscription ends.
pub(super) struct TemporaryView {
    engine: Arc<Engine>,
    view: ObjectId,
}

impl Drop for TemporaryView {
    fn drop(&mut self) {
        if self.engine.temporary.lock().remove(&self.view).is_none() {
            return;
        }
        let (runtime, view) = (self.engine.runtime.clone(), self.view);
        if let Ok(handle) = tokio::runtime::Handle::try_current() {
            let ddl = Ddl::Drop(vec![view]).bytes().unwrap_or_default();
            handle.spawn(async move { runtime.drop_objects(vec![view], ddl).await });
        }
    }
}

/// The columns of a view.
fn plain(view: &Object) -> Vec<Field> {
    view.schema.fields().iter().map(|f| f.as_ref().clone()).collect()
}

/// The key that a view's query makes unique.
fn derived(view: &Object) -> Option<Vec<usize>> {
    match &view.kind {
        Kind::MaterializedView(view) => view.key.clone(),
        Kind::Table(_) | Kind::Source(_) | Kind::View(_) | Kind::Sink(_) => None,
    }
}

/// A running subscription.
struct State {
    subscription: Subscription,
    _temporary: Option<TemporaryView>,
    schema: SchemaRef,
    /// Whether progress is told.
    progress: bool,
    encoder: Option<Encoder>,
    /// Under an envelope: the snapshot's batches, until all are there.
    snapshot: Option<Vec<(Epoch, Changes)>>,
    tell_snapshot: bool,
}

async fn next(state: Option<State>) -> Option<(Result<RecordBatch>, Option<State>)> {
    let mut state = state?;
    loop {
        let event = match state.subscription.next().await {
            Ok(Some(event)) => event,
            Ok(None) => return None,
            Err(error) => return Some((Err(error), None)),
        };
        match state.rows(event) {
            Ok(Some(batch)) => return Some((Ok(batch), Some(state))),
            Ok(None) => {}
            Err(error) => return Some((Err(error), None)),
        }
    }
}

impl State {
    /// The rows that tell of an event, if any.
    fn rows(&mut self, event: SubscriptionEvent) -> Result<Option<RecordBatch>> {
        if self.encoder.is_none() {
            return match event {
                SubscriptionEvent::Changes { epoch, changes } => {
                    let mut columns: Vec<ArrayRef> = vec![Arc::new(changes.diffs_or_ones())];
                    columns.extend(changes.rows.columns().iter().cloned());
                    self.batch(epoch, columns).map(Some)
                }
                SubscriptionEvent::Progress(epoch) => self.progressed(epoch).map(Some),
            };
        }
        match event {
            SubscriptionEvent::Changes { epoch, changes } => match &mut self.snapshot {
                Some(snapshot) => {
                    snapshot.push((epoch, changes));
                    Ok(None)
                }
                None => self.enveloped(epoch, &[changes]),
            },
            SubscriptionEvent::Progress(epoch) => {
                let snapshot = match self.snapshot.take().unwrap_or_default() {
                    batches if batches.is_empty() => None,
                    batches => {
                        let at = batches.first().map_or(epoch, |(epoch, _)| *epoch);
                        let batches: Vec<Changes> = batches.into_iter().map(|(_, changes)| changes).collect();
                        self.enveloped(at, &batches)?.filter(|_| self.tell_snapshot)
                    }
                };
                let progress = if self.progress { Some(self.progressed(epoch)?) } else { None };
                Ok(match (snapshot, progress) {
                    (Some(rows), Some(progress)) => Some(concat_batches(&self.schema, [&rows, &progress])?),
                    (rows, progress) => rows.or(progress),
                })
            }
        }
    }

    fn enveloped(&mut self, epoch: Epoch, changes: &[Changes]) -> Result<Option<RecordBatch>> {
        let Some(encoder) = &mut self.encoder else { return Ok(None) };
        let columns = encoder.encode(changes)?;
        let rows = self.batch(epoch, columns)?;
        Ok((rows.num_rows() > 0).then_some(rows))
    }

    /// Columns behind the epoch.
    fn batch(&self, epoch: Epoch, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
        let count = columns.first().map_or(0, |c| c.len());
        let mut all: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![number(epoch); count]))];
        if self.progress {
            all.push(Arc::new(BooleanArray::from(vec![false; count])));
        }
        all.extend(columns);
        Ok(RecordBatch::try_new(self.schema.clone(), all)?)
    }

    /// The row that says that an epoch is told.
    fn progressed(&self, epoch: Epoch) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![number(epoch)]))];
        if self.progress {
            columns.push(Arc::new(BooleanArray::from(vec![true])));
        }
        let rest = self.schema.fields().iter().skip(columns.len());
        columns.extend(rest.map(|f| new_null_array(f.data_type(), 1)).collect::<Vec<_>>());
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

fn number(epoch: Epoch) -> i64 {
    i64::try_from(epoch.0).unwrap_or(i64::MAX)
}

/// `hw_epoch, [hw_progressed,] hw_diff` before a relation's columns; an envelope has columns of its own.
fn with_prefix(columns: Vec<Field>, progress: bool, encoder: Option<&Encoder>) -> Vec<Column> {
    let mut fields = vec![Field::new("hw_epoch", DataType::Int64, true)];
    if progress {
        fields.push(Field::new("hw_progressed", DataType::Boolean, true));
    }
    match encoder {
        Some(encoder) => fields.extend(encoder.fields()),
        None => {
            fields.push(Field::new("hw_diff", DataType::Int64, true));
            fields.extend(columns.into_iter().map(|f| f.with_nullable(true)));
        }
    }
    fields.into_iter().map(|field| Column { field, origin: (0, 0) }).collect()
}
