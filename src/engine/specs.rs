//! What the runtime is told of tables and sources, and their connectors.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::DFSchema;

use super::ddl::Ddl;
use super::{DataDir, Engine};
use crate::archive::{self, Archive};
use crate::catalog::object::{ConnectorOptions, Kind, Object};
use crate::checkpoint::Bucket;
use crate::connectors::{self, Connector, ConnectorSpec};
use crate::data::text::TimeZone;
use crate::error::{Error, Result, SqlState};
use crate::runtime::{SourceSpec, TableRef, TableSpec, WatermarkSpec};
use crate::sql::BindSession;
use crate::sql::binder::Binder;
use crate::sql::interval;
use crate::sql::statement::{ColumnDef, CreateSource};

/// A table that a statement writes, as it was bound.
pub(super) fn table_ref(table: &Object) -> TableRef {
    TableRef { id: table.id, numbers: Some(table.shape().numbers) }
}

/// The option that says for how long.
const ARCHIVE: &str = "archive";

fn archive_option(options: &ConnectorOptions) -> Option<&str> {
    options.options.iter().find(|(key, _)| key == ARCHIVE).map(|(_, value)| value.as_str())
}

impl Engine {
    /// The connector of a new object.
    pub(super) fn build_connector(
        &self,
        options: Option<&ConnectorOptions>,
        columns: &[ColumnDef],
    ) -> Result<Option<Arc<dyn Connector>>> {
        let fields = columns.iter().map(|c| c.field.clone()).collect::<Vec<_>>();
        let declared = (!fields.is_empty()).then(|| Arc::new(Schema::new(fields)));
        options.map(|options| connectors::build(&self.connector_spec(options, declared))).transpose()
    }

    fn connector_spec(&self, options: &ConnectorOptions, declared: Option<SchemaRef>) -> ConnectorSpec {
        ConnectorSpec {
            connector: options.connector.clone(),
            options: options.options.iter().filter(|(key, _)| key != ARCHIVE).cloned().collect(),
            encode: options.encode.clone(),
            encode_options: options.encode_options.clone(),
            declared,
            file_root: self.config.file_root.clone(),
        }
    }

    /// The connector of an object that has one: the one made at CREATE.
    pub(super) fn connector(&self, object: &Object) -> Result<Arc<dyn Connector>> {
        if let Some(connector) = self.connectors.lock().get(&object.id) {
            return Ok(connector.clone());
        }
        let options = object.connector().ok_or_else(|| Error::internal(format!("{} has no connector", object.name)))?;
        connectors::build(&self.connector_spec(options, Some(object.schema.clone())))
    }

    /// The same for an object that the log has: what is not there any more is no error yet.
    pub(super) fn connector_again(&self, object: &Object, options: &ConnectorOptions) -> Arc<dyn Connector> {
        let made = || {
            let spec = self.connector_spec(options, Some(object.schema.clone()));
            connectors::rebuild(&spec, object.schema.clone())
        };
        self.connectors.lock().entry(object.id).or_insert_with(made).clone()
    }

    pub(super) fn table_spec(
        &self,
        binder: &Binder<'_>,
        object: &Object,
        connector: Option<Arc<dyn Connector>>,
    ) -> Result<TableSpec> {
        let append_only = matches!(&object.kind, Kind::Table(table) if table.append_only);
        Ok(TableSpec {
            id: object.id,
            name: object.name.clone(),
            schema: object.shape().carrier(),
            primary_key: object.primary_key().to_vec(),
            watermark: self.watermark_spec(binder, object)?,
            append_only,
            connector,
            ddl: Ddl::Create(object.clone()).bytes()?,
        })
    }

    pub(super) fn source_spec(
        &self,
        binder: &Binder<'_>,
        object: &Object,
        connector: Arc<dyn Connector>,
    ) -> Result<SourceSpec> {
        Ok(SourceSpec {
            id: object.id,
            name: object.name.clone(),
            schema: object.schema.clone(),
            watermark: self.watermark_spec(binder, object)?,
            connector,
            archive: self.archive(object)?,
            ddl: Ddl::Create(object.clone()).bytes()?,
        })
    }

    /// Where a source's rows are kept, if they are.
    pub(super) fn archive(&self, object: &Object) -> Result<Option<Arc<Archive>>> {
        let Some(retention) = object.connector().and_then(archive_option) else { return Ok(None) };
        let mut archives = self.archives.lock();
        if let Some(archive) = archives.get(&object.id) {
            return Ok(Some(archive.clone()));
        }
        let (Some(data_dir), Some(watermark)) = (&self.config.data_dir, object.watermark()) else { return Ok(None) };
        let objects = Arc::new(Bucket::folder(&DataDir::archive(data_dir, object.id))?);
        let retention = interval::positive(retention, ARCHIVE)?;
        let archive = Archive::open(objects, object.schema.clone(), watermark.column, retention)?;
        archives.insert(object.id, archive.clone());
        Ok(Some(archive))
    }

    /// Whether what CREATE SOURCE says can be archived, if it is to be.
    pub(super) fn check_archive(
        &self,
        create: &CreateSource,
        connector: &dyn Connector,
        schema: &SchemaRef,
    ) -> Result<()> {
        let Some(retention) = archive_option(&create.connector) else { return Ok(()) };
        interval::positive(retention, ARCHIVE)?;
        if connector.replayable() {
            let what = format!("an archive of connector \"{}\", which can be read again,", create.connector.connector);
            return Err(Error::unsupported(what, "Leave it out: later views read the source from its beginning."));
        }
        if self.config.data_dir.is_none() {
            return Err(Error::unsupported("an archive with --in-memory", "Start the server with --data-dir."));
        }
        if create.watermark.is_none() {
            let message = "option \"archive\" needs a watermark, which says what event time is";
            let hint = "Add WATERMARK FOR column AS column - INTERVAL '..' to the columns, or leave archive out.";
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message).with_hint(hint));
        }
        if connector.max_ahead().is_some() {
            return Err(Error::unsupported("an archive together with max_ahead", "Leave one of them out."));
        }
        archive::check(schema)
    }

    fn watermark_spec(&self, binder: &Binder<'_>, object: &Object) -> Result<Option<WatermarkSpec>> {
        let Some(watermark) = object.watermark() else { return Ok(None) };
        let field = object.schema.field(watermark.column);
        // Of the log alone: not of the session that said CREATE.
        let session = BindSession { time_zone: TimeZone::utc(), ..binder.session.clone() };
        let binder = Binder::new(binder.snapshot, &session);
        let expr = binder.expression(&watermark.expression, &object.schema, field)?;
        let schema = DFSchema::try_from(object.schema.as_ref().clone())?;
        let expr = self.executor.physical_expr(&expr, &schema)?;
        Ok(Some(WatermarkSpec { column: watermark.column, expr }))
    }
}
