//! ALTER TABLE: columns come, go and are renamed; DEFAULT and NOT NULL.
//!
//! All actions of a statement are one change: the catalog's object is changed action by action, and the runtime makes the
//! table so at one epoch, with one record in the log. Views that read the table go on with it as they know it: from now on
//! the catalog keeps with them what they saw ([`Seen`](crate::catalog::object::Seen)), and their text is bound to that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::PhysicalExpr;
use serde::{Deserialize, Serialize};

use super::Engine;
use super::ddl::{Ddl, described, find, find_any, kind_word};
use super::dml::check_length;
use super::head::is_quick;
use super::outcome::Outcome;
use super::session::Session;
use crate::catalog::object::{Kind, Object, Table};
use crate::catalog::pg_catalog::quote_ident;
use crate::catalog::{Catalog, Relation, Snapshot};
use crate::data::ObjectId;
use crate::data::types::pg_type;
use crate::error::{Error, Result, SqlState};
use crate::log;
use crate::runtime::{Planned, TableAlter};
use crate::sql::statement::{Action, AlterTable, ColumnDef, RelationKind, Statement};
use crate::sql::{self, BindSession, Binder};

/// ALTER TABLE, as the input log keeps it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Altered {
    /// What the table is from now on.
    table: Object,
    /// What read it before, and what it sees.
    readers: Vec<Object>,
    /// Columns that came: their numbers, and the value that rows have that were there, as an Arrow IPC stream.
    added: Vec<(u16, Vec<u8>)>,
    /// Rows have values of their own in some of these: the log has them before.
    valued: bool,
    /// What went with a column.
    dropped: Vec<ObjectId>,
}

impl Altered {
    /// Leaves out objects that are gone; false when the table is.
    pub(super) fn forget(&mut self, gone: &BTreeSet<ObjectId>) -> bool {
        self.readers.retain(|reader| !gone.contains(&reader.id));
        !gone.contains(&self.table.id)
    }
}

/// A table while it is being altered.
struct Change {
    object: Object,
    added: Vec<(u16, ArrayRef)>,
    /// The same, where each row has one of its own.
    each: Vec<(u16, Arc<dyn PhysicalExpr>)>,
    required: BTreeSet<u16>,
    /// Columns that went, and whether what reads them goes too.
    gone: Vec<(u16, String, bool)>,
}

impl Session {
    /// ALTER TABLE.
    pub(super) async fn alter_table(&mut self, alter: &AlterTable) -> Result<Outcome> {
        let done = || Outcome::Done { tag: format!("ALTER {}", kind_word(alter.kind).to_uppercase()) };
        let engine = self.shared.engine.clone();
        let names = engine.ddl.clone().lock_owned().await;
        let snapshot = engine.catalog.snapshot();
        let Some(object) = self.to_alter(&snapshot, alter)? else { return Ok(done()) };
        let actions = alter.actions.clone();
        let mut change = Change {
            object: Object::clone(&object),
            added: Vec::new(),
            each: Vec::new(),
            required: BTreeSet::new(),
            gone: Vec::new(),
        };
        for action in &actions {
            self.act(&mut change, action).await?;
        }
        let dropped = self.go_with_columns(&snapshot, &object, &change).await?;
        let readers = snapshot.dependents(object.id).filter(|reader| !dropped.contains(&reader.id));
        let see = |reader: &Arc<Object>| {
            let mut reader = Object::clone(reader);
            reader.see(&object);
            reader
        };
        let readers: Vec<Object> = readers.map(see).collect();
        let Change { object: table, added, each, required, .. } = change;
        let bytes = |(number, value): &(u16, ArrayRef)| Ok((*number, value_bytes(value)?));
        let altered = Altered {
            table: table.clone(),
            readers: readers.clone(),
            added: added.iter().map(bytes).collect::<Result<_>>()?,
            valued: !each.is_empty(),
            dropped: dropped.clone(),
        };
        let mut spec = self.binder_session(|binder| engine.table_spec(binder, &table, None))?;
        spec.ddl = Ddl::Alter(altered).bytes()?;
        let shape = table.shape();
        let positions = required.iter().filter_map(|n| shape.numbers.position(*n, shape.schema.fields().len()));
        let required = positions.collect();
        let mut views = engine.take_temporary(&dropped);
        views.extend(dropped.iter().filter(|id| snapshot.get(**id).is_some_and(|o| !matches!(o.kind, Kind::View(_)))));
        let valued = !each.is_empty();
        let alter = TableAlter { spec, added, each, valued, required, dropped: views };
        // To its end, even if the client goes: the catalog and the table are to be alike.
        let altering = tokio::spawn(async move {
            let _names = names;
            engine.runtime.alter_table(alter).await?;
            engine.catalog.alter(readers.into_iter().chain([table]).collect(), &dropped);
            Ok::<(), Error>(())
        });
        altering.await.map_err(|e| Error::internal(e.to_string()))??;
        let mut transaction = self.shared.transaction.lock();
        transaction.irrevocable = true;
        transaction.snapshot = None;
        Ok(done())
    }

