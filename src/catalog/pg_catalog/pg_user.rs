//! `pg_user`: the roles that can log in: all.

use super::pg_shadow::{COLUMNS, rows};
use crate::catalog::system::{Source, SystemTable};

pub(super) static TABLE: SystemTable =
    SystemTable { name: "pg_user", oid: 12014, columns: COLUMNS, source: Source::Catalog(rows) };
