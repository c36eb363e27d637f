//! Privileges: there are no roles to tell apart yet, so everybody may do everything.

use datafusion::common::ScalarValue;

use super::{Declared, Type, boolean};
use crate::catalog::system::Environment;
use crate::error::Result;

use Type::{Any, Bool};

pub(super) const FUNCTIONS: &[Declared] = &[
    Declared::new("has_table_privilege", &[Any, Any, Any], Bool, yes).optional(1),
    Declared::new("has_any_column_privilege", &[Any, Any, Any], Bool, yes).optional(1),
    Declared::new("has_column_privilege", &[Any, Any, Any, Any], Bool, yes).optional(1),
    Declared::new("has_schema_privilege", &[Any, Any, Any], Bool, yes).optional(1),
    Declared::new("has_database_privilege", &[Any, Any, Any], Bool, yes).optional(1),
    Declared::new("has_sequence_privilege", &[Any, Any, Any], Bool, yes).optional(1),
    Declared::new("has_function_privilege", &[Any, Any, Any], Bool, yes).optional(1),
    Declared::new("has_type_privilege", &[Any, Any, Any], Bool, yes).optional(1),
    Declared::new("pg_has_role", &[Any, Any, Any], Bool, yes).optional(1),
];

fn yes(_: &dyn Environment, _: &[ScalarValue]) -> Result<ScalarValue> {
    Ok(boolean(true))
}
