//! [`Native`]: a scalar function as a name, a list of overloads and a kernel over columns.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::data::text::TimeZone;
use crate::data::types::{JSONB, NUMERIC_DEFAULT, UUID, interval, json, list_of, timestamp, timestamptz};

/// A type of an argument or a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum T {
    Bool,
    Int4,
    Int8,
    Float8,
    /// An argument of any scale; as a result with 10 digits behind the point.
    Numeric,
    /// A result with this many digits behind the point.
    Scaled(i8),
    Text,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Jsonb,
    Json,
    /// text[]
    Texts,
    /// A result of the first argument's type.
    First,
    /// A result of the second argument's type.
    Second,
}

impl T {
    fn data_type(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int4 => DataType::Int32,
            Self::Int8 => DataType::Int64,
            Self::Float8 => DataType::Float64,
            Self::Numeric | Self::First | Self::Second => DataType::Decimal128(NUMERIC_DEFAULT.0, NUMERIC_DEFAULT.1),
            Self::Scaled(s) => DataType::Decimal128(38, s),
            Self::Text | Self::Json => DataType::Utf8,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(arrow::datatypes::TimeUnit::Microsecond),
            Self::Timestamp => timestamp(),
            Self::Timestamptz => timestamptz(),
            Self::Interval => interval(),
            Self::Uuid => UUID,
            Self::Jsonb => JSONB,
            Self::Texts => list_of(&Field::new("item", DataType::Utf8, true)),
        }
    }

    /// What an argument of type `from` becomes, and how dear that is; `None`: it can't be one.
    fn accept(self, from: &DataType) -> Option<(DataType, u8)> {
        use DataType as D;
        let own = self.data_type();
        if *from == own || (self == Self::Numeric && matches!(from, D::Decimal128(..))) {
            return Some((from.clone(), 0));
        }
        let decimal = |digits| D::Decimal128(digits, 0);
        match (self, from) {
            (_, D::Null) => Some((own, 1)),
            (Self::Int8, D::Int32 | D::Int16) | (Self::Int4, D::Int16) => Some((own, 1)),
            (Self::Float8, D::Float32) => Some((own, 1)),
            (Self::Float8, D::Int16 | D::Int32 | D::Int64 | D::Decimal128(..)) => Some((own, 2)),
            (Self::Numeric, D::Int16) => Some((decimal(5), 3)),
            (Self::Numeric, D::Int32) => Some((decimal(10), 3)),
            (Self::Numeric, D::Int64) => Some((decimal(20), 3)),
            (Self::Timestamp, D::Date32) => Some((own, 2)),
            (Self::Timestamptz, D::Date32 | D::Timestamp(_, None)) => Some((own, 1)),
            (Self::Text, D::Utf8View) => Some((own, 0)),
            (Self::Texts, D::List(item)) if item.data_type() == &D::Utf8 => Some((from.clone(), 0)),
            // Constants come as text; the binder has refused text columns.
            (_, D::Utf8) => Some((own, 4)),
            _ => None,
        }
    }
}

/// Types of arguments, and of the result.
#[derive(Clone, Copy, Debug)]
pub struct Overload(pub &'static [T], pub T);

/// What a kernel gets.
#[derive(Debug)]
pub struct Call<'a> {
    /// Columns of equal length, of the overload's types.
    pub args: &'a [ArrayRef],
    /// The columns' fields: the metadata of types.
    pub fields: &'a [FieldRef],
    /// Number of rows, also without arguments.
    pub rows: usize,
    /// The session's TimeZone.
    pub zone: &'a TimeZone,
    /// The result's type.
    pub result: &'a DataType,
}

/// The kernel of a function.
pub type Kernel = fn(&Call<'_>) -> crate::error::Result<ArrayRef>;

/// A function: one entry in a list.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// In order of preference.
    pub overloads: &'static [Overload],
    /// What it does.
    pub kernel: Kernel,
    /// Where the type depends on a constant first argument: its type, given its text.
    pub by_constant: Option<fn(&str) -> Option<T>>,
    /// Where the types are not a list: what the arguments become, and the result.
    pub types: Option<Types>,
    /// Whether a constant second argument is the scale of a numeric result.
    pub scale_by_constant: bool,
}

/// The types of a call, by the types of its arguments; `None`: there is no such function.
pub type Types = fn(&[DataType]) -> Option<(Vec<DataType>, Field)>;

