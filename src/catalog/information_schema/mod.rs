//! Schema `information_schema`: the SQL standard's view of the catalog. One file per table; the empty ones share one.

mod character_sets;
mod columns;
mod constraint_column_usage;
mod empty;
mod enabled_roles;
mod information_schema_catalog_name;
mod key_column_usage;
mod role_table_grants;
mod schemata;
mod table_constraints;
mod table_privileges;
mod tables;
mod view_table_usage;
mod views;

use super::system::SystemTable;

/// The tables of the schema.
#[rustfmt::skip]
pub(super) static TABLES: &[&SystemTable] = &[
    &character_sets::TABLE,    &columns::TABLE,    &constraint_column_usage::TABLE,    &enabled_roles::TABLE,
    &information_schema_catalog_name::TABLE,    &key_column_usage::TABLE,    &role_table_grants::TABLE,    &schemata::TABLE,
    &table_constraints::TABLE,    &table_privileges::TABLE,    &tables::TABLE,    &view_table_usage::TABLE,
    &views::TABLE,
    &empty::APPLICABLE_ROLES,    &empty::CHECK_CONSTRAINTS,    &empty::COLLATIONS,    &empty::COLUMN_PRIVILEGES,
    &empty::DOMAINS,    &empty::ELEMENT_TYPES,    &empty::PARAMETERS,    &empty::REFERENTIAL_CONSTRAINTS,
    &empty::ROUTINES,    &empty::SEQUENCES,    &empty::TRIGGERS,
];
