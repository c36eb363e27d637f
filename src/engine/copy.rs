//! COPY: rows in from the client, in one transaction; rows out of a query or a subscription.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::physical_plan::PhysicalExpr;

use super::aside::Pace;
use super::dml::{checked, writable};
use super::environment::Shared;
use super::head::is_quick;
use super::insert::Conflict;
use super::outcome::{CopyFormat, CopySink, Outcome};
use super::session::Session;
use super::specs::table_ref;
use super::stream::Guard;
use super::{buffer, query};
use crate::catalog::object::{Kind, Object};
use crate::data::Epoch;
use crate::error::{Error, Result, SqlState};
use crate::runtime::{OnConflict, TableWrite};
use crate::sql::statement::{self, CopyFrom, CopyOptions, Select, Subscribe};

impl Session {
    /// COPY (query) TO STDOUT.
    pub(super) async fn copy_query(&self, select: &Select, options: &CopyOptions, guard: Guard) -> Result<Outcome> {
        let (bound, query) = guard.wait(self.closed_select(select)).await?;
        let format = format(options)?;
        let rows = guard.wait(query::run(&self.shared, query, None, Pace::Ahead)).await?;
        let schema = Arc::new(Schema::new(bound.columns));
        Ok(Outcome::CopyOut { schema, rows: guard.rows(rows), format })
    }

    /// COPY (SUBSCRIBE ..) TO STDOUT.
    pub(super) async fn copy_subscription(
        &self,
        subscribe: &Subscribe,
        options: &CopyOptions,
        guard: Guard,
    ) -> Result<Outcome> {
        let format = format(options)?;
        let (columns, rows) = guard.wait(self.subscription(subscribe)).await?;
        let schema = Arc::new(Schema::new(columns.into_iter().map(|c| c.field).collect::<Vec<_>>()));
        Ok(Outcome::CopyOut { schema, rows: guard.rows(rows), format })
    }

    /// COPY t FROM STDIN.
    pub(super) fn copy_from(&self, copy: &CopyFrom, guard: Guard) -> Result<Outcome> {
        let catalog = self.shared.engine.catalog.snapshot();
        let table = super::ddl::find_any(&catalog, &copy.target)?;
        writable(&table, "copy to")?;
        let positions = positions(&table, &copy.columns)?;
        let fields: Vec<Field> = positions.iter().map(|c| table.schema.field(*c).clone().with_nullable(true)).collect();
        let fill = self.defaults(&table, &positions)?;
        let sink = Sink::new(self.shared.clone(), guard, table, fill);
        Ok(Outcome::CopyIn {
            schema: Arc::new(Schema::new(fields)),
            format: format(&copy.options)?,
            sink: Box::new(sink),
        })
    }

    /// Per column of the table: where its values come from.
    pub(super) fn defaults(&self, table: &Object, positions: &[usize]) -> Result<Vec<Fill>> {
        let Kind::Table(definition) = &table.kind else { return Ok(Vec::new()) };
        let executor = self.shared.engine.executor();
        let empty = DFSchema::empty();
        let fill = |(i, field): (usize, &Arc<Field>)| {
            if let Some(given) = positions.iter().position(|p| *p == i) {
                return Ok(Fill::Given(given));
            }
            Ok(match definition.defaults.get(i).and_then(Option::as_ref) {
                Some(text) => {
                    let expr = self.binder_session(|binder| binder.expression(text, &Schema::empty(), field))?;
                    Fill::Default { slow: !is_quick(&expr), expr: executor.physical_expr(&expr, &empty)? }
                }
                None => Fill::Null(field.data_type().clone()),
            })
        };
        table.schema.fields().iter().enumerate().map(fill).collect()
    }
}

/// The columns that COPY names; all without names.
fn positions(table: &Object, columns: &[(String, usize)]) -> Result<Vec<usize>> {
    if columns.is_empty() {
        return Ok((0..table.schema.fields().len()).collect());
    }
    let mut found = Vec::with_capacity(columns.len());
    for (name, position) in columns {
        let at = |e: Error| if *position > 0 { e.with_position(*position) } else { e };
        let missing = || {
            let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
            at(Error::new(SqlState::UNDEFINED_COLUMN, message))
        };
        let column = table.schema.index_of(name).map_err(|_| missing())?;
        if found.contains(&column) {
            let message = format!("column \"{name}\" specified more than once");
            return Err(at(Error::new(SqlState::DUPLICATE_COLUMN, message)));
        }
        found.push(column);
    }
    Ok(found)
}

/// Where a column's values come from.
#[derive(Clone)]
pub(super) enum Fill {
    /// Column of the input.
    Given(usize),
    Default {
        expr: Arc<dyn PhysicalExpr>,
        /// It may take long to evaluate.
        slow: bool,
    },
    Null(arrow::datatypes::DataType),
}

impl Fill {
    fn array(&self, rows: &RecordBatch) -> Result<ArrayRef> {
        let count = rows.num_rows();
        Ok(match self {
            Self::Given(column) => rows.column(*column).clone(),
            Self::Default { expr, .. } => {
                let options = RecordBatchOptions::new().with_row_count(Some(count));
                let empty = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)?;
                expr.evaluate(&empty)?.into_array(count)?
            }
            Self::Null(data_type) => arrow::array::new_null_array(data_type, count),
        })
    }
}

