//! What the catalog holds: plain data, serializable, no handles.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use crate::data::{ColumnNumbers, ObjectId, Shape};

/// Field metadata: COMMENT ON COLUMN.
pub const META_COMMENT: &str = "hw.comment";

/// A relation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Object {
    /// For ever.
    pub id: ObjectId,
    /// Unqualified; all live in schema `public`.
    pub name: String,
    /// Columns, with SQL types in field metadata where Arrow's do not tell ([`crate::data::types`]).
    #[serde(with = "super::schema_serde")]
    pub schema: SchemaRef,
    /// What it is.
    pub kind: Kind,
    /// COMMENT ON.
    pub comment: Option<String>,
}

/// The kinds of relations.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// CREATE TABLE.
    Table(Table),
    /// CREATE SOURCE.
    Source(Source),
    /// CREATE VIEW: text, inlined.
    View(View),
    /// CREATE MATERIALIZED VIEW.
    MaterializedView(MaterializedView),
    /// CREATE SINK: no relation of PostgreSQL's, though it has a name among them.
    Sink(Sink),
}

/// A stored table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Table {
    /// Column positions; empty without one.
    pub primary_key: Vec<usize>,
    /// Per column: the DEFAULT expression's text.
    pub defaults: Vec<Option<String>>,
    /// WATERMARK FOR.
    pub watermark: Option<Watermark>,
    /// APPEND ONLY: UPDATE, DELETE and TRUNCATE are refused.
    pub append_only: bool,
    /// A table that a connector feeds.
    pub connector: Option<ConnectorOptions>,
    /// Which columns these are: ALTER TABLE adds and drops some.
    #[serde(default)]
    pub numbers: ColumnNumbers,
}

/// What a view depends on, as it was when the view was created: it has been altered, or renamed, since.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Seen {
    /// What it is.
    pub object: ObjectId,
    /// Its name then.
    pub name: String,
    /// Its columns then.
    #[serde(with = "super::schema_serde")]
    pub schema: SchemaRef,
    /// Their numbers.
    pub numbers: ColumnNumbers,
}

/// A stream that is not stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Source {
    /// WATERMARK FOR.
    pub watermark: Option<Watermark>,
    /// Where its rows come from.
    pub connector: ConnectorOptions,
}

/// What writes a relation's changes outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sink {
    /// Whose changes.
    pub input: ObjectId,
    /// WITH (..) and ENCODE.
    pub connector: ConnectorOptions,
    /// FORMAT, upper case; empty: none given.
    pub format: String,
    /// What the names of its files begin with: its name at creation.
    pub prefix: String,
    /// Tells it from all other sinks that were ever called so.
    pub token: String,
}

/// WATERMARK FOR column AS expression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    /// Position of the event time column.
    pub column: usize,
    /// The expression's text.
    pub expression: String,
}

/// WITH (..) FORMAT .. ENCODE ..: options stay strings, keys in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectorOptions {
    /// WITH options except `connector`.
    pub options: Vec<(String, String)>,
    /// `file`, `nexmark`, ..
    pub connector: String,
    /// ENCODE, upper case (PARQUET, CSV, JSON), if given.
    pub encode: Option<String>,
    /// Options in parentheses behind ENCODE.
    pub encode_options: Vec<(String, String)>,
}

/// A view that is only text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct View {
    /// The query's text.
    pub query: String,
    /// What it names.
    pub depends: Vec<ObjectId>,
    /// Of these, what was altered or renamed since.
    #[serde(default)]
    pub seen: Vec<Seen>,
}

/// A continuous view.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MaterializedView {
    /// The query's text.
    pub query: String,
    /// The whole CREATE statement, for pg_get_viewdef, SHOW and EXPLAIN.
    pub definition: String,
    /// When rows appear.
    pub emit: Emit,
    /// ALLOW LATENESS, microseconds.
    pub lateness: Option<i64>,
    /// WITH (retention), microseconds.
    #[serde(default)]
    pub retention: Option<i64>,
    /// REBUILD .. FROM: windows that end by then are as they were before, microseconds.
    #[serde(default)]
    pub kept: Option<i64>,
    /// LATE ROWS INTO.
    pub late_into: Option<ObjectId>,
    /// Objects that its plan reads (plain views inlined) and plain views that its text names.
    pub depends: Vec<ObjectId>,
    /// The session's TimeZone at creation.
    pub time_zone: String,
    /// The session's search_path at creation.
    pub search_path: String,
    /// Unique key of its rows, when the planner knows one.
    pub key: Option<Vec<usize>>,
    /// Never carries a retraction.
    pub append_only: bool,
    /// Watermarked columns: position and expression over source watermarks, as readers of this view see them.
    pub watermarks: Vec<(usize, crate::data::WatermarkExpr)>,
    /// Of what it depends on, what was altered or renamed since.
    #[serde(default)]
    pub seen: Vec<Seen>,
}

