//! Tables of `information_schema` that are always empty: what they would list does not exist in Highwater.

use crate::catalog::system::{Source, SystemTable};

const fn empty(name: &'static str, oid: u32, columns: &'static str) -> SystemTable {
    SystemTable { name, oid, columns, source: Source::Empty }
}

pub(super) static APPLICABLE_ROLES: SystemTable =
    empty("applicable_roles", 13200, "grantee text, role_name name, is_grantable text");
pub(super) static CHECK_CONSTRAINTS: SystemTable = empty(
    "check_constraints",
    13202,
    "constraint_catalog name, constraint_schema name, constraint_name name, check_clause text",
);
pub(super) static COLLATIONS: SystemTable = empty(
    "collations",
    13203,
    "collation_catalog name, collation_schema name, collation_name name, pad_attribute text",
);
pub(super) static COLUMN_PRIVILEGES: SystemTable = empty(
    "column_privileges",
    13204,
    "grantor text, grantee text, table_catalog name, table_schema name, table_name name, \
              column_name name, privilege_type text, is_grantable text",
);
pub(super) static DOMAINS: SystemTable = empty(
    "domains",
    13207,
    "domain_catalog name, domain_schema name, domain_name name, data_type text, \
              character_maximum_length int4, character_octet_length int4, character_set_catalog name, \
              character_set_schema name, character_set_name name, collation_catalog name, collation_schema name, \
              collation_name name, numeric_precision int4, numeric_precision_radix int4, numeric_scale int4, \
              datetime_precision int4, interval_type text, interval_precision int4, domain_default text, \
              udt_catalog name, udt_schema name, udt_name name, scope_catalog name, scope_schema name, \
              scope_name name, maximum_cardinality int4, dtd_identifier text",
);
pub(super) static ELEMENT_TYPES: SystemTable = empty(
    "element_types",
    13208,
    "object_catalog name, object_schema name, object_name name, object_type text, \
              collection_type_identifier text, data_type text, character_maximum_length int4, \
              character_octet_length int4, character_set_catalog name, character_set_schema name, \
              character_set_name name, collation_catalog name, collation_schema name, collation_name name, \
              numeric_precision int4, numeric_precision_radix int4, numeric_scale int4, datetime_precision int4, \
              interval_type text, interval_precision int4, domain_default text, udt_catalog name, \
              udt_schema name, udt_name name, scope_catalog name, scope_schema name, scope_name name, \
              maximum_cardinality int4, dtd_identifier text",
);
pub(super) static PARAMETERS: SystemTable = empty(
    "parameters",
    13212,
    "specific_catalog name, specific_schema name, specific_name name, ordinal_position int4, \
              parameter_mode text, is_result text, as_locator text, parameter_name name, data_type text, \
              character_maximum_length int4, character_octet_length int4, character_set_catalog name, \
              character_set_schema name, character_set_name name, collation_catalog name, collation_schema name, \
              collation_name name, numeric_precision int4, numeric_precision_radix int4, numeric_scale int4, \
              datetime_precision int4, interval_type text, interval_precision int4, udt_catalog name, \
              udt_schema name, udt_name name, scope_catalog name, scope_schema name, scope_name name, \
              maximum_cardinality int4, dtd_identifier text, parameter_default text",
);
pub(super) static REFERENTIAL_CONSTRAINTS: SystemTable = empty(
    "referential_constraints",
    13213,
    "constraint_catalog name, constraint_schema name, constraint_name name, \
              unique_constraint_catalog name, unique_constraint_schema name, unique_constraint_name name, \
              match_option text, update_rule text, delete_rule text",
);
pub(super) static ROUTINES: SystemTable = empty(
    "routines",
    13215,
    "specific_catalog name, specific_schema name, specific_name name, routine_catalog name, \
              routine_schema name, routine_name name, routine_type text, module_catalog name, module_schema name, \
              module_name name, udt_catalog name, udt_schema name, udt_name name, data_type text, \
              character_maximum_length int4, character_octet_length int4, character_set_catalog name, \
              character_set_schema name, character_set_name name, collation_catalog name, collation_schema name, \
              collation_name name, numeric_precision int4, numeric_precision_radix int4, numeric_scale int4, \
              datetime_precision int4, interval_type text, interval_precision int4, type_udt_catalog name, \
              type_udt_schema name, type_udt_name name, scope_catalog name, scope_schema name, scope_name name, \
              maximum_cardinality int4, dtd_identifier text, routine_body text, routine_definition text, \
              external_name name, external_language text, parameter_style text, is_deterministic text, \
              sql_data_access text, is_null_call text, sql_path text, schema_level_routine text, \
              max_dynamic_result_sets text, is_user_defined_cast text, is_implicitly_invocable text, \
              security_type text, to_sql_specific_catalog name, to_sql_specific_schema name, \
              to_sql_specific_name name, as_locator text, created text, last_altered text, \
              new_savepoint_level text, is_udt_dependent text, result_cast_from_data_type text, \
              result_cast_as_locator text, result_cast_char_max_length text, result_cast_char_octet_length int4, \
              result_cast_char_set_catalog name, result_cast_char_set_schema name, \
              result_cast_char_set_name name, result_cast_collation_catalog name, \
              result_cast_collation_schema name, result_cast_collation_name name, \
              result_cast_numeric_precision int4, result_cast_numeric_precision_radix int4, \
              result_cast_numeric_scale int4, result_cast_datetime_precision int4, \
              result_cast_interval_type text, result_cast_interval_precision int4, \
              result_cast_type_udt_catalog name, result_cast_type_udt_schema name, \
              result_cast_type_udt_name name, result_cast_scope_catalog name, result_cast_scope_schema name, \
              result_cast_scope_name name, result_cast_maximum_cardinality int4, result_cast_dtd_identifier text",
);
pub(super) static SEQUENCES: SystemTable = empty(
    "sequences",
    13217,
    "sequence_catalog name, sequence_schema name, sequence_name name, data_type text, \
              numeric_precision int4, numeric_precision_radix int4, numeric_scale int4, start_value text, \
              minimum_value text, maximum_value text, increment text, cycle_option text",
);
pub(super) static TRIGGERS: SystemTable = empty(
    "triggers",
    13221,
    "trigger_catalog name, trigger_schema name, trigger_name name, event_manipulation text, \
              event_object_catalog name, event_object_schema name, event_object_table text, action_order text, \
              action_condition text, action_statement text, action_orientation text, action_timing text, \
              action_reference_old_table text, action_reference_new_table text, action_reference_old_row text, \
              action_reference_new_row text, created text",
);
