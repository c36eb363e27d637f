//! Binding statements: at once where the text is short, else aside, for it takes as long as the text.

use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;

use super::dml::returning_columns;
use super::outcome::{Column, Description};
use super::query::Filled;
use super::session::{Parsed, Prepared, Session};
use super::{micros_now, query, show};
use crate::config::QUICK_TEXT;
use crate::data::text::TimeZone;
use crate::data::types::{by_oid, dimensions, leaf, parameter};
use crate::error::{Error, Result};
use crate::sql::BindSession;
use crate::sql::binder::{Binder, BoundDelete, BoundInsert, BoundQuery, BoundUpdate};
use crate::sql::statement::{AsOf, Query, Select, Statement};
use crate::stack;

/// What binding a statement gave.
#[derive(Debug)]
pub(super) enum Bound {
    Query(BoundQuery, Option<AsOf>),
    Insert(BoundInsert),
    Update(BoundUpdate),
    Delete(BoundDelete),
    /// Bound when it runs.
    Other,
}

/// What was bound, its parameters, and its result's columns.
type Bindings = (Bound, Vec<Field>, Option<Vec<Column>>);

impl Bound {
    /// Parameter values in exactly the types that the plan was made for: the wire knows no precision and scale.
    pub(super) fn fit(&self, parameters: &[ScalarValue]) -> Result<Vec<ScalarValue>> {
        let fields = match self {
            Self::Query(bound, _) => &bound.parameters,
            Self::Insert(bound) => &bound.parameters,
            Self::Update(bound) => &bound.parameters,
            Self::Delete(bound) => &bound.parameters,
            Self::Other => return Ok(parameters.to_vec()),
        };
        let utc = TimeZone::utc();
        let fit = |(i, value): (usize, &ScalarValue)| match fields.get(i) {
            Some(field) if *field.data_type() != value.data_type() => match value {
                // Rounding, and PostgreSQL's error where it does not fit.
                ScalarValue::Decimal128(Some(_), ..) if matches!(field.data_type(), DataType::Decimal128(..)) => {
                    let own = Field::new("", value.data_type(), true);
                    let text = crate::data::text::display(value, &own, &utc)?.unwrap_or_default();
                    crate::data::text::parse(&text, field, &utc)
                }
                _ => Ok(value.cast_to(field.data_type())?),
            },
            _ => Ok(value.clone()),
        };
        parameters.iter().enumerate().map(fit).collect()
    }
}

impl Session {
    /// Runs `f` with a binder over the catalog as it is now.
    pub(super) fn binder_session<T>(&self, f: impl FnOnce(&Binder<'_>) -> Result<T>) -> Result<T> {
        let snapshot = self.shared.engine.catalog.snapshot();
        let session = self.bind_session();
        f(&Binder::new(&snapshot, &session))
    }

    /// As [`Self::binder_session`], aside.
    pub(super) async fn bind_aside<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Binder<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let snapshot = self.shared.engine.catalog.snapshot();
        let session = self.bind_session();
        self.shared.compute(move || f(&Binder::new(&snapshot, &session))).await
    }

    /// Binds a query without parameters that is a part of a statement.
    pub(super) async fn closed_query(&self, query: &Query) -> Result<BoundQuery> {
        if query.text.len() <= QUICK_TEXT {
            return self.binder_session(|binder| binder.closed_query(query));
        }
        let query = query.clone();
        self.bind_aside(move |binder| binder.closed_query(&query)).await
    }

    /// The same, of a query as of an epoch.
    pub(super) async fn closed_select(&self, select: &Select) -> Result<(BoundQuery, Filled)> {
        let bound = self.closed_query(&select.query).await?;
        let filled = Filled::of(&bound, select.as_of, &[])?;
        Ok((bound, filled))
    }

    /// What the binder needs to know of this session now.
    pub(super) fn bind_session(&self) -> BindSession {
        let (began, open) = {
            let transaction = self.shared.transaction.lock();
            (transaction.began, transaction.is_open())
        };
        let values = self.shared.settings.lock();
        BindSession {
            functions: self.functions.clone(),
            time_zone: values.time_zone(),
            search_path: values.search_path(),
            now: if open { began } else { micros_now() },
        }
    }

    /// Binds a statement.
    pub(super) async fn bind(&self, parsed: &Parsed, oids: &[u32]) -> Result<Prepared> {
        let version = self.shared.engine.catalog.snapshot().version;
        let at = Instant::now();
        let statement = &parsed.statement;
        let (bound, parameters, columns) = if !has_plan(statement) {
            (Bound::Other, Vec::new(), self.columns_of(statement).await?)
        } else if parsed.text.len() <= QUICK_TEXT {
            stack::for_text(&parsed.text, || self.binder_session(|binder| bound(binder, statement, oids)))?
        } else {
            let (statement, oids) = (Arc::clone(statement), oids.to_vec());
            self.bind_aside(move |binder| bound(binder, &statement, &oids)).await?
        };
        let description = Description { parameters, columns };
        Ok(Prepared { description, parsed: parsed.clone(), oids: oids.to_vec(), bound: Arc::new(bound), version, at })
    }

