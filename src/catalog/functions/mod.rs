//! SQL functions that ask the catalog or the session: `format_type`, `current_setting`, `pg_table_is_visible`, ..
//!
//! They hold the session's [`Environment`], so each session has its own set. They run row by row: what they are used on
//! is small.

mod definitions;
mod describe;
mod panicking;
mod privileges;
mod session;
mod sizes;

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use futures::future::BoxFuture;

use super::Resolved;
use super::system::Environment;
use crate::data::types::META_TYPE;
use crate::error::{Error, Result, SqlState};

pub use panicking::{panicking, panicking_at};

/// All of them, by name, for one session.
pub fn all(environment: &Arc<dyn Environment>) -> HashMap<String, Arc<ScalarUDF>> {
    let lists =
        [session::FUNCTIONS, describe::FUNCTIONS, definitions::FUNCTIONS, privileges::FUNCTIONS, sizes::FUNCTIONS];
    let declared = lists.into_iter().flatten();
    declared
        .map(|d| {
            let function = Function { declared: d, environment: environment.clone(), signature: signature(d) };
            let udf = match d.body {
                Body::Now(_) => ScalarUDF::new_from_impl(function),
                Body::Later(_) => AsyncScalarUDF::new(Arc::new(function)).into_scalar_udf(),
            };
            (d.name.to_owned(), Arc::new(udf))
        })
        .collect()
}

/// What an argument, or the result, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Type {
    Bool,
    Int,
    Bigint,
    Float,
    Oid,
    Text,
    Name,
    Texts,
    Timestamptz,
    /// An oid, or a relation's name as text, as `regclass` arguments take both.
    Relation,
    /// Whatever comes, as text.
    Any,
}

/// One function.
#[derive(Debug)]
struct Declared {
    name: &'static str,
    /// Arguments; those beyond `required` may be left out.
    arguments: &'static [Type],
    required: usize,
    result: Type,
    /// Whether a NULL argument makes the result NULL.
    strict: bool,
    /// Whether it does something: never folded.
    acts: bool,
    body: Body,
}

/// How a row's result is made.
#[derive(Clone, Copy, Debug)]
enum Body {
    /// At once.
    Now(Now),
    /// By waiting for something; dropping the wait ends it.
    Later(Later),
}

type Now = fn(&dyn Environment, &[ScalarValue]) -> Result<ScalarValue>;
type Later = fn(&dyn Environment, &[ScalarValue]) -> BoxFuture<'static, Result<ScalarValue>>;

impl Declared {
    /// A strict function without effect whose arguments are all required.
    const fn new(name: &'static str, arguments: &'static [Type], result: Type, body: Now) -> Self {
        Self { name, arguments, required: arguments.len(), result, strict: true, acts: false, body: Body::Now(body) }
    }

    /// A function that does something and waits for it.
    const fn waiting(name: &'static str, arguments: &'static [Type], result: Type, body: Later) -> Self {
        Self { name, arguments, required: arguments.len(), result, strict: true, acts: true, body: Body::Later(body) }
    }

    /// The last arguments may be left out.
    const fn optional(mut self, count: usize) -> Self {
        self.required -= count;
        self
    }

    const fn called_on_null(mut self) -> Self {
        self.strict = false;
        self
    }

    const fn acts(mut self) -> Self {
        self.acts = true;
        self
    }
}

#[derive(Debug)]
struct Function {
    declared: &'static Declared,
    environment: Arc<dyn Environment>,
    signature: Signature,
}

fn signature(declared: &Declared) -> Signature {
    let volatility = if declared.acts { Volatility::Volatile } else { Volatility::Stable };
    let types: Vec<DataType> = declared.arguments.iter().map(|t| t.data_type()).collect();
    match declared.body {
        _ if types.is_empty() => Signature::nullary(volatility),
        // DataFusion does not ask functions that wait for their coercions.
        Body::Later(_) => {
            let exact = (declared.required..=types.len()).map(|n| TypeSignature::Exact(types[..n].to_vec()));
            Signature::one_of(exact.collect(), volatility)
        }
        Body::Now(_) => Signature::user_defined(volatility),
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.declared.name == other.declared.name && self.environment.pid() == other.environment.pid()
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.declared.name.hash(state);
    }
}

impl Type {
    fn data_type(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int => DataType::Int32,
            Self::Float => DataType::Float64,
            Self::Oid | Self::Bigint => DataType::Int64,
            Self::Text | Self::Name | Self::Relation | Self::Any => DataType::Utf8,
            Self::Texts => DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))),
            Self::Timestamptz => crate::data::types::timestamptz(),
        }
    }

    fn mark(self) -> Option<&'static str> {
        match self {
            Self::Oid => Some("oid"),
            Self::Name => Some("name"),
            _ => None,
        }
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.declared.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DataFusionResult<DataType> {
        Ok(self.declared.result.data_type())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> DataFusionResult<FieldRef> {
        let result = self.declared.result;
        let field = Field::new(self.declared.name, result.data_type(), true);
        Ok(Arc::new(match result.mark() {
            Some(mark) => field.with_metadata(HashMap::from([(META_TYPE.to_owned(), mark.to_owned())])),
            None => field,
        }))
    }

    fn coerce_types(&self, types: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        let declared = self.declared;
        if types.len() < declared.required || types.len() > declared.arguments.len() {
            let given = types.iter().map(|t| crate::data::types::sql_name(&Field::new("", t.clone(), true)));
            let given = given.collect::<Vec<_>>().join(", ");
            let message = format!("function {}({given}) does not exist", declared.name);
            let error = Error::new(SqlState::UNDEFINED_FUNCTION, message);
            let hint =
                "No function matches the given name and argument types. You might need to add explicit type casts.";
            return Err(error.with_hint(hint).into());
        }
        let wanted = types.iter().zip(declared.arguments).map(|(given, wanted)| match wanted {
            Type::Relation if given.is_integer() => DataType::Int64,
            other => other.data_type(),
        });
        Ok(wanted.collect())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let rows = Rows::new(&args);
        let results = (0..rows.count).map(|i| self.call(&rows.at(i)?)).collect::<DataFusionResult<Vec<_>>>()?;
        rows.finish(results, self.declared)
    }
}

