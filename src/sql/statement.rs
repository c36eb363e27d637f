//! [`Statement`]: all that a client can say, as a closed enum.
//!
//! Names are folded as PostgreSQL folds them (lower case unless quoted). Queries and expressions stay sqlparser's
//! syntax trees until they are bound; where an object keeps text (defaults, watermarks, views) the text is kept too.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::tokenizer::Location;

pub use super::alter::{Action, AlterTable, Pause, Rebuild};
pub use super::explain::{Explain, ExplainOptions, Explained};
pub use super::select::{AsOf, Select};
pub use super::subscribe::{Envelope, EnvelopeKind, Subscribe};
use crate::catalog::object::{ConnectorOptions, Emit};

/// `[schema.]name`, with the 1-based character position of its first letter in the statement (0: unknown).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// `public`, `pg_catalog`, .. when given.
    pub schema: Option<String>,
    /// Unqualified.
    pub name: String,
    /// For errors.
    pub position: usize,
}

/// A piece of syntax and the text it came from.
#[derive(Clone, Debug)]
pub struct Text<T> {
    /// The tree.
    pub tree: T,
    /// Its text.
    pub text: String,
    /// 0-based character offset of the text in the statement.
    pub offset: usize,
    /// Where the text begins, in the lines and columns that the tree's spans count in.
    pub start: Location,
}

/// A query with its text.
pub type Query = Text<Box<ast::Query>>;
/// An expression with its text.
pub type Expr = Text<ast::Expr>;

/// One statement.
#[derive(Clone, Debug)]
pub enum Statement {
    /// SELECT, VALUES, TABLE, WITH .. SELECT.
    Query(Select),
    /// INSERT.
    Insert(Box<Insert>),
    /// UPDATE.
    Update(Box<Update>),
    /// DELETE.
    Delete(Box<Delete>),
    /// TRUNCATE `[TABLE]` a, b.
    Truncate(Vec<Name>),
    /// COPY t [(columns)] FROM STDIN.
    CopyFrom(CopyFrom),
    /// COPY t | (query) | (SUBSCRIBE ..) TO STDOUT.
    CopyTo(CopyTo),
    /// SUBSCRIBE, and SELECT .. EMIT CHANGES.
    Subscribe(Subscribe),
    /// CREATE TABLE.
    CreateTable(CreateTable),
    /// CREATE SOURCE.
    CreateSource(CreateSource),
    /// CREATE SINK.
    CreateSink(CreateSink),
    /// CREATE [OR REPLACE] VIEW.
    CreateView(CreateView),
    /// CREATE MATERIALIZED VIEW.
    CreateMaterializedView(CreateMaterializedView),
    /// DROP.
    Drop(Drop),
    /// ALTER .. RENAME, ALTER .. SWAP WITH.
    Rename(Rename),
    /// ALTER TABLE.
    AlterTable(AlterTable),
    /// ALTER MATERIALIZED VIEW .. PAUSE or RESUME.
    Pause(Pause),
    /// REBUILD MATERIALIZED VIEW.
    Rebuild(Rebuild),
    /// ALTER SYSTEM SET name = value; `None`: to its default (RESET too).
    AlterSystem {
        /// Lower case; `None`: RESET ALL.
        name: Option<String>,
        /// As SHOW would print it.
        value: Option<String>,
    },
    /// COMMENT ON.
    Comment(Comment),
    /// FLUSH.
    Flush,
    /// BEGIN, START TRANSACTION.
    Begin(TransactionModes),
    /// COMMIT, END.
    Commit,
    /// ROLLBACK, ABORT.
    Rollback,
    /// SAVEPOINT name.
    Savepoint(String),
    /// RELEASE `[SAVEPOINT]` name.
    Release(String),
    /// ROLLBACK TO `[SAVEPOINT]` name.
    RollbackTo(String),
    /// SET TRANSACTION, SET SESSION CHARACTERISTICS AS TRANSACTION.
    SetTransaction(TransactionModes),
    /// DECLARE .. CURSOR.
    Declare(Declare),
    /// FETCH and MOVE.
    Fetch(Fetch),
    /// CLOSE name; `None`: ALL.
    Close(Option<String>),
    /// SHOW.
    Show(Show),
    /// EXPLAIN.
    Explain(Explain),
    /// SET [SESSION | LOCAL].
    Set {
        /// Lower case.
        name: String,
        /// `None`: TO DEFAULT. A list is joined with `, `.
        value: Option<String>,
        /// SET LOCAL.
        local: bool,
    },
    /// RESET name; `None`: ALL.
    Reset(Option<String>),
    /// DISCARD.
    Discard(Discard),
    /// PREPARE name (types) AS statement.
    Prepare {
        /// Its name.
        name: String,
        /// Declared parameter types.
        types: Vec<ast::DataType>,
        /// What is prepared.
        statement: Box<Statement>,
        /// The statement's text.
        text: String,
    },
    /// EXECUTE name (arguments).
    Execute {
        /// Its name.
        name: String,
        /// Constant expressions.
        arguments: Vec<Expr>,
    },
    /// DEALLOCATE name; `None`: ALL.
    Deallocate(Option<String>),
    /// UNLISTEN channel | *: poolers send it; there is never anything to unlisten (LISTEN is refused).
    Unlisten,
}

