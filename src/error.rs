//! The one error type: what PostgreSQL's `ErrorResponse` can say, as a value.
//!
//! Message style is PostgreSQL's: lower case, no full stop, names in double quotes; the hint says what to do.
//! Errors *in data* (a row that fails in an expression) are not this type: they travel as
//! [`crate::operators::RowError`].
//!
//! Uses: nothing

use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

/// The result of everything that a user's statement can make fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A five-character SQLSTATE code, with PostgreSQL's condition names.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState(pub &'static str);

#[rustfmt::skip]
#[expect(missing_docs, reason = "the names are PostgreSQL's condition names")]
impl SqlState {
    pub const CONNECTION_FAILURE: Self = Self("08006");
    pub const PROTOCOL_VIOLATION: Self = Self("08P01");
    pub const FEATURE_NOT_SUPPORTED: Self = Self("0A000");
    pub const CARDINALITY_VIOLATION: Self = Self("21000");
    pub const STRING_DATA_RIGHT_TRUNCATION: Self = Self("22001");
    pub const NUMERIC_VALUE_OUT_OF_RANGE: Self = Self("22003");
    pub const INTERVAL_FIELD_OVERFLOW: Self = Self("22015");
    pub const NULL_VALUE_NOT_ALLOWED: Self = Self("22004");
    pub const INVALID_DATETIME_FORMAT: Self = Self("22007");
    pub const DATETIME_FIELD_OVERFLOW: Self = Self("22008");
    pub const DIVISION_BY_ZERO: Self = Self("22012");
    pub const INVALID_PARAMETER_VALUE: Self = Self("22023");
    pub const CHARACTER_NOT_IN_REPERTOIRE: Self = Self("22021");
    pub const INVALID_TEXT_REPRESENTATION: Self = Self("22P02");
    pub const INVALID_BINARY_REPRESENTATION: Self = Self("22P03");
    pub const BAD_COPY_FILE_FORMAT: Self = Self("22P04");
    pub const NOT_NULL_VIOLATION: Self = Self("23502");
    pub const UNIQUE_VIOLATION: Self = Self("23505");
    pub const INVALID_CURSOR_STATE: Self = Self("24000");
    pub const ACTIVE_SQL_TRANSACTION: Self = Self("25001");
    pub const NO_ACTIVE_SQL_TRANSACTION: Self = Self("25P01");
    pub const READ_ONLY_SQL_TRANSACTION: Self = Self("25006");
    pub const IN_FAILED_SQL_TRANSACTION: Self = Self("25P02");
    pub const INVALID_SQL_STATEMENT_NAME: Self = Self("26000");
    pub const INVALID_CURSOR_NAME: Self = Self("34000");
    pub const INVALID_CATALOG_NAME: Self = Self("3D000");
    pub const INVALID_SCHEMA_NAME: Self = Self("3F000");
    pub const SERIALIZATION_FAILURE: Self = Self("40001");
    pub const SYNTAX_ERROR: Self = Self("42601");
    pub const INSUFFICIENT_PRIVILEGE: Self = Self("42501");
    pub const CANNOT_COERCE: Self = Self("42846");
    pub const GROUPING_ERROR: Self = Self("42803");
    pub const WINDOWING_ERROR: Self = Self("42P20");
    pub const DATATYPE_MISMATCH: Self = Self("42804");
    pub const WRONG_OBJECT_TYPE: Self = Self("42809");
    pub const UNDEFINED_COLUMN: Self = Self("42703");
    pub const UNDEFINED_FUNCTION: Self = Self("42883");
    pub const UNDEFINED_TABLE: Self = Self("42P01");
    pub const UNDEFINED_PARAMETER: Self = Self("42P02");
    pub const UNDEFINED_OBJECT: Self = Self("42704");
    pub const DUPLICATE_COLUMN: Self = Self("42701");
    pub const DUPLICATE_CURSOR: Self = Self("42P03");
    pub const DUPLICATE_PREPARED_STATEMENT: Self = Self("42P05");
    pub const DUPLICATE_TABLE: Self = Self("42P07");
    pub const AMBIGUOUS_COLUMN: Self = Self("42702");
    pub const INVALID_COLUMN_REFERENCE: Self = Self("42P10");
    pub const INVALID_TABLE_DEFINITION: Self = Self("42P16");
    pub const INVALID_OBJECT_DEFINITION: Self = Self("42P17");
    pub const INDETERMINATE_DATATYPE: Self = Self("42P18");
    pub const INVALID_SAVEPOINT: Self = Self("3B001");
    pub const OUT_OF_MEMORY: Self = Self("53200");
    pub const STATEMENT_TOO_COMPLEX: Self = Self("54001");
    pub const TOO_MANY_CONNECTIONS: Self = Self("53300");
    pub const WARNING: Self = Self("01000");
    pub const SUCCESSFUL_COMPLETION: Self = Self("00000");
    pub const CONFIGURATION_LIMIT_EXCEEDED: Self = Self("53400");
    pub const PROGRAM_LIMIT_EXCEEDED: Self = Self("54000");
    pub const OBJECT_NOT_IN_PREREQUISITE_STATE: Self = Self("55000");
    pub const CANT_CHANGE_RUNTIME_PARAM: Self = Self("55P02");
    pub const QUERY_CANCELED: Self = Self("57014");
    pub const ADMIN_SHUTDOWN: Self = Self("57P01");
    pub const IO_ERROR: Self = Self("58030");
    pub const UNDEFINED_FILE: Self = Self("58P01");
    pub const DEPENDENT_OBJECTS_STILL_EXIST: Self = Self("2BP01");
    pub const SNAPSHOT_TOO_OLD: Self = Self("72000");
    pub const OBJECT_IN_USE: Self = Self("55006");
    pub const DISK_FULL: Self = Self("53100");
    pub const DATA_CORRUPTED: Self = Self("XX001");
    pub const INTERNAL_ERROR: Self = Self("XX000");
}

