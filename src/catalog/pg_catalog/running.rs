//! Tables of `pg_catalog` that show what runs: the engine fills in their rows.

use crate::catalog::system::{Source, SystemTable};

const fn running(name: &'static str, oid: u32, columns: &'static str) -> SystemTable {
    SystemTable { name, oid, columns, source: Source::Engine }
}

pub(super) static PG_SETTINGS: SystemTable = running(
    "pg_settings",
    12104,
    "name text, setting text, unit text, category text, short_desc text, extra_desc text, context text, \
              vartype text, source text, min_val text, max_val text, enumvals text[], boot_val text, \
              reset_val text, sourcefile text, sourceline int4, pending_restart bool",
);
pub(super) static PG_STAT_ACTIVITY: SystemTable = running(
    "pg_stat_activity",
    12222,
    "datid oid, datname name, pid int4, leader_pid int4, usesysid oid, usename name, \
              application_name text, client_addr text, client_hostname text, client_port int4, \
              backend_start timestamptz, xact_start timestamptz, query_start timestamptz, \
              state_change timestamptz, wait_event_type text, wait_event text, state text, backend_xid xid, \
              backend_xmin xid, query_id int8, query text, backend_type text",
);
pub(super) static PG_CURSORS: SystemTable = running(
    "pg_cursors",
    12077,
    "name text, statement text, is_holdable bool, is_binary bool, is_scrollable bool, \
              creation_time timestamptz",
);
pub(super) static PG_PREPARED_STATEMENTS: SystemTable = running(
    "pg_prepared_statements",
    12095,
    "name text, statement text, prepare_time timestamptz, parameter_types oid[], from_sql bool, \
              generic_plans int8, custom_plans int8",
);