/// INSERT INTO.
#[derive(Clone, Debug)]
pub struct Insert {
    /// Into what.
    pub target: Name,
    /// INSERT INTO t AS alias.
    pub alias: Option<String>,
    /// Columns named; empty: all.
    pub columns: Vec<(String, usize)>,
    /// Rows; `None`: DEFAULT VALUES.
    pub source: Option<Query>,
    /// ON CONFLICT.
    pub on_conflict: Option<OnConflict>,
    /// RETURNING.
    pub returning: Option<Vec<ast::SelectItem>>,
    /// The statement's own text, for positions in errors.
    pub text: String,
}

/// ON CONFLICT.
#[derive(Clone, Debug)]
pub struct OnConflict {
    /// Columns in parentheses; empty: none given.
    pub target: Vec<(String, usize)>,
    /// DO NOTHING when `None`.
    pub update: Option<ConflictUpdate>,
}

/// DO UPDATE SET .. [WHERE ..].
#[derive(Clone, Debug)]
pub struct ConflictUpdate {
    /// SET.
    pub assignments: Vec<ast::Assignment>,
    /// WHERE.
    pub filter: Option<ast::Expr>,
}

/// UPDATE.
#[derive(Clone, Debug)]
pub struct Update {
    /// What.
    pub target: Name,
    /// Alias.
    pub alias: Option<String>,
    /// SET.
    pub assignments: Vec<ast::Assignment>,
    /// FROM.
    pub from: Vec<ast::TableWithJoins>,
    /// WHERE.
    pub filter: Option<ast::Expr>,
    /// RETURNING.
    pub returning: Option<Vec<ast::SelectItem>>,
    /// The statement's own text, for positions in errors.
    pub text: String,
}

/// DELETE.
#[derive(Clone, Debug)]
pub struct Delete {
    /// From what.
    pub target: Name,
    /// Alias.
    pub alias: Option<String>,
    /// USING.
    pub using: Vec<ast::TableWithJoins>,
    /// WHERE.
    pub filter: Option<ast::Expr>,
    /// RETURNING.
    pub returning: Option<Vec<ast::SelectItem>>,
    /// The statement's own text, for positions in errors.
    pub text: String,
}

/// COPY's options as given; the engine fills in the defaults of the format.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// `text`, `csv` or `binary`.
    pub format: CopyFormat,
    /// DELIMITER.
    pub delimiter: Option<char>,
    /// NULL.
    pub null: Option<String>,
    /// HEADER.
    pub header: bool,
    /// QUOTE.
    pub quote: Option<char>,
    /// ESCAPE.
    pub escape: Option<char>,
}

/// COPY's formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum CopyFormat {
    #[default]
    Text,
    Csv,
    Binary,
}

/// COPY .. FROM STDIN.
#[derive(Clone, Debug)]
pub struct CopyFrom {
    /// Into what.
    pub target: Name,
    /// Columns; empty: all.
    pub columns: Vec<(String, usize)>,
    /// How.
    pub options: CopyOptions,
}

/// COPY .. TO STDOUT.
#[derive(Clone, Debug)]
pub struct CopyTo {
    /// What; COPY t (a, b) TO has become SELECT a, b FROM t.
    pub source: Streamed,
    /// How.
    pub options: CopyOptions,
}

/// A query, or a subscription.
#[derive(Clone, Debug)]
pub enum Streamed {
    /// Ends.
    Query(Select),
    /// May never end.
    Subscribe(Box<Subscribe>),
}

/// A column of CREATE TABLE or CREATE SOURCE.
#[derive(Clone, Debug)]
pub struct ColumnDef {
    /// Name, type, and what its Arrow field says of them; NOT NULL (and PRIMARY KEY) make it non-nullable.
    pub field: arrow::datatypes::Field,
    /// DEFAULT.
    pub default: Option<Expr>,
}

/// WATERMARK FOR column AS expression.
#[derive(Clone, Debug)]
pub struct WatermarkDef {
    /// The column's name and position in the text.
    pub column: (String, usize),
    /// The expression.
    pub expression: Expr,
}

/// CREATE TABLE.
#[derive(Clone, Debug)]
pub struct CreateTable {
    /// Its name.
    pub name: Name,
    /// IF NOT EXISTS.
    pub if_not_exists: bool,
    /// Columns; may be empty with a connector that tells them.
    pub columns: Vec<ColumnDef>,
    /// Names of the primary key's columns; empty: none.
    pub primary_key: Vec<String>,
    /// WATERMARK FOR.
    pub watermark: Option<WatermarkDef>,
    /// APPEND ONLY.
    pub append_only: bool,
    /// WITH (connector = ..) FORMAT .. ENCODE ..
    pub connector: Option<ConnectorOptions>,
}

