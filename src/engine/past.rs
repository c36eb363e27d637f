//! SELECT .. AS OF: tables and views as they were at one epoch.

use std::sync::Arc;

use super::environment::Shared;
use super::provider::StoreTable;
use super::query::{Reads, check_columns, read_mode};
use super::scan::Stored;
use super::warnings;
use crate::catalog::object::{Kind, Object};
use crate::data::Epoch;
use crate::error::{Error, Result};
use crate::runtime::{ReadMode, Then};

/// Waits for the epoch, and takes hold of what it was. All at once: what a query reads is of one epoch.
///
/// Errors: `0A000` something that keeps no history is read, `72000` it does not go back so far.
pub(super) async fn then(shared: &Arc<Shared>, reads: &Reads, epoch: Epoch) -> Result<Then> {
    if let Some(relation) = reads.system.first() {
        let what = format!("SELECT .. AS OF with system relation \"{}.{}\"", relation.namespace, relation.name);
        return Err(Error::unsupported(what, "It shows the present, and keeps no history."));
    }
    if let Some(source) = reads.user.iter().find(|object| matches!(object.kind, Kind::Source(_))) {
        let what = format!("SELECT .. AS OF with source \"{}\"", source.name);
        let hint = "A source keeps no history: create a materialized view over it and select from that.";
        return Err(Error::unsupported(what, hint));
    }
    let mut objects: Vec<_> = reads.user.iter().map(|object| object.id).collect();
    objects.sort_unstable();
    objects.dedup();
    let runtime = &shared.engine.runtime;
    let then = runtime.as_of(objects, epoch, read_mode(shared)).await?;
    // What is left out is left out of what was, too.
    warnings::of_reading(shared, &reads.user, &runtime.snapshot(ReadMode::Latest).await?);
    Ok(then)
}

/// The rows of then of a table or view.
///
/// Errors: `53200` there is no memory for what has changed since.
pub(super) fn table(shared: &Shared, then: &Then, object: &Object) -> Result<Arc<StoreTable>> {
    check_columns(then.now(object.id)?, object)?;
    let memory = shared.engine.executor().reserve("AS OF", COPIES * then.bytes(object.id))?;
    let stored = Stored::Then { past: Arc::new(then.rows(object.id)?), _memory: Arc::new(memory) };
    Ok(Arc::new(StoreTable::new(object.schema.clone(), stored)))
}

/// What has changed since is put together, keyed, and picked from.
const COPIES: usize = 3;
