//! Rows into a table from outside of SQL, by column name, in one transaction: what COPY does, without the statement.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};

use super::copy::Sink;
use super::dml::writable;
use super::session::Session;
use super::stream::Guard;
use crate::catalog::object::{Kind, Object};
use crate::data::Epoch;
use crate::error::{Error, Result, SqlState};
use crate::sql::statement::Name;

/// A transaction of its own that takes rows. Dropped before [`Ingest::commit`], it leaves nothing.
pub struct Ingest<'a> {
    session: &'a Session,
    sink: Sink,
    /// The columns of which the rows are now, by position in the table.
    given: Vec<usize>,
}

impl Session {
    /// Begins to take rows into a table.
    ///
    /// Errors: `42P01` no such table; `42809` not a table.
    pub fn ingest(&mut self, table: &str) -> Result<Ingest<'_>> {
        let token = self.shared.begin_statement(&format!("POST /ingest/{table}"));
        let guard = Guard::new(self.shared.clone(), token, 0);
        let (schema, name) = match table.split_once('.') {
            Some((schema, name)) => (Some(schema.to_owned()), name),
            None => (None, table),
        };
        let catalog = self.shared.engine.catalog.snapshot();
        let name = Name { schema, name: name.to_owned(), position: 0 };
        let table = super::ddl::find_any(&catalog, &name)?;
        writable(&table, "copy to")?;
        let sink = Sink::new(self.shared.clone(), guard, table, Vec::new());
        Ok(Ingest { session: self, sink, given: Vec::new() })
    }
}

impl Ingest<'_> {
    /// The table.
    pub fn table(&self) -> &Arc<Object> {
        self.sink.table()
    }

    /// Position of a column.
    ///
    /// Errors: `42703` there is none of that name.
    pub fn column(&self, name: &str) -> Result<usize> {
        let table = self.table();
        table.schema.index_of(name).map_err(|_| {
            let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
            let names: Vec<&str> = table.schema.fields().iter().map(|field| field.name().as_str()).collect();
            Error::new(SqlState::UNDEFINED_COLUMN, message).with_hint(format!("Its columns are: {}.", names.join(", ")))
        })
    }

    /// Whether a row that leaves a column out gets something else than NULL there.
    pub fn has_defaults(&self) -> bool {
        matches!(&self.table().kind, Kind::Table(table) if table.defaults.iter().any(Option::is_some))
    }

    /// What rows of some columns have to look like; NULL is judged later.
    pub fn schema(&self, columns: &[usize]) -> SchemaRef {
        let fields = columns.iter().map(|at| self.table().schema.field(*at).clone().with_nullable(true));
        Arc::new(Schema::new(fields.collect::<Vec<Field>>()))
    }

    /// Takes rows that have these columns; the others get their defaults.
    ///
    /// Errors: `23502`, `22001` a row that does not fit; `54000` too many bytes; `57P01` the server stops.
    pub fn take(&mut self, columns: &[usize], rows: &RecordBatch) -> Result<()> {
        if self.given != columns {
            let fill = self.session.defaults(self.table(), columns)?;
            self.sink.refill(fill);
            self.given = columns.to_vec();
        }
        self.sink.take(rows)
    }

    /// Commits; where the rows are, and how many.
    ///
    /// Errors: `23505` a key that exists.
    pub async fn commit(mut self) -> Result<(Epoch, u64)> {
        let copied = self.sink.commit().await?;
        let epoch = copied.epoch.ok_or_else(|| Error::internal("rows were taken in an open transaction"))?;
        Ok((epoch, copied.rows))
    }
}