impl Function {
    /// A function whose result type depends on nothing but the overload.
    pub const fn new(name: &'static str, overloads: &'static [Overload], kernel: Kernel) -> Self {
        Self { name, overloads, kernel, by_constant: None, types: None, scale_by_constant: false }
    }

    /// A function of arguments of many types.
    pub const fn of(name: &'static str, types: Types, kernel: Kernel) -> Self {
        Self { name, overloads: &[], kernel, by_constant: None, types: Some(types), scale_by_constant: false }
    }
}

/// A [`Function`] for DataFusion.
pub struct Native {
    function: &'static Function,
    zone: TimeZone,
    signature: Signature,
}

impl Native {
    /// The function in a session with this TimeZone.
    pub fn new(function: &'static Function, zone: &TimeZone) -> Self {
        Self { function, zone: zone.clone(), signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn overload(&self, types: &[DataType]) -> Option<(&'static Overload, Vec<DataType>)> {
        let candidates = self.function.overloads.iter().filter(|o| o.0.len() == types.len());
        let priced = candidates.filter_map(|overload| {
            let accepted = overload.0.iter().zip(types).map(|(t, from)| t.accept(from)).collect::<Option<Vec<_>>>()?;
            let price: u32 = accepted.iter().map(|(_, p)| u32::from(*p)).sum();
            Some((price, overload, accepted.into_iter().map(|(t, _)| t).collect()))
        });
        priced.min_by_key(|(price, ..)| *price).map(|(_, overload, types)| (overload, types))
    }

    fn missing(&self, types: &[DataType]) -> DataFusionError {
        DataFusionError::Plan(format!("no overload of {} for {types:?}", self.function.name))
    }
}

/// A constant's value.
fn whole(constant: &ScalarValue) -> Option<i64> {
    match constant {
        ScalarValue::Int16(n) => n.map(i64::from),
        ScalarValue::Int32(n) => n.map(i64::from),
        ScalarValue::Int64(n) => *n,
        _ => None,
    }
}

impl fmt::Debug for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Native({})", self.function.name)
    }
}

impl PartialEq for Native {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name && self.zone == other.zone
    }
}

impl Eq for Native {}

impl Hash for Native {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
        self.zone.name().hash(state);
    }
}

impl ScalarUDFImpl for Native {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if let Some(of) = self.function.types {
            return of(types).map(|(types, _)| types).ok_or_else(|| self.missing(types));
        }
        self.overload(types).map(|(_, types)| types).ok_or_else(|| self.missing(types))
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        if let Some(of) = self.function.types {
            return of(types).map(|(_, field)| field.data_type().clone()).ok_or_else(|| self.missing(types));
        }
        let (overload, types) = self.overload(types).ok_or_else(|| self.missing(types))?;
        let nth = |n: usize| types.get(n).cloned().ok_or_else(|| self.missing(&types));
        match overload.1 {
            T::First => nth(0),
            T::Second => nth(1),
            t => Ok(t.data_type()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        if let Some(of) = self.function.types {
            let (_, field) = of(&types).ok_or_else(|| self.missing(&types))?;
            return Ok(Arc::new(field.with_name(self.function.name).with_nullable(true)));
        }
        if self.overload(&types).is_some_and(|(overload, _)| overload.1 == T::Json) {
            return Ok(Arc::new(json(self.function.name, true)));
        }
        let constant = match args.scalar_arguments.first() {
            Some(Some(ScalarValue::Utf8(Some(text)))) => Some(text.as_str()),
            _ => None,
        };
        let by_constant = self.function.by_constant.zip(constant).and_then(|(f, text)| f(text));
        let mut data_type = match by_constant {
            Some(t) => t.data_type(),
            None => self.return_type(&types)?,
        };
        if self.function.scale_by_constant
            && matches!(data_type, DataType::Decimal128(..))
            && let Some(digits) = args.scalar_arguments.get(1).copied().flatten().and_then(whole)
        {
            data_type = DataType::Decimal128(38, digits.clamp(0, 30) as i8);
        }
        Ok(Arc::new(Field::new(self.function.name, data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|a| a.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let call = Call {
            args: &arrays,
            fields: &args.arg_fields,
            rows,
            zone: &self.zone,
            result: args.return_field.data_type(),
        };
        let result = (self.function.kernel)(&call)?;
        if constant {
            Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?))
        } else {
            Ok(ColumnarValue::Array(result))
        }
    }
}