impl SqlState {
    /// The state of a code that was written down; one that is no code is XX000.
    pub fn named(code: &str) -> Self {
        static KNOWN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
        if code.len() != 5 || !code.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()) {
            return Self::INTERNAL_ERROR;
        }
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(code) {
            return Self(known);
        }
        // There are a few hundred codes, and each is kept once.
        let kept: &'static str = Box::leak(code.to_owned().into_boxed_str());
        known.insert(kept);
        Self(kept)
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// An error a client can see. Boxed, so that `Result` stays one pointer wide.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Parts>);

/// The fields of an [`Error`], as PostgreSQL's protocol names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// SQLSTATE.
    pub code: SqlState,
    /// The primary message: lower case, one line.
    pub message: String,
    /// Facts that did not fit the message.
    pub detail: Option<String>,
    /// What the user can do about it.
    pub hint: Option<String>,
    /// 1-based character offset into the statement's text.
    pub position: Option<usize>,
}

impl Error {
    /// An error with a code and a message; add the rest with the `with_*` methods.
    pub fn new(code: SqlState, message: impl Into<String>) -> Self {
        Self(Box::new(Parts { code, message: message.into(), detail: None, hint: None, position: None }))
    }

    /// `0A000`: Highwater does not support this; the hint says what to use instead.
    pub fn unsupported(what: impl fmt::Display, hint: impl Into<String>) -> Self {
        Self::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{what} is not supported")).with_hint(hint)
    }

    /// `XX000`: a bug of ours. The message should let us find it.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(SqlState::INTERNAL_ERROR, message)
    }

    /// `XX000` for a panic: one statement's error.
    pub fn panicked(panic: &(dyn std::any::Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        if text.contains("offset overflow") {
            return Self::too_much_text();
        }
        Self::internal(format!("the statement panicked: {text}"))
            .with_hint("This is a bug in Highwater. The statement had no effect; other connections are not affected.")
    }

    /// `54000`: a column of one batch has more bytes of text than Arrow's offsets can tell.
    fn too_much_text() -> Self {
        Self::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "the texts that are computed at once have more than 2 GiB")
            .with_hint("Rows are computed some thousands at once: make their texts shorter, or ask for fewer rows.")
    }

    /// `53200`: a query's operators have no memory left, and cannot use the disk.
    fn out_of_memory() -> Self {
        Self::new(SqlState::OUT_OF_MEMORY, "out of memory").with_hint(
            "All queries together may use 2 GiB, or three sixteenths of --memory-limit. Ask for fewer rows or groups, or let a materialized view keep the answer.",
        )
    }

    /// `42601` at a 1-based character position, when it is known.
    pub fn syntax(message: impl Into<String>, position: Option<usize>) -> Self {
        let mut error = Self::new(SqlState::SYNTAX_ERROR, message);
        error.0.position = position;
        error
    }

    /// Adds a detail line.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// 0A000 by name for a shape of query that DataFusion says it has no plan for.
    pub fn unplanned(message: &str) -> Option<Self> {
        let found = UNPLANNED.iter().find(|(theirs, ..)| message.contains(theirs));
        found.map(|(_, what, hint)| Self::unsupported(what, *hint))
    }

    /// Points at a 1-based character of the statement.
    #[must_use]
    pub fn with_position(mut self, position: usize) -> Self {
        self.0.position = Some(position);
        self
    }

    /// The SQLSTATE.
    pub fn code(&self) -> SqlState {
        self.0.code
    }

    /// The primary message.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// All fields.
    pub fn parts(&self) -> &Parts {
        &self.0
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.0, self.0.message)?;
        if let Some(detail) = &self.0.detail {
            write!(f, " ({detail})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::from(datafusion::error::DataFusionError::from(error))
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        // One of ours that passed through a reader comes out as it went in.
        match error.downcast::<Self>() {
            Ok(ours) => ours,
            Err(error) => Self::new(SqlState::IO_ERROR, error.to_string()),
        }
    }
}

