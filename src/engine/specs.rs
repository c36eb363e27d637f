//! What the runtime is told of tables and sources, and their connectors.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::DFSchema;

use super::Engine;
use super::ddl::Ddl;
use crate::catalog::object::{ConnectorOptions, Kind, Object};
use crate::connectors::{self, Connector, ConnectorSpec};
use crate::data::text::TimeZone;
use crate::error::{Error, Result};
use crate::runtime::{SourceSpec, TableRef, TableSpec, WatermarkSpec};
use crate::sql::BindSession;
use crate::sql::binder::Binder;
use crate::sql::statement::ColumnDef;

/// A table that a statement writes, as it was bound.
pub(super) fn table_ref(table: &Object) -> TableRef {
    TableRef { id: table.id, numbers: Some(table.shape().numbers) }
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
            options: options.options.clone(),
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
            ddl: Ddl::Create(object.clone()).bytes()?,
        })
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