/// EMIT ..
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Emit {
    /// Each epoch what changed.
    OnUpdate,
    /// A window's rows once, when it closes.
    OnWindowClose,
}

impl Object {
    /// What PostgreSQL would call it in messages.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Table(_) => "table",
            Kind::Source(_) => "source",
            Kind::View(_) => "view",
            Kind::MaterializedView(_) => "materialized view",
            Kind::Sink(_) => "sink",
        }
    }

    /// Columns of its primary key; empty without one.
    pub fn primary_key(&self) -> &[usize] {
        match &self.kind {
            Kind::Table(table) => &table.primary_key,
            Kind::Source(_) | Kind::View(_) | Kind::MaterializedView(_) | Kind::Sink(_) => &[],
        }
    }

    /// WATERMARK FOR, of tables and sources.
    pub fn watermark(&self) -> Option<&Watermark> {
        match &self.kind {
            Kind::Table(table) => table.watermark.as_ref(),
            Kind::Source(source) => source.watermark.as_ref(),
            Kind::View(_) | Kind::MaterializedView(_) | Kind::Sink(_) => None,
        }
    }

    /// The connector that feeds it.
    pub fn connector(&self) -> Option<&ConnectorOptions> {
        match &self.kind {
            Kind::Table(table) => table.connector.as_ref(),
            Kind::Source(source) => Some(&source.connector),
            Kind::View(_) | Kind::MaterializedView(_) | Kind::Sink(_) => None,
        }
    }

    /// Its columns and their numbers.
    pub fn shape(&self) -> Shape {
        let numbers = match &self.kind {
            Kind::Table(table) => table.numbers.clone(),
            Kind::Source(_) | Kind::View(_) | Kind::MaterializedView(_) | Kind::Sink(_) => ColumnNumbers::default(),
        };
        Shape { schema: self.schema.clone(), numbers }
    }

    /// What it sees as it was.
    pub fn seen(&self) -> &[Seen] {
        match &self.kind {
            Kind::View(view) => &view.seen,
            Kind::MaterializedView(view) => &view.seen,
            Kind::Table(_) | Kind::Source(_) | Kind::Sink(_) => &[],
        }
    }

    /// Notes that something, altered or renamed now, looks to it as before.
    pub fn see(&mut self, object: &Self) {
        let (id, name, Shape { schema, numbers }) = (object.id, object.name.clone(), object.shape());
        let seen = match &mut self.kind {
            Kind::View(view) => &mut view.seen,
            Kind::MaterializedView(view) => &mut view.seen,
            Kind::Table(_) | Kind::Source(_) | Kind::Sink(_) => return,
        };
        if seen.iter().all(|s| s.object != id) {
            seen.push(Seen { object: id, name, schema, numbers });
        }
    }

    /// What it names under one id is another object now.
    pub fn depend_on(&mut self, old: ObjectId, new: ObjectId) {
        let (depends, seen) = match &mut self.kind {
            Kind::View(view) => (&mut view.depends, &mut view.seen),
            Kind::MaterializedView(view) => (&mut view.depends, &mut view.seen),
            Kind::Table(_) | Kind::Source(_) | Kind::Sink(_) => return,
        };
        depends.iter_mut().filter(|id| **id == old).for_each(|id| *id = new);
        seen.iter_mut().map(|s| &mut s.object).filter(|id| **id == old).for_each(|id| *id = new);
    }

    /// The table as it was seen.
    pub fn as_seen(&self, seen: &Seen) -> Self {
        let (width, own) = (seen.schema.fields().len(), self.shape());
        let nullable = |at: usize| {
            let now = own.numbers.position(seen.numbers.of(at), own.schema.fields().len());
            now.is_none_or(|now| own.schema.field(now).is_nullable())
        };
        let fields = seen.schema.fields().iter().enumerate();
        let fields: Vec<Field> = fields.map(|(i, f)| f.as_ref().clone().with_nullable(nullable(i))).collect();
        let mut object = Self { schema: Arc::new(Schema::new(fields)), ..self.clone() };
        if let Kind::Table(table) = &mut object.kind {
            let now = std::mem::replace(&mut table.numbers, seen.numbers.clone());
            let moved = |at: &usize| seen.numbers.position(now.of(*at), width);
            table.primary_key = table.primary_key.iter().filter_map(moved).collect();
            table.defaults = vec![None; width];
            table.watermark = table.watermark.take().and_then(|w| Some(Watermark { column: moved(&w.column)?, ..w }));
        }
        object
    }

    /// Objects that it names: what it reads, and where its late rows go.
    pub fn depends(&self) -> Vec<ObjectId> {
        match &self.kind {
            Kind::Table(_) | Kind::Source(_) => Vec::new(),
            Kind::View(view) => view.depends.clone(),
            Kind::MaterializedView(view) => view.depends.iter().copied().chain(view.late_into).collect(),
            Kind::Sink(sink) => vec![sink.input],
        }
    }
}
