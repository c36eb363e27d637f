//! [`Select`]: a query, and the epoch that it reads.

use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::DataType as AstType;

use super::statement::Query;
use super::type_oid;
use crate::data::Epoch;
use crate::error::{Error, Result, SqlState};

/// SELECT, VALUES, TABLE, WITH .. SELECT.
#[derive(Clone, Debug)]
pub struct Select {
    /// Without AS OF.
    pub query: Query,
    /// AS OF; `None`: the present.
    pub as_of: Option<AsOf>,
}

/// The epoch that a query reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// This one.
    Epoch(u64),
    /// The one that `$n` says, counted from 1.
    Parameter(usize),
}

impl Select {
    /// The client's types of parameters: that of AS OF is a bigint, unless it says otherwise.
    pub fn parameter_types(&self, oids: &[u32]) -> Result<Vec<u32>> {
        let mut oids = oids.to_vec();
        if let Some(AsOf::Parameter(n)) = self.as_of {
            oids.resize(oids.len().max(n), 0);
            if oids[n - 1] == 0 {
                oids[n - 1] = type_oid(&AstType::BigInt(None))?;
            }
        }
        Ok(oids)
    }
}

impl AsOf {
    /// The epoch, with these values of parameters.
    ///
    /// Errors: `22023` it is none, `42804` it is no number, `42P02` there is no such parameter.
    pub fn epoch(self, parameters: &[ScalarValue]) -> Result<Epoch> {
        let value = match self {
            Self::Epoch(epoch) => return Ok(Epoch(epoch)),
            Self::Parameter(n) => parameters.get(n - 1).ok_or_else(|| super::there_is_no(&format!("${n}")))?,
        };
        let number = match value {
            ScalarValue::Int16(number) => number.map(i64::from),
            ScalarValue::Int32(number) => number.map(i64::from),
            ScalarValue::Int64(number) => *number,
            _ => return Err(Error::new(SqlState::DATATYPE_MISMATCH, "AS OF takes a bigint, the number of an epoch")),
        };
        match number.map(u64::try_from) {
            Some(Ok(epoch)) => Ok(Epoch(epoch)),
            Some(Err(_)) => {
                let message = format!("AS OF {} is no epoch", number.unwrap_or_default());
                Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message))
            }
            None => Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "AS OF NULL is no epoch")),
        }
    }
}
