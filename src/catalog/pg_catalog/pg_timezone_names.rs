//! `pg_timezone_names`: time zones by IANA name, with their offset now.

use crate::catalog::system::{Context, Rows, Source, SystemTable};

pub(super) static TABLE: SystemTable = SystemTable {
    name: "pg_timezone_names",
    oid: 12126,
    columns: "name text, abbrev text, utc_offset interval, is_dst bool",
    source: Source::Catalog(rows),
};

fn rows(_: &Context<'_>, rows: &mut Rows) {
    for zone in chrono_tz::TZ_VARIANTS {
        rows.push([("name", zone.name().into()), ("abbrev", zone.name().into())]);
    }
}
