//! CREATE SINK, what FLUSH and DROP ask of sinks, and `highwater.sinks`.

use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::Engine;
use super::ddl::{Ddl, described, find_any};
use super::environment::Shared;
use super::outcome::Outcome;
use super::session::Session;
use crate::catalog::Snapshot;
use crate::catalog::object::{self, Kind, Object};
use crate::catalog::system::{Rows, Value};
use crate::data::{Epoch, ObjectId};
use crate::error::{Error, Result, SqlState};
use crate::runtime::SinkSpec;
use crate::sink::{Description, Input, Sink};
use crate::sql::statement::CreateSink;

impl Session {
    pub(super) async fn create_sink(&mut self, create: &CreateSink) -> Result<Outcome> {
        let done = Outcome::Done { tag: "CREATE SINK".into() };
        let engine = self.shared.engine.clone();
        if self.taken(&create.name, create.if_not_exists)? {
            return Ok(done);
        }
        let input = find_any(&engine.catalog.snapshot(), &create.from)?;
        writable(&input)?;
        let sink = object::Sink {
            input: input.id,
            connector: create.connector.clone(),
            format: create.format.clone(),
            prefix: Description::prefix(&create.name.name),
            token: Uuid::new_v4().to_string(),
        };
        // To its end, even if the client goes: it is short.
        let (id, name) = (engine.catalog.allocate(), create.name.name.clone());
        let made = tokio::spawn(async move { engine.make_sink(id, name, sink).await });
        let key_is_claimed = made.await.map_err(|e| Error::internal(e.to_string()))??;
        if key_is_claimed {
            let message = "the columns of primary_key are not known to tell the rows apart";
            let hint = "Where two rows have the same key, the sink's readers see one of them.";
            self.shared.notice("NOTICE", Error::new(SqlState::SUCCESSFUL_COMPLETION, message).with_hint(hint));
        }
        let mut transaction = self.shared.transaction.lock();
        if transaction.is_open() {
            transaction.created.push(id);
            transaction.snapshot = None;
        }
        Ok(done)
    }

    /// FLUSH: sinks write what they have. One that cannot says so, and the statement is done all the same.
    pub(super) async fn flush_sinks(&self, epoch: Epoch) -> Result<()> {
        for sink in self.shared.engine.runtime.sinks().all() {
            if let Err(error) = sink.flush(epoch).await {
                self.warn_of(&sink, "has not written everything", &error);
            }
        }
        Ok(())
    }

    /// DROP: what they had is written.
    pub(super) async fn sinks_ended(&self, sinks: Vec<Arc<Sink>>) {
        for sink in sinks {
            if let Err(error) = sink.ended().await {
                self.warn_of(&sink, "was dropped and has not written everything", &error);
            }
        }
    }

    fn warn_of(&self, sink: &Sink, what: &str, error: &Error) {
        let message = format!("sink \"{}\" {what}: {}", sink.name(), error.message());
        let hint = "highwater.sinks says how far it is; it tries again by itself where the disk refused.";
        self.shared.notice("WARNING", Error::new(SqlState::WARNING, message).with_hint(hint));
    }
}