    /// The result's columns of a statement without a plan.
    async fn columns_of(&self, statement: &Statement) -> Result<Option<Vec<Column>>> {
        Ok(match statement {
            Statement::Subscribe(subscribe) => Some(self.subscription_columns(subscribe).await?),
            Statement::Show(show) => Some(show::show_columns(show)?),
            Statement::Explain(_) => Some(super::explain::columns()),
            Statement::Fetch(fetch) if !fetch.skip => Some(self.cursor(&fetch.cursor)?.columns.clone()),
            Statement::Execute { name, .. } => self.sql_prepared(name)?.description.columns.clone(),
            Statement::Query(_)
            | Statement::Insert(_)
            | Statement::Update(_)
            | Statement::Delete(_)
            | Statement::Truncate(_)
            | Statement::CopyFrom(_)
            | Statement::CopyTo(_)
            | Statement::CreateTable(_)
            | Statement::CreateSource(_)
            | Statement::CreateSink(_)
            | Statement::CreateView(_)
            | Statement::CreateMaterializedView(_)
            | Statement::Drop(_)
            | Statement::Rename(_)
            | Statement::AlterTable(_)
            | Statement::Pause(_)
            | Statement::Rebuild(_)
            | Statement::AlterSystem { .. }
            | Statement::Comment(_)
            | Statement::Flush
            | Statement::Begin(_)
            | Statement::Commit
            | Statement::Rollback
            | Statement::Savepoint(_)
            | Statement::Release(_)
            | Statement::RollbackTo(_)
            | Statement::SetTransaction(_)
            | Statement::Declare(_)
            | Statement::Fetch(_)
            | Statement::Close(_)
            | Statement::Set { .. }
            | Statement::Reset(_)
            | Statement::Discard(_)
            | Statement::Prepare { .. }
            | Statement::Deallocate(_)
            | Statement::Unlisten => None,
        })
    }
}

fn has_plan(statement: &Statement) -> bool {
    matches!(statement, Statement::Query(_) | Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_))
}

/// Binds a statement that has a plan. `oids`: the client's types of parameters.
fn bound(binder: &Binder<'_>, statement: &Statement, oids: &[u32]) -> Result<Bindings> {
    with_types(binder, statement, &placed(binder, statement, oids))
}

fn with_types(binder: &Binder<'_>, statement: &Statement, oids: &[u32]) -> Result<Bindings> {
    let types = |fields: &[Field]| fields.iter().map(parameter).collect::<Vec<_>>();
    Ok(match statement {
        Statement::Query(select) => {
            let bound = binder.query(&select.query, &select.parameter_types(oids)?)?;
            let (parameters, columns) = (types(&bound.parameters), query::columns_of(&bound));
            (Bound::Query(bound, select.as_of), parameters, Some(columns))
        }
        Statement::Insert(insert) => {
            let bound = binder.insert(insert, oids)?;
            let columns = bound.returning.as_ref().map(returning_columns);
            let parameters = types(&bound.parameters);
            (Bound::Insert(bound), parameters, columns)
        }
        Statement::Update(update) => {
            let bound = binder.update(update, oids)?;
            let columns = bound.returning.as_ref().map(returning_columns);
            let parameters = types(&bound.parameters);
            (Bound::Update(bound), parameters, columns)
        }
        Statement::Delete(delete) => {
            let bound = binder.delete(delete, oids)?;
            let columns = bound.returning.as_ref().map(returning_columns);
            let parameters = types(&bound.parameters);
            (Bound::Delete(bound), parameters, columns)
        }
        _ => return Err(Error::internal("a statement without a plan was to be bound")),
    })
}

/// The client's types of parameters, without those of arrays whose place wants more dimensions: an array's oid says
/// nothing of them.
fn placed(binder: &Binder<'_>, statement: &Statement, oids: &[u32]) -> Vec<u32> {
    let declared = |oid: &u32| by_oid(*oid).filter(|f| dimensions(f.data_type()) > 0);
    if !oids.iter().any(|oid| declared(oid).is_some()) {
        return oids.to_vec();
    }
    let open: Vec<u32> = oids.iter().map(|oid| if declared(oid).is_some() { 0 } else { *oid }).collect();
    let Ok((_, fields, _)) = with_types(binder, statement, &open) else { return oids.to_vec() };
    let fits = |declared: &Field, wanted: &Field| {
        let (declared, wanted) = (leaf(declared), leaf(wanted));
        let (declared, wanted) = (declared.data_type(), wanted.data_type());
        declared == wanted || declared.is_numeric() && wanted.is_numeric()
    };
    let placed = oids.iter().enumerate().map(|(i, oid)| match (declared(oid), fields.get(i)) {
        (Some(own), Some(wanted)) if dimensions(wanted.data_type()) > 1 && fits(&own, wanted) => 0,
        _ => *oid,
    });
    placed.collect()
}
