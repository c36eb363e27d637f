//! Which types can be keys.

use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};

use crate::error::{Error, Result};

/// Refuses a type that cannot be a key.
pub fn check_key_type(data_type: &DataType) -> Result<()> {
    if RowConverter::supports_fields(&[SortField::new(data_type.clone())]) {
        return Ok(());
    }
    Err(Error::unsupported(format!("type {data_type} as a key"), "Group, join or deduplicate by other columns."))
}
