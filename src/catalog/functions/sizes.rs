//! Bytes of relations, and bytes as people read them.

use datafusion::common::ScalarValue;

use super::{Declared, Type, bytes, int_at, relation_at, text};
use crate::catalog::system::Environment;
use crate::error::Result;

use Type::{Any, Bigint, Relation, Text};

pub(super) const FUNCTIONS: &[Declared] = &[
    Declared::new("pg_relation_size", &[Relation, Text], Bigint, relation_size).optional(1),
    Declared::new("pg_table_size", &[Relation], Bigint, relation_size),
    Declared::new("pg_total_relation_size", &[Relation], Bigint, relation_size),
    Declared::new("pg_indexes_size", &[Relation], Bigint, |_, _| Ok(bytes(0))),
    Declared::new("pg_database_size", &[Any], Bigint, database_size),
    Declared::new("pg_size_pretty", &[Bigint], Text, size_pretty),
];

fn relation_size(environment: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    Ok(bytes(environment.relation_bytes(relation_at(environment, row, 0))))
}

fn database_size(environment: &dyn Environment, _: &[ScalarValue]) -> Result<ScalarValue> {
    let snapshot = environment.snapshot();
    Ok(bytes(snapshot.objects().map(|o| environment.relation_bytes(o.id.0)).sum()))
}

/// As PostgreSQL does: the next unit from 10 units up, rounded half away from zero.
fn size_pretty(_: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    Ok(text(pretty(int_at(row, 0).unwrap_or(0))))
}

fn pretty(mut size: i64) -> String {
    let units = [("bytes", 10 << 10), ("kB", 20_479), ("MB", 20_479), ("GB", 20_479), ("TB", 20_479)];
    for (shift, (unit, limit)) in units.into_iter().enumerate() {
        if size.abs() < limit {
            let size = if shift == 0 { size } else { (size + size.signum()) / 2 };
            return format!("{size} {unit}");
        }
        // The first unit is divided by 512 and not by 1024: one bit is kept for rounding.
        size >>= if shift == 0 { 9 } else { 10 };
    }
    format!("{} PB", (size + size.signum()) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_in_postgres() {
        assert_eq!(pretty(0), "0 bytes");
        assert_eq!(pretty(10239), "10239 bytes");
        assert_eq!(pretty(10240), "10 kB");
        assert_eq!(pretty(123_456_789), "118 MB");
    }
}
