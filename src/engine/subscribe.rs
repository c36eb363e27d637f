//! SUBSCRIBE: a view's changes as rows, epoch by epoch.
//!
//! A subscription to a query, a table or a plain view runs on a materialized view of its own, which nobody else sees
//! and which goes when the subscription ends.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::StreamExt;

use super::Engine;
use super::ddl::Ddl;
use super::outcome::{Column, Outcome};
use super::session::Session;
use super::stream::{Batches, Guard};
use super::views::PlannedView;
use crate::catalog::object::{Emit, Kind, Object};
use crate::catalog::{Resolved, Snapshot};
use crate::data::{Epoch, ObjectId};
use crate::error::Result;
use crate::runtime::{SubscribeSpec, Subscription, SubscriptionEvent};
use crate::sql::statement::{CreateMaterializedView, Name, Subscribe};

impl Session {
    /// SUBSCRIBE, as a statement of its own.
    pub(super) async fn subscribe(&self, subscribe: &Subscribe, guard: Guard) -> Result<Outcome> {
        let (columns, rows) = guard.wait(self.subscription(subscribe)).await?;
        Ok(Outcome::Rows { columns, rows: guard.rows(rows), tag: "SUBSCRIBE" })
    }

    /// The columns that a subscription will have.
    pub(super) fn subscription_columns(&self, subscribe: &Subscribe) -> Result<Vec<Column>> {
        let snapshot = self.shared.engine.catalog.snapshot();
        let columns = match materialized(&snapshot, subscribe)? {
            Some(view) => view.schema.fields().iter().map(|f| f.as_ref().clone()).collect(),
            None => self.binder_session(|binder| binder.view(&subscribe.query, &[]))?.columns,
        };
        Ok(with_prefix(columns, subscribe.progress))
    }

    /// Starts a subscription.
    pub(super) async fn subscription(&self, subscribe: &Subscribe) -> Result<(Vec<Column>, Batches)> {
        let engine = &self.shared.engine;
        let (view, fields, temporary) = match materialized(&engine.catalog.snapshot(), subscribe)? {
            Some(view) => (view.id, view.schema.fields().iter().map(|f| f.as_ref().clone()).collect(), None),
            None => {
                let (guard, fields) = self.temporary_view(subscribe).await?;
                (guard.view, fields, Some(guard))
            }
        };
        let buffer = self.shared.settings.lock().bytes("subscribe_buffer");
        let spec = SubscribeSpec {
            view,
            snapshot: subscribe.snapshot,
            as_of: subscribe.as_of.map(Epoch),
            up_to: subscribe.up_to.map(Epoch),
            progress: subscribe.progress,
            buffer,
        };
        let subscription = engine.runtime.subscribe(spec).await?;
        let columns = with_prefix(fields, subscribe.progress);
        let schema = Arc::new(Schema::new(columns.iter().map(|c| c.field.clone()).collect::<Vec<_>>()));
        let progress = subscribe.progress;
        let state = (subscription, temporary, schema);
        let rows = futures::stream::unfold(Some(state), move |state| next(state, progress));
        Ok((columns, rows.boxed()))
    }

    /// A view for one subscription.
    async fn temporary_view(&self, subscribe: &Subscribe) -> Result<(TemporaryView, Vec<Field>)> {
        let engine = self.shared.engine.clone();
        let id = engine.catalog.allocate();
        let planned = self.plan_view(&subscribe.query, &[], Emit::OnUpdate, None, None)?;
        let name = format!("subscription_{id}");
        let spec = planned.spec(id, &name, self.subscription_ddl(id, &name, subscribe, &planned)?)?;
        let inputs = planned.view.inputs.clone();
        engine.temporary.lock().insert(id, inputs);
        let guard = TemporaryView { engine: engine.clone(), view: id };
        engine.runtime.create_view(spec).await?;
        Ok((guard, planned.bound.columns))
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
            name: Name { schema: None, name: name.to_owned(), position: 0 },
            if_not_exists: false,
            columns: Vec::new(),
            query: subscribe.query.clone(),
            emit: Emit::OnUpdate,
            lateness: None,
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
            let ddl = Ddl::Drop(Vec::new()).bytes().unwrap_or_default();
            handle.spawn(async move { runtime.drop_objects(vec![view], ddl).await });
        }
    }
}

type State = (Subscription, Option<TemporaryView>, SchemaRef);

async fn next(state: Option<State>, progress: bool) -> Option<(Result<RecordBatch>, Option<State>)> {
    let (mut subscription, temporary, schema) = state?;
    match subscription.next().await {
        Ok(Some(event)) => {
            let batch = rows(&schema, event, progress);
            Some((batch, Some((subscription, temporary, schema))))
        }
        Ok(None) => None,
        Err(error) => Some((Err(error), None)),
    }
}

/// `hw_epoch, [hw_progressed,] hw_diff` before a relation's columns.
fn with_prefix(columns: Vec<Field>, progress: bool) -> Vec<Column> {
    let mut fields = vec![Field::new("hw_epoch", DataType::Int64, true)];
    if progress {
        fields.push(Field::new("hw_progressed", DataType::Boolean, true));
    }
    fields.push(Field::new("hw_diff", DataType::Int64, true));
    fields.extend(columns.into_iter().map(|f| f.with_nullable(true)));
    fields.into_iter().map(|field| Column { field, origin: (0, 0) }).collect()
}

fn rows(schema: &SchemaRef, event: SubscriptionEvent, progress: bool) -> Result<RecordBatch> {
    let (epoch, count, changes) = match event {
        SubscriptionEvent::Changes { epoch, changes } => (epoch, changes.len(), Some(changes)),
        SubscriptionEvent::Progress(epoch) => (epoch, 1, None),
    };
    let epoch = i64::try_from(epoch.0).unwrap_or(i64::MAX);
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![epoch; count]))];
    if progress {
        columns.push(Arc::new(BooleanArray::from(vec![changes.is_none(); count])));
    }
    match changes {
        Some(changes) => {
            columns.push(Arc::new(changes.diffs_or_ones()));
            columns.extend(changes.rows.columns().iter().cloned());
        }
        None => {
            let rest = schema.fields().iter().skip(columns.len());
            columns.extend(rest.map(|f| new_null_array(f.data_type(), count)).collect::<Vec<_>>());
        }
    }
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}