/// Gives DataFusion's and Arrow's errors PostgreSQL's SQLSTATE and wording.
impl From<datafusion::error::DataFusionError> for Error {
    fn from(error: datafusion::error::DataFusionError) -> Self {
        use arrow::error::ArrowError;
        use datafusion::error::DataFusionError as D;
        // An `Error` of ours that passed through DataFusion comes out as it went in.
        match error {
            D::External(inner) => match inner.downcast::<Error>() {
                Ok(ours) => *ours,
                Err(other) => {
                    let message = other.to_string();
                    words(&message).unwrap_or_else(|| Self::internal(message))
                }
            },
            D::Context(_, inner) | D::Diagnostic(_, inner) => Self::from(*inner),
            D::Shared(inner) => match Arc::try_unwrap(inner) {
                Ok(inner) => Self::from(inner),
                Err(shared) => match (find_ours(shared.as_ref()), shared.find_root()) {
                    (Some(ours), _) => ours,
                    (None, D::ResourcesExhausted(_)) => Self::out_of_memory(),
                    (None, _) => Self::internal(shared.strip_backtrace()),
                },
            },
            D::ArrowError(inner, _) => match *inner {
                ArrowError::DivideByZero => Self::new(SqlState::DIVISION_BY_ZERO, "division by zero"),
                ArrowError::ArithmeticOverflow(message) => {
                    Self::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, overflow_message(&message))
                }
                ArrowError::ExternalError(inner) => match inner.downcast::<Error>() {
                    Ok(ours) => *ours,
                    Err(other) => {
                        let message = other.to_string();
                        words(&message).unwrap_or_else(|| Self::internal(message))
                    }
                },
                ArrowError::OffsetOverflowError(_) => Self::too_much_text(),
                ArrowError::CastError(message) | ArrowError::ParseError(message) => {
                    match message.strip_prefix("Invalid input syntax for type interval") {
                        Some(rest) => {
                            let words = format!("invalid input syntax for type interval{rest}");
                            Self::new(SqlState::INVALID_DATETIME_FORMAT, words)
                        }
                        None => Self::new(SqlState::INVALID_TEXT_REPRESENTATION, message),
                    }
                }
                other => {
                    let message = other.to_string();
                    words(&message).unwrap_or_else(|| Self::internal(message))
                }
            },
            D::ResourcesExhausted(_) => Self::out_of_memory(),
            D::NotImplemented(message) => {
                Self::unplanned(&message).unwrap_or_else(|| Self::new(SqlState::FEATURE_NOT_SUPPORTED, message))
            }
            D::Plan(message) | D::Execution(message) => {
                words(&message).unwrap_or_else(|| Self::internal(message.clone()))
            }
            other => {
                let message = other.strip_backtrace();
                words(&message).unwrap_or_else(|| Self::internal(message))
            }
        }
    }
}

/// PostgreSQL's words for what DataFusion's functions and operators say when they fail.
fn words(message: &str) -> Option<Error> {
    if message.contains("CompiledTooBig") || message.contains("regex exceeds size limit") {
        let text = "invalid regular expression: regular expression is too complex";
        return Some(Error::new(SqlState("2201B"), text));
    }
    if message.contains("regex parse error") {
        let reason = message.lines().rev().find_map(|l| l.strip_prefix("error: ")).unwrap_or("syntax");
        let known = REGEX.iter().find(|(ours, _)| reason.contains(ours)).map_or(reason, |(_, theirs)| *theirs);
        return Some(Error::new(SqlState("2201B"), format!("invalid regular expression: {known}")));
    }
    if let Some((_, rest)) = message.split_once("Failed to decode value using hex: Invalid character '") {
        let digit = rest.chars().next().unwrap_or(' ');
        let text = format!("invalid hexadecimal digit: \"{digit}\"");
        return Some(Error::new(SqlState::INVALID_PARAMETER_VALUE, text));
    }
    if let Some((_, rest)) = message.split_once("There is no built-in encoding named '") {
        let name = rest.split('\'').next().unwrap_or_default();
        return Some(
            Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("unrecognized encoding: \"{name}\""))
                .with_hint("Encodings are base64 and hex."),
        );
    }
    let found = WORDS.iter().find(|(theirs, ..)| message.contains(theirs));
    found.map(|(_, code, words)| Error::new(*code, *words)).or_else(|| Error::unplanned(message))
}