#[async_trait::async_trait]
impl AsyncScalarUDFImpl for Function {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let rows = Rows::new(&args);
        let mut results = Vec::with_capacity(rows.count);
        for i in 0..rows.count {
            let row = rows.at(i)?;
            results.push(match self.declared.body {
                Body::Later(body) if !row.iter().any(ScalarValue::is_null) => {
                    self.typed(body(self.environment.as_ref(), &row).await?)?
                }
                Body::Later(_) | Body::Now(_) => self.call(&row)?,
            });
        }
        rows.finish(results, self.declared)
    }
}

/// The arguments of a call, row by row.
struct Rows<'a> {
    args: &'a ScalarFunctionArgs,
    constant: bool,
    count: usize,
}

impl<'a> Rows<'a> {
    fn new(args: &'a ScalarFunctionArgs) -> Self {
        let constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        Self { args, constant, count: if constant { 1 } else { args.number_rows } }
    }

    fn at(&self, i: usize) -> DataFusionResult<Vec<ScalarValue>> {
        let value = |argument: &ColumnarValue| match argument {
            ColumnarValue::Scalar(value) => Ok(value.clone()),
            ColumnarValue::Array(array) => ScalarValue::try_from_array(array, i),
        };
        self.args.args.iter().map(value).collect()
    }

    fn finish(&self, mut results: Vec<ScalarValue>, declared: &Declared) -> DataFusionResult<ColumnarValue> {
        match results.pop() {
            Some(one) if self.constant => Ok(ColumnarValue::Scalar(one)),
            Some(last) => {
                results.push(last);
                Ok(ColumnarValue::Array(ScalarValue::iter_to_array(results)?))
            }
            None => Ok(ColumnarValue::Array(arrow::array::new_empty_array(&declared.result.data_type()))),
        }
    }
}

impl Function {
    fn call(&self, row: &[ScalarValue]) -> DataFusionResult<ScalarValue> {
        let result = match self.declared.body {
            Body::Now(body) if !self.declared.strict || !row.iter().any(ScalarValue::is_null) => {
                body(self.environment.as_ref(), row)?
            }
            Body::Now(_) | Body::Later(_) => ScalarValue::Null,
        };
        self.typed(result)
    }

    /// NULL gets the result's type.
    fn typed(&self, result: ScalarValue) -> DataFusionResult<ScalarValue> {
        if result.is_null() { ScalarValue::try_from(&self.declared.result.data_type()) } else { Ok(result) }
    }
}

/// NULL of whatever the result's type is.
const NULL: ScalarValue = ScalarValue::Null;

fn text(value: impl Into<String>) -> ScalarValue {
    ScalarValue::Utf8(Some(value.into()))
}

fn boolean(value: bool) -> ScalarValue {
    ScalarValue::Boolean(Some(value))
}

fn int(value: i32) -> ScalarValue {
    ScalarValue::Int32(Some(value))
}

fn oid(value: u32) -> ScalarValue {
    ScalarValue::Int64(Some(value.into()))
}

fn bytes(value: i64) -> ScalarValue {
    ScalarValue::Int64(Some(value))
}

/// Argument `i` as text; empty when it is NULL or was left out.
fn text_at(row: &[ScalarValue], i: usize) -> &str {
    row.get(i).and_then(|v| v.try_as_str().flatten()).unwrap_or_default()
}

fn int_at(row: &[ScalarValue], i: usize) -> Option<i64> {
    match row.get(i) {
        Some(ScalarValue::Int64(v)) => *v,
        Some(ScalarValue::Int32(v)) => v.map(i64::from),
        _ => None,
    }
}

fn bool_at(row: &[ScalarValue], i: usize) -> bool {
    matches!(row.get(i), Some(ScalarValue::Boolean(Some(true))))
}

/// Argument `i` as the oid of a relation: a number, a number as text, or a name. 0 when there is no such relation.
fn relation_at(environment: &dyn Environment, row: &[ScalarValue], i: usize) -> u32 {
    if let Some(number) = int_at(row, i) {
        return u32::try_from(number).unwrap_or(0);
    }
    let name = text_at(row, i);
    name.parse().ok().or_else(|| find_relation(environment, name)).unwrap_or(0)
}

/// The oid of the relation that `[schema.]name` means, quoted or not.
fn find_relation(environment: &dyn Environment, name: &str) -> Option<u32> {
    let parts = split_name(name);
    let snapshot = environment.snapshot();
    match parts.as_slice() {
        [name] => snapshot.resolve(None, name).ok(),
        [schema, name] => snapshot.resolve(Some(schema), name).ok(),
        _ => None,
    }
    .map(|found| match found {
        Resolved::User(object) => object.id.0,
        Resolved::System(relation) => relation.oid,
    })
}

/// `a."B".c` as its parts, folded as PostgreSQL folds names.
fn split_name(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut characters = name.trim().chars().peekable();
    while let Some(c) = characters.next() {
        let Some(part) = parts.last_mut() else { break };
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                part.push('"');
                characters.next();
            }
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            c if quoted => part.push(c),
            c => part.extend(c.to_lowercase()),
        }
    }
    parts
}
