//! `table_privileges`: everybody may do everything.

use super::role_table_grants::{COLUMNS, rows};
use crate::catalog::system::{Source, SystemTable};

pub(super) static TABLE: SystemTable =
    SystemTable { name: "table_privileges", oid: 13219, columns: COLUMNS, source: Source::Catalog(rows) };