/// DataFusion's words, what it is that has no plan, and what to write instead.
const UNPLANNED: &[(&str, &str, &str)] = &[
    ("logical expression ScalarSubquery(", CORRELATED, JOIN),
    ("logical expression InSubquery(", CORRELATED, JOIN),
    ("logical expression Exists(", CORRELATED, JOIN),
    ("logical expression SetComparison(", CORRELATED, JOIN),
    (
        "orrelated scalar subquery can only be used in",
        "a subquery with columns of the outer query in this clause",
        JOIN,
    ),
    ("orrelated column is not allowed in", CORRELATED, JOIN),
    (
        "logical expression OuterReferenceColumn(",
        "a LATERAL subquery with LIMIT, aggregates, or outer columns outside of WHERE",
        "Write it as a join; row_number() OVER (PARTITION BY ..) counts the rows that belong to each.",
    ),
    (
        "must be an INTEGER or NULL, got",
        "generate_series in FROM with columns of other tables",
        "Use unnest(generate_series(..)) among the results of the SELECT.",
    ),
];

const CORRELATED: &str = "a subquery that uses columns of the outer query other than in conditions with =";
const JOIN: &str = "Write it as a join, with GROUP BY for an aggregate.";

/// DataFusion's words, SQLSTATE, PostgreSQL's words.
#[rustfmt::skip]
const WORDS: &[(&str, SqlState, &str)] = &[
    ("LIMIT must be >= 0", SqlState("2201W"), "LIMIT must not be negative"),
    ("OFFSET must be >=0", SqlState("2201X"), "OFFSET must not be negative"),
    ("Scalar subquery returned more than one row", SqlState::CARDINALITY_VIOLATION, "more than one row returned by a subquery used as an expression"),
    ("negative count not allowed", SqlState("22011"), "negative substring length not allowed"),
    ("negative substring length not allowed", SqlState("22011"), "negative substring length not allowed"),
    ("field position must not be zero", SqlState::INVALID_PARAMETER_VALUE, "field position must not be zero"),
    ("argument to generate_series must not be 0", SqlState::INVALID_PARAMETER_VALUE, "step size cannot equal zero"),
    ("step can't be 0", SqlState::INVALID_PARAMETER_VALUE, "step size cannot equal zero"),
    ("Step cannot be zero", SqlState::INVALID_PARAMETER_VALUE, "step size cannot equal zero"),
    ("NTILE requires a positive integer", SqlState("22014"), "argument of ntile must be greater than zero"),
    ("factorial of a negative number", SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "factorial of a negative number is undefined"),
    ("Int16Array overflow on abs", SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "smallint out of range"),
    ("Int32Array overflow on abs", SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "integer out of range"),
    ("Int64Array overflow on abs", SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "bigint out of range"),
    ("start bound", SqlState::WINDOWING_ERROR, "frame starting from following row cannot have preceding rows"),
    ("Expected an integer value", SqlState::DATATYPE_MISMATCH, "the offset of a window function must be a constant of type integer"),
    ("overlay start position must be", SqlState("22011"), "negative substring length not allowed"),
    ("Cannot access field at argument", SqlState::WRONG_OBJECT_TYPE, "column notation applied to a value that is not of a composite type"),
    ("Failed to decode value using base64", SqlState::INVALID_PARAMETER_VALUE, "invalid base64 end sequence"),
];

/// Reasons that the regex parser gives, and PostgreSQL's.
const REGEX: [(&str, &str); 5] = [
    ("unclosed group", "parentheses () not balanced"),
    ("unopened group", "parentheses () not balanced"),
    ("unclosed character class", "brackets [] not balanced"),
    ("repetition operator missing", "quantifier operand invalid"),
    ("invalid escape", "invalid escape \\ sequence"),
];

/// Does what a thread of ours is there for. A panic is an error too, so that nobody waits for it for ever.
pub fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(Error::internal(format!("a thread panicked: {}", text.unwrap_or_default())))
    })
}

/// Our own error, if one is the cause of `error`.
fn find_ours(error: &(dyn std::error::Error + 'static)) -> Option<Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(ours) = error.downcast_ref::<Error>() {
            return Some(ours.clone());
        }
        next = error.source();
    }
    None
}

/// PostgreSQL's words for an overflow, by the type Arrow named.
fn overflow_message(message: &str) -> &'static str {
    if message.contains("Int64") { "bigint out of range" } else { "integer out of range" }
}

impl From<Error> for datafusion::error::DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}

use std::sync::Arc;