/// Whole rows of a table.
fn filled(table: &Object, fill: &[Fill], rows: &RecordBatch) -> Result<RecordBatch> {
    let arrays = fill.iter().map(|f| f.array(rows)).collect::<Result<Vec<_>>>()?;
    let fields: Vec<Field> = table.schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    checked(table, vec![RecordBatch::try_new(schema, arrays)?])
}

/// Collects what COPY FROM STDIN brings; all of it lands together.
pub(super) struct Sink {
    shared: Arc<Shared>,
    guard: Guard,
    table: Arc<Object>,
    fill: Vec<Fill>,
    batches: Vec<RecordBatch>,
    bytes: usize,
    count: u64,
}

/// What a transaction took.
pub(super) struct Copied {
    /// `None` in an open block: COMMIT will tell.
    pub epoch: Option<Epoch>,
    pub rows: u64,
}

impl Sink {
    pub(super) fn new(shared: Arc<Shared>, guard: Guard, table: Arc<Object>, fill: Vec<Fill>) -> Self {
        Self { shared, guard, table, fill, batches: Vec::new(), bytes: 0, count: 0 }
    }

    pub(super) fn table(&self) -> &Arc<Object> {
        &self.table
    }

    /// From now on the rows have other columns.
    pub(super) fn refill(&mut self, fill: Vec<Fill>) {
        self.fill = fill;
    }

    pub(super) fn take(&mut self, rows: &RecordBatch) -> Result<()> {
        self.keep(filled(&self.table, &self.fill, rows)?)
    }

    /// As [`Self::take`], where a default may take long.
    async fn take_slowly(&mut self, rows: RecordBatch) -> Result<()> {
        let (table, fill) = (self.table.clone(), self.fill.clone());
        let whole = self.shared.compute(move || filled(&table, &fill, &rows));
        let whole = self.guard.wait(whole).await?;
        self.keep(whole)
    }

    fn keep(&mut self, whole: RecordBatch) -> Result<()> {
        self.bytes += whole.get_array_memory_size();
        self.count += whole.num_rows() as u64;
        self.batches.push(whole);
        self.shared.engine.runtime.check_transaction(self.bytes, "Copy in several pieces.")
    }

    pub(super) async fn commit(&mut self) -> Result<Copied> {
        let rows = checked(&self.table, std::mem::take(&mut self.batches))?;
        let mut epoch = None;
        if self.shared.transaction.lock().is_open() {
            let snapshot = self.guard.wait(query::current_snapshot(&self.shared)).await?;
            let version = query::version_of(&snapshot, &self.table)?;
            let mut transaction = self.shared.transaction.lock();
            buffer::insert(transaction.overlay_of(&self.table)?, &self.table, &version, rows, &Conflict::Error)?;
            transaction.check_size(&self.shared.engine.runtime)?;
        } else {
            let on_conflict = OnConflict::Error;
            let write = TableWrite::Insert { table: table_ref(&self.table), rows, on_conflict, returning: false };
            epoch = Some(self.guard.wait(self.shared.commit(vec![write])).await?.epoch);
        }
        Ok(Copied { epoch, rows: self.count })
    }
}

#[async_trait::async_trait]
impl CopySink for Sink {
    async fn rows(&mut self, rows: RecordBatch) -> Result<()> {
        let slow = self.fill.iter().any(|f| matches!(f, Fill::Default { slow: true, .. }));
        let taken = match self.guard.token.is_cancelled() {
            true => Err(self.shared.cancelled()),
            false if slow => self.take_slowly(rows).await,
            false => self.take(&rows),
        };
        if taken.is_err() {
            self.shared.fail();
        }
        taken
    }

    async fn finish(mut self: Box<Self>) -> Result<u64> {
        let done = self.commit().await;
        if done.is_err() {
            self.shared.fail();
        }
        self.shared.activity.lock().running = false;
        Ok(done?.rows)
    }

    fn fail(self: Box<Self>, _reason: &str) {
        self.shared.fail();
        self.shared.activity.lock().running = false;
    }
}

/// COPY's options with their defaults.
fn format(options: &CopyOptions) -> Result<CopyFormat> {
    let csv = options.format == statement::CopyFormat::Csv;
    let byte = |given: Option<char>, default: u8, what: &str| match given {
        None => Ok(default),
        Some(c) => u8::try_from(c).map_err(|_| {
            let message = format!("COPY {what} must be a single one-byte character");
            Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
        }),
    };
    let quote = byte(options.quote, b'"', "quote")?;
    Ok(CopyFormat {
        csv,
        binary: options.format == statement::CopyFormat::Binary,
        delimiter: byte(options.delimiter, if csv { b',' } else { b'\t' }, "delimiter")?,
        null: options.null.clone().unwrap_or_else(|| if csv { String::new() } else { "\\N".to_owned() }),
        header: options.header,
        quote,
        escape: byte(options.escape, quote, "escape")?,
    })
}
