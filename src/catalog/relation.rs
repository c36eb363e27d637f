//! What logical plans scan: user relations and system relations, as DataFusion table sources.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::{Constraint, Constraints};
use datafusion::logical_expr::{TableProviderFilterPushDown, TableSource, TableType};

use super::object::{Kind, Object};
use crate::data::ObjectId;

/// A user relation in a logical plan: the catalog's object as it was when the statement was bound.
#[derive(Debug)]
pub struct Relation {
    object: Arc<Object>,
    constraints: Constraints,
}

impl Relation {
    /// Wraps an object.
    pub fn new(object: Arc<Object>) -> Self {
        let constraints = match object.primary_key() {
            [] => Constraints::default(),
            key => Constraints::new_unverified(vec![Constraint::PrimaryKey(key.to_vec())]),
        };
        Self { object, constraints }
    }

    /// The object.
    pub fn object(&self) -> &Arc<Object> {
        &self.object
    }

    /// Its id.
    pub fn id(&self) -> ObjectId {
        self.object.id
    }
}

impl TableSource for Relation {
    fn schema(&self) -> SchemaRef {
        self.object.schema.clone()
    }

    fn constraints(&self) -> Option<&Constraints> {
        Some(&self.constraints)
    }

    fn table_type(&self) -> TableType {
        match self.object.kind {
            Kind::View(_) => TableType::View,
            Kind::Table(_) | Kind::Source(_) | Kind::MaterializedView(_) | Kind::Sink(_) => TableType::Base,
        }
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&datafusion::logical_expr::Expr],
    ) -> datafusion::error::Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Unsupported; filters.len()])
    }
}

/// A relation of `pg_catalog`, `information_schema` or `highwater` in a logical plan: its rows are made when it is read.
#[derive(Debug)]
pub struct SystemRelation {
    /// `pg_catalog`, `information_schema`, `highwater`.
    pub namespace: &'static str,
    /// Unqualified.
    pub name: &'static str,
    /// Its `pg_class` oid.
    pub oid: u32,
    /// Its columns.
    pub schema: SchemaRef,
}

impl TableSource for SystemRelation {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }
}

/// The user object behind a table source, if it is one.
pub fn object_of(source: &dyn TableSource) -> Option<&Arc<Object>> {
    source.downcast_ref::<Relation>().map(Relation::object)
}
