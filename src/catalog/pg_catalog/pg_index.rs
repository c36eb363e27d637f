//! `pg_index`: primary keys as indexes.

use super::index_oid;
use crate::catalog::system::{Context, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_index",
    oid: 2610,
    columns: "indexrelid oid, indrelid oid, indnatts int2, indnkeyatts int2, indisunique bool, \
              indnullsnotdistinct bool, indisprimary bool, indisexclusion bool, indimmediate bool, \
              indisclustered bool, indisvalid bool, indcheckxmin bool, indisready bool, indislive bool, \
              indisreplident bool, indkey int2vector, indcollation oidvector, indclass oidvector, \
              indoption int2vector, indexprs text, indpred text",
    source: Source::Catalog(rows),
};

fn rows(context: &Context<'_>, rows: &mut Rows) {
    for object in context.snapshot.objects().filter(|o| !o.primary_key().is_empty()) {
        let key = object.primary_key();
        let zeros = vec![0_i64; key.len()];
        rows.push([
            ("indexrelid", index_oid(object.id).into()),
            ("indrelid", object.id.0.into()),
            ("indnatts", key.len().into()),
            ("indnkeyatts", key.len().into()),
            ("indisunique", true.into()),
            ("indisprimary", true.into()),
            ("indimmediate", true.into()),
            ("indisvalid", true.into()),
            ("indisready", true.into()),
            ("indislive", true.into()),
            ("indkey", key.iter().map(|c| *c as i64 + 1).collect::<Vec<_>>().into()),
            ("indcollation", zeros.clone().into()),
            ("indclass", zeros.clone().into()),
            ("indoption", zeros.into()),
        ]);
    }
}