/// CREATE SOURCE.
#[derive(Clone, Debug)]
pub struct CreateSource {
    /// Its name.
    pub name: Name,
    /// IF NOT EXISTS.
    pub if_not_exists: bool,
    /// Columns; may be empty where the connector tells them.
    pub columns: Vec<ColumnDef>,
    /// WATERMARK FOR.
    pub watermark: Option<WatermarkDef>,
    /// WITH (connector = ..) FORMAT .. ENCODE ..
    pub connector: ConnectorOptions,
}

/// CREATE SINK.
#[derive(Clone, Debug)]
pub struct CreateSink {
    /// Its name.
    pub name: Name,
    /// IF NOT EXISTS.
    pub if_not_exists: bool,
    /// Whose changes it writes.
    pub from: Name,
    /// WITH (connector = ..) .. ENCODE ..; an empty connector: none given.
    pub connector: ConnectorOptions,
    /// FORMAT, upper case; empty: none given.
    pub format: String,
}

/// CREATE VIEW.
#[derive(Clone, Debug)]
pub struct CreateView {
    /// Its name.
    pub name: Name,
    /// OR REPLACE.
    pub or_replace: bool,
    /// Column names given; empty: the query's.
    pub columns: Vec<String>,
    /// The query.
    pub query: Query,
}

/// CREATE MATERIALIZED VIEW.
#[derive(Clone, Debug)]
pub struct CreateMaterializedView {
    /// Its name.
    pub name: Name,
    /// OR REPLACE.
    pub or_replace: bool,
    /// IF NOT EXISTS.
    pub if_not_exists: bool,
    /// Column names given; empty: the query's.
    pub columns: Vec<String>,
    /// The query.
    pub query: Query,
    /// EMIT.
    pub emit: Emit,
    /// ALLOW LATENESS, microseconds.
    pub lateness: Option<i64>,
    /// WITH (retention), microseconds.
    pub retention: Option<i64>,
    /// LATE ROWS INTO.
    pub late_into: Option<Name>,
    /// The whole statement's text.
    pub definition: String,
}

/// The kinds of relations that statements name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum RelationKind {
    Table,
    Source,
    View,
    MaterializedView,
    Sink,
}

/// DROP.
#[derive(Clone, Debug)]
pub struct Drop {
    /// What the objects must be.
    pub kind: RelationKind,
    /// Which.
    pub names: Vec<Name>,
    /// IF EXISTS.
    pub if_exists: bool,
    /// CASCADE.
    pub cascade: bool,
}

/// ALTER .. RENAME TO, and ALTER .. SWAP WITH.
#[derive(Clone, Debug)]
pub struct Rename {
    /// What the object must be (ALTER TABLE takes any kind, as in PostgreSQL).
    pub kind: RelationKind,
    /// Which.
    pub name: Name,
    /// IF EXISTS.
    pub if_exists: bool,
    /// Its new name.
    pub to: Name,
    /// The object of that name gets the old one.
    pub swap: bool,
}

/// COMMENT ON.
#[derive(Clone, Debug)]
pub struct Comment {
    /// What the object must be.
    pub kind: RelationKind,
    /// Which.
    pub name: Name,
    /// COMMENT ON COLUMN t.c.
    pub column: Option<String>,
    /// IS NULL when `None`.
    pub text: Option<String>,
}

/// Modes of BEGIN; all isolation levels run as the strictest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionModes {
    /// READ ONLY (true), READ WRITE (false).
    pub read_only: Option<bool>,
}

/// DECLARE .. CURSOR.
#[derive(Clone, Debug)]
pub struct Declare {
    /// The cursor's name.
    pub name: String,
    /// WITH HOLD.
    pub hold: bool,
    /// FOR ..
    pub source: Streamed,
}

/// FETCH, MOVE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The cursor's name.
    pub cursor: String,
    /// Rows at most; `None`: ALL.
    pub count: Option<u64>,
    /// WITH (timeout = ..), milliseconds.
    pub timeout_ms: Option<u64>,
    /// MOVE: the rows are passed over.
    pub skip: bool,
}

/// SHOW, DESCRIBE.
#[derive(Clone, Debug)]
pub enum Show {
    /// A setting.
    Setting(String),
    /// SHOW ALL.
    All,
    /// SHOW TABLES, SOURCES, SINKS, VIEWS, MATERIALIZED VIEWS.
    Relations(RelationKind),
    /// SHOW COLUMNS FROM, DESCRIBE.
    Columns(Name),
    /// SHOW CREATE TABLE, ..
    Create(RelationKind, Name),
}

/// DISCARD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Discard {
    All,
    Plans,
    Sequences,
    Temporary,
}
