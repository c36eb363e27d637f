//! `pg_stat_database`: the one database.

use super::pg_database::DATABASE_OID;
use crate::catalog::system::{Context, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_stat_database",
    oid: 12266,
    columns: "datid oid, datname name, numbackends int4, xact_commit int8, xact_rollback int8, blks_read int8, \
              blks_hit int8, tup_returned int8, tup_fetched int8, tup_inserted int8, tup_updated int8, \
              tup_deleted int8, conflicts int8, temp_files int8, temp_bytes int8, deadlocks int8, \
              checksum_failures int8, checksum_last_failure timestamptz, blk_read_time float8, \
              blk_write_time float8, session_time float8, active_time float8, idle_in_transaction_time float8, \
              sessions int8, sessions_abandoned int8, sessions_fatal int8, sessions_killed int8, \
              stats_reset timestamptz",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    rows.push([("datid", DATABASE_OID.into()), ("datname", context.environment.database().into())]);
}
