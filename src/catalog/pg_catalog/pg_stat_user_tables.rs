//! `pg_stat_user_tables`: tables and materialized views.

use crate::catalog::object::Kind;
use crate::catalog::system::{Context, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_stat_user_tables",
    oid: 12161,
    columns: "relid oid, schemaname name, relname name, seq_scan int8, seq_tup_read int8, idx_scan int8, \
              idx_tup_fetch int8, n_tup_ins int8, n_tup_upd int8, n_tup_del int8, n_tup_hot_upd int8, \
              n_live_tup int8, n_dead_tup int8, n_mod_since_analyze int8, n_ins_since_vacuum int8, \
              last_vacuum timestamptz, last_autovacuum timestamptz, last_analyze timestamptz, \
              last_autoanalyze timestamptz, vacuum_count int8, autovacuum_count int8, analyze_count int8, \
              autoanalyze_count int8",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    for object in context.snapshot.objects() {
        if matches!(object.kind, Kind::Table(_) | Kind::MaterializedView(_)) {
            rows.push([
                ("relid", object.id.0.into()),
                ("schemaname", "public".into()),
                ("relname", (&object.name).into()),
            ]);
        }
    }
}