impl Engine {
    /// What a sink of the catalog writes, where and how.
    pub(super) fn sink_description(
        &self,
        snapshot: &Snapshot,
        sink: &object::Sink,
        build: fn(&object::Sink, Input<'_>, Option<&Path>) -> Result<Description>,
    ) -> Result<Description> {
        let gone = || Error::new(SqlState::UNDEFINED_TABLE, "the relation that the sink writes does not exist");
        let input = snapshot.get(sink.input).ok_or_else(gone)?;
        let (key, append_only) = match &input.kind {
            Kind::Table(table) => (Some(&table.primary_key).filter(|key| !key.is_empty()), table.append_only),
            Kind::MaterializedView(view) => (view.key.as_ref(), view.append_only),
            Kind::Source(_) | Kind::View(_) | Kind::Sink(_) => (None, false),
        };
        let key = key.map(Vec::as_slice);
        let input = Input { called: &described(input), schema: &input.schema, key, append_only };
        build(sink, input, self.config.file_root.as_deref())
    }

    /// Names of files of two sinks never clash.
    fn check_folder(&self, snapshot: &Snapshot, description: &Description, sink: &object::Sink) -> Result<()> {
        let running = self.runtime.sinks();
        let same = |other: &&Arc<Object>| {
            let Kind::Sink(kind) = &other.kind else { return false };
            let folder = running.get(other.id).map(|other| other.description.folder().clone());
            kind.prefix == sink.prefix && folder.as_ref() == Some(description.folder())
        };
        let Some(other) = snapshot.sinks().find(same) else { return Ok(()) };
        let folder = description.folder().display();
        let message = format!("files in \"{folder}\" are called \"{}\" by sink \"{}\"", sink.prefix, other.name);
        Err(Error::new(SqlState::OBJECT_IN_USE, message).with_hint("Give the sink another name or folder."))
    }

    /// Makes a sink; whether its key is only claimed.
    async fn make_sink(&self, id: ObjectId, name: String, sink: object::Sink) -> Result<bool> {
        let _names = self.ddl.lock().await;
        self.check_free(&name)?;
        let snapshot = self.catalog.snapshot();
        let description = self.sink_description(&snapshot, &sink, Description::build)?;
        self.check_folder(&snapshot, &description, &sink)?;
        let key_is_claimed = description.key_is_claimed;
        let (input, schema) = (sink.input, description.columns());
        let object = Object { id, name, schema, kind: Kind::Sink(sink), comment: None };
        let claimed = tokio::task::spawn_blocking(move || description.claim().map(|()| description)).await;
        let description = claimed.map_err(|e| Error::internal(e.to_string()))??;
        self.runtime.create_sink(sink_spec(&object, input, description)?).await?;
        self.catalog.create(object)?;
        Ok(key_is_claimed)
    }
}

/// What the runtime is told of a sink.
pub(super) fn sink_spec(object: &Object, input: ObjectId, description: Description) -> Result<SinkSpec> {
    let ddl = Ddl::Create(object.clone()).bytes()?;
    Ok(SinkSpec { id: object.id, name: object.name.clone(), input, description, ddl })
}

/// Only what has changes of its own can be written.
fn writable(input: &Object) -> Result<()> {
    let hint = match &input.kind {
        Kind::Table(_) | Kind::MaterializedView(_) => return Ok(()),
        Kind::Source(_) => "Create a materialized view over it, and the sink FROM that.",
        Kind::View(_) => "Create a materialized view of its query, and the sink FROM that.",
        Kind::Sink(_) => "Name the table or materialized view that it writes.",
    };
    Err(Error::unsupported(format!("a sink FROM {}", described(input)), hint))
}

/// `highwater.sinks`.
pub(super) fn sinks(shared: &Shared, rows: &mut Rows) {
    let snapshot = shared.engine.catalog.snapshot();
    for object in snapshot.sinks() {
        let Kind::Sink(kind) = &object.kind else { continue };
        let Some(sink) = shared.engine.runtime.sinks().get(object.id) else { continue };
        let status = sink.status();
        rows.push([
            ("name", (&object.name).into()),
            ("relation", snapshot.get(kind.input).map(|input| input.name.clone()).into()),
            ("connector", (&kind.connector.connector).into()),
            ("format", (&kind.format).into()),
            ("encode", kind.connector.encode.clone().into()),
            ("path", sink.description.folder().display().to_string().into()),
            ("status", status.phase.name().into()),
            ("epoch", status.epoch.0.into()),
            ("parts", status.parts.into()),
            ("rows", status.rows.into()),
            ("bytes", status.bytes.into()),
            ("queued_bytes", status.queued_bytes.into()),
            ("error", status.error.into()),
            ("comment", object.comment.clone().map_or(Value::Null, Value::from)),
        ]);
    }
}