    /// The table; `None`: there is none, and that is fine.
    fn to_alter(&self, snapshot: &Snapshot, alter: &AlterTable) -> Result<Option<Arc<Object>>> {
        let found = match alter.kind {
            RelationKind::Table => find_any(snapshot, &alter.name),
            kind => find(snapshot, &alter.name, kind, "ALTER"),
        };
        let object = match found {
            Err(error) if alter.if_exists && error.code() == SqlState::UNDEFINED_TABLE => {
                let message = format!("relation \"{}\" does not exist, skipping", alter.name.name);
                self.shared.notice("NOTICE", Error::new(SqlState::SUCCESSFUL_COMPLETION, message));
                return Ok(None);
            }
            other => other?,
        };
        let words = alter.actions.first().map_or("", Action::words);
        let sink = snapshot.dependents(object.id).find(|reader| matches!(reader.kind, Kind::Sink(_)));
        if let Some(sink) = sink.filter(|_| alter.actions.iter().any(changes_columns)) {
            let what = format!("ALTER TABLE .. {words} of a table that a sink writes");
            let hint = format!("DROP SINK {}, and create it anew in another folder.", quote_ident(&sink.name));
            return Err(Error::unsupported(what, hint));
        }
        match &object.kind {
            Kind::Table(table) if table.connector.is_some() && alter.actions.iter().any(changes_columns) => {
                let what = format!("ALTER TABLE .. {words} of a table that a connector fills");
                Err(Error::unsupported(what, "Its columns are its connector's: DROP the table and CREATE it anew."))
            }
            Kind::Table(_) => Ok(Some(object)),
            Kind::Source(_) => {
                let what = format!("ALTER SOURCE .. {words}");
                Err(Error::unsupported(what, "Its columns are its connector's: DROP the source and CREATE it anew."))
            }
            Kind::View(_) | Kind::MaterializedView(_) | Kind::Sink(_) => {
                let message = format!("ALTER action {words} cannot be performed on relation \"{}\"", object.name);
                let detail = format!("This operation is not supported for {}s.", object.kind_name());
                Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message)
                    .with_detail(detail)
                    .with_hint("A view has the columns of its query: DROP it and CREATE it anew."))
            }
        }
    }

    async fn act(&self, change: &mut Change, action: &Action) -> Result<()> {
        match action {
            Action::Add { column, if_not_exists } => self.add_column(change, column, *if_not_exists).await,
            Action::Drop { column, if_exists, cascade } => self.drop_column(change, column, *if_exists, *cascade),
            Action::Rename { column, to } => change.rename(column, to),
            Action::Default { column, default } => {
                let at = change.position(column)?;
                let text = default.as_ref().map(|d| d.text.clone());
                if let Some(text) = &text {
                    let field = change.object.schema.field(at).clone();
                    self.binder_session(|binder| binder.expression(text, &Schema::empty(), &field))?;
                }
                change.table()?.defaults[at] = text;
                Ok(())
            }
            Action::NotNull { column, required } => change.set_not_null(column, *required),
        }
    }

    async fn add_column(&self, change: &mut Change, column: &ColumnDef, if_not_exists: bool) -> Result<()> {
        let name = column.field.name();
        if change.object.schema.index_of(name).is_ok() {
            let message = format!("column \"{name}\" of relation \"{}\" already exists", change.object.name);
            if !if_not_exists {
                return Err(Error::new(SqlState::DUPLICATE_COLUMN, message));
            }
            let message = format!("{message}, skipping");
            self.shared.notice("NOTICE", Error::new(SqlState::DUPLICATE_COLUMN, message));
            return Ok(());
        }
        let width = change.object.schema.fields().len();
        let number = change.table()?.numbers.add(width);
        if let Some(default) = &column.default {
            let (text, tree, field) = (&default.text, default.tree.clone(), column.field.clone());
            let expr = self.binder_session(|binder| binder.expression(text, &Schema::empty(), &field))?;
            if expr.is_volatile() {
                // The sequencer evaluates it, once per row.
                if !is_quick(&expr) || pg_type(&field).typmod >= 0 {
                    let what = format!("ADD COLUMN \"{name}\" with this volatile DEFAULT");
                    let hint = "Add the column without DEFAULT, UPDATE the rows, then ALTER COLUMN .. SET DEFAULT.";
                    return Err(Error::unsupported(what, hint));
                }
                let expr = self.shared.engine.executor().physical_expr(&expr, &DFSchema::empty())?;
                change.each.push((number, expr));
            } else {
                let value = self.bind_aside(move |binder| {
                    let value = binder.constant(&tree, Some(&field))?.to_array()?;
                    check_length(&field, &value)?;
                    Ok(value)
                });
                change.added.push((number, value.await?));
            }
        }
        change.table()?.defaults.push(column.default.as_ref().map(|d| d.text.clone()));
        if !column.field.is_nullable() {
            change.required.insert(number);
        }
        let mut fields = change.fields();
        fields.push(column.field.clone());
        change.object.schema = Arc::new(Schema::new(fields));
        Ok(())
    }

    fn drop_column(&self, change: &mut Change, column: &str, if_exists: bool, cascade: bool) -> Result<()> {
        let at = match change.position(column) {
            Err(error) if if_exists => {
                let message = format!("{}, skipping", error.message());
                self.shared.notice("NOTICE", Error::new(SqlState::SUCCESSFUL_COMPLETION, message));
                return Ok(());
            }
            other => other?,
        };
        let (table, schema) = (described(&change.object), change.object.schema.clone());
        let refuse = |why: &str, hint: &str| {
            Err(Error::unsupported(format!("DROP of column {column} of {table}, {why},"), hint))
        };
        if change.object.primary_key().contains(&at) {
            return refuse("which is in its primary key", "CREATE a table without it, and INSERT INTO that a SELECT.");
        }
        if let Some(watermark) = change.object.watermark() {
            let field = schema.field(watermark.column);
            let expr = self.binder_session(|binder| binder.expression(&watermark.expression, &schema, field))?;
            if watermark.column == at || expr.column_refs().iter().any(|c| c.name == column) {
                let hint = "CREATE a table without the watermark, and INSERT INTO that a SELECT.";
                return refuse("which its watermark is of", hint);
            }
        }
        if schema.fields().len() == 1 {
            return refuse("which is its only one", "DROP the table.");
        }
        change.remove(at, cascade)
    }

    /// What reads a column that goes, with all that hangs on it; told, or refused, as PostgreSQL does.
    async fn go_with_columns(
        &self,
        snapshot: &Arc<Snapshot>,
        table: &Arc<Object>,
        change: &Change,
    ) -> Result<Vec<ObjectId>> {
        let mut order: Vec<ObjectId> = Vec::new();
        let mut lines: Vec<(String, String)> = Vec::new();
        let mut refused = None;
        if change.gone.is_empty() {
            return Ok(order);
        }
        let readers: Vec<Arc<Object>> = snapshot.dependents(table.id).cloned().collect();
        for reader in readers {
            let used = self.columns_read_by(reader.clone(), table.id).await?;
            let Some((_, column, cascade)) = change.gone.iter().find(|(number, ..)| used.contains(number)) else {
                continue;
            };
            if !cascade {
                refused.get_or_insert(column.clone());
            }
            let on = format!("column {column} of {}", described(table));
            lines.push((described(&reader), format!("{} depends on {on}", described(&reader))));
            order.push(reader.id);
            for dependent in snapshot.dependents_deep(reader.id).iter().rev() {
                order.push(dependent.id);
                let on =
                    dependent.depends().into_iter().filter(|id| order.contains(id)).find_map(|id| snapshot.get(id));
                let on = on.map_or_else(|| described(&reader), |o| described(o));
                lines.push((described(dependent), format!("{} depends on {on}", described(dependent))));
            }
        }
        let mut seen = BTreeSet::new();
        lines.retain(|(what, _)| seen.insert(what.clone()));
        if let Some(column) = refused {
            let message =
                format!("cannot drop column {column} of {} because other objects depend on it", described(table));
            let detail = lines.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>().join("\n");
            return Err(Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                .with_detail(detail)
                .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        self.tell_of_cascade(&lines.into_iter().map(|(what, _)| what).collect::<Vec<_>>());
        order.sort_unstable_by(|a, b| b.cmp(a));
        order.dedup();
        Ok(order)
    }

    /// The columns of a table that a view reads, by number.
    async fn columns_read_by(&self, reader: Arc<Object>, table: ObjectId) -> Result<BTreeSet<u16>> {
        let engine = self.shared.engine.clone();
        let tables = self.bind_aside(move |binder| engine.tables_of(binder, &reader)).await?;
        Ok(tables.get(&table).map(|planned| planned.used.clone()).unwrap_or_default())
    }
}

impl Change {
    fn table(&mut self) -> Result<&mut Table> {
        match &mut self.object.kind {
            Kind::Table(table) => Ok(table),
            Kind::Source(_) | Kind::View(_) | Kind::MaterializedView(_) | Kind::Sink(_) => {
                Err(Error::internal("what is altered is no table"))
            }
        }
    }

    fn fields(&self) -> Vec<Field> {
        self.object.schema.fields().iter().map(|f| f.as_ref().clone()).collect()
    }

    fn position(&self, column: &str) -> Result<usize> {
        self.object.schema.index_of(column).map_err(|_| {
            let message = format!("column \"{column}\" of relation \"{}\" does not exist", self.object.name);
            Error::new(SqlState::UNDEFINED_COLUMN, message)
        })
    }

    fn rename(&mut self, column: &str, to: &str) -> Result<()> {
        let missing = || Error::new(SqlState::UNDEFINED_COLUMN, format!("column \"{column}\" does not exist"));
        let at = self.position(column).map_err(|_| missing())?;
        if self.object.schema.index_of(to).is_ok() {
            let message = format!("column \"{to}\" of relation \"{}\" already exists", self.object.name);
            return Err(Error::new(SqlState::DUPLICATE_COLUMN, message));
        }
        let mut fields = self.fields();
        fields[at].set_name(to.to_owned());
        self.object.schema = Arc::new(Schema::new(fields));
        if let Some(watermark) = &mut self.table()?.watermark {
            watermark.expression = sql::renamed(&watermark.expression, column, to)?;
        }
        Ok(())
    }

    fn set_not_null(&mut self, column: &str, required: bool) -> Result<()> {
        let at = self.position(column)?;
        if !required && self.object.primary_key().contains(&at) {
            let message = format!("column \"{column}\" is in a primary key");
            return Err(Error::new(SqlState::INVALID_TABLE_DEFINITION, message));
        }
        let mut fields = self.fields();
        fields[at] = fields[at].clone().with_nullable(!required);
        self.object.schema = Arc::new(Schema::new(fields));
        let number = self.object.shape().numbers.of(at);
        if required {
            self.required.insert(number);
        } else {
            self.required.remove(&number);
        }
        Ok(())
    }

    fn remove(&mut self, at: usize, cascade: bool) -> Result<()> {
        let mut fields = self.fields();
        let number = self.object.shape().numbers.of(at);
        let width = fields.len();
        let field = fields.remove(at);
        self.object.schema = Arc::new(Schema::new(fields));
        let table = self.table()?;
        table.numbers.remove(width, at);
        table.defaults.remove(at);
        let moved = |column: &mut usize| *column -= usize::from(*column > at);
        table.primary_key.iter_mut().for_each(moved);
        table.watermark.iter_mut().map(|w| &mut w.column).for_each(moved);
        self.required.remove(&number);
        self.added.retain(|(n, _)| *n != number);
        self.each.retain(|(n, _)| *n != number);
        self.gone.push((number, field.name().clone(), cascade));
        Ok(())
    }
}

impl Engine {
    /// The tables that a view reads, as it sees them, with the columns that it reads.
    fn tables_of(&self, binder: &Binder<'_>, reader: &Object) -> Result<BTreeMap<ObjectId, Planned>> {
        let Kind::View(view) = &reader.kind else { return self.replan(binder, reader)?.tables() };
        let snapshot = binder.snapshot.as_seen(&view.seen);
        let binder = Binder::new(&snapshot, binder.session);
        let Some(Statement::Query(select)) = sql::parse(&view.query)?.into_iter().next().map(|p| p.statement) else {
            return Err(Error::internal(format!("the definition of {} is not a query", reader.name)));
        };
        let plan = binder.plain_view(&select.query, &[])?.plan;
        columns_read(&sql::optimize::for_view(plan)?)
    }

    /// What a logged ALTER TABLE did to the catalog, and is to do to the table.
    pub(super) fn alter_again(
        &self,
        catalog: &Catalog,
        session: &BindSession,
        altered: Altered,
        change: &log::Ddl,
    ) -> Result<TableAlter> {
        let Altered { table, readers, added, valued, dropped } = altered;
        let value = |(number, bytes): &(u16, Vec<u8>)| Ok((*number, read_value(bytes)?));
        let added = added.iter().map(value).collect::<Result<_>>()?;
        catalog.alter(readers.into_iter().chain([table.clone()]).collect(), &dropped);
        let snapshot = catalog.snapshot();
        let mut spec = self.table_spec(&Binder::new(&snapshot, session), &table, None)?;
        spec.ddl.clone_from(&change.payload);
        let (each, required, dropped) = (vec![], vec![], change.dropped.clone());
        Ok(TableAlter { spec, added, each, valued, required, dropped })
    }
}

/// Whether it is of columns, and not of what is written into them.
fn changes_columns(action: &Action) -> bool {
    matches!(action, Action::Add { .. } | Action::Drop { .. } | Action::Rename { .. })
}

/// The tables that an optimized plan scans, with the columns that it reads.
pub(super) fn columns_read(plan: &LogicalPlan) -> Result<BTreeMap<ObjectId, Planned>> {
    let mut tables: BTreeMap<ObjectId, Planned> = BTreeMap::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(relation) = scan.source.downcast_ref::<Relation>()
            && matches!(relation.object().kind, Kind::Table(_))
        {
            let shape = relation.object().shape();
            let all: Vec<u16> = shape.all().collect();
            let planned = tables.entry(relation.id()).or_insert(Planned { shape, used: BTreeSet::new() });
            match &scan.projection {
                Some(projection) => planned.used.extend(projection.iter().filter_map(|at| all.get(*at))),
                None => planned.used.extend(&all),
            }
            let filtered = scan.filters.iter().flat_map(|filter| filter.column_refs());
            let filtered = filtered.filter_map(|column| planned.shape.schema.index_of(&column.name).ok());
            planned.used.extend(filtered.filter_map(|at| all.get(at)));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(tables)
}

fn value_bytes(value: &ArrayRef) -> Result<Vec<u8>> {
    let schema = Schema::new(vec![Field::new("value", value.data_type().clone(), true)]);
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &schema)?;
    writer.write(&RecordBatch::try_new(Arc::new(schema.clone()), vec![value.clone()])?)?;
    writer.finish()?;
    drop(writer);
    Ok(bytes)
}

fn read_value(bytes: &[u8]) -> Result<ArrayRef> {
    let corrupt = || Error::internal("the value of a column in the input log cannot be read");
    let batch = StreamReader::try_new(bytes, None)?.next().ok_or_else(corrupt)??;
    batch.columns().first().cloned().ok_or_else(corrupt)
}
