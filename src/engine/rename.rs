//! ALTER .. RENAME TO and ALTER .. SWAP WITH: names change, objects do not.
//!
//! What depends on an object stays with it: its text keeps the old name, and is bound to what it saw under that name
//! ([`Seen`](crate::catalog::object::Seen)). Subscriptions and cursors know objects, and not their names.

use std::sync::Arc;

use super::ddl::{Ddl, find, find_any, kind_word};
use super::outcome::Outcome;
use super::session::Session;
use crate::catalog::Snapshot;
use crate::catalog::object::{Kind, Object};
use crate::data::ObjectId;
use crate::error::{Error, Result, SqlState};
use crate::sql::statement::{Name, RelationKind, Rename};

impl Session {
    pub(super) async fn rename(&mut self, rename: &Rename) -> Result<Outcome> {
        let engine = self.shared.engine.clone();
        let names_held = engine.ddl.clone().lock_owned().await;
        let snapshot = engine.catalog.snapshot();
        let done = || Outcome::Done { tag: format!("ALTER {}", kind_word(rename.kind).to_uppercase()) };
        let object = match to_rename(&snapshot, &rename.name, rename.kind) {
            Ok(object) => object,
            Err(error) if rename.if_exists && error.code() == SqlState::UNDEFINED_TABLE => {
                let message = format!("relation \"{}\" does not exist, skipping", rename.name.name);
                self.shared.notice("NOTICE", Error::new(SqlState::SUCCESSFUL_COMPLETION, message));
                return Ok(done());
            }
            Err(error) => return Err(error),
        };
        let renamed = if rename.swap {
            let other = to_rename(&snapshot, &rename.to, rename.kind)?;
            check_swap(&object, &other)?;
            vec![(object.clone(), other.name.clone()), (other, object.name.clone())]
        } else {
            engine.check_free(&rename.to.name)?;
            vec![(object, rename.to.name.clone())]
        };
        let readers = readers(&snapshot, renamed.iter().map(|(object, _)| object));
        let names: Vec<(ObjectId, String)> = renamed.iter().map(|(object, name)| (object.id, name.clone())).collect();
        let ddl = Ddl::Names(names.clone(), readers.clone()).bytes()?;
        // To its end, even if the client goes: the catalog and what runs are to be alike.
        let renaming = tokio::spawn(async move {
            let _names = names_held;
            if matches!(renamed.first(), Some((object, _)) if matches!(object.kind, Kind::View(_))) {
                engine.runtime.log_ddl(ddl).await?;
            } else {
                engine.runtime.rename(names.clone(), ddl).await?;
            }
            engine.catalog.rename(&names, readers)
        });
        renaming.await.map_err(|e| Error::internal(e.to_string()))??;
        self.shared.transaction.lock().irrevocable = true;
        Ok(done())
    }
}

/// ALTER TABLE takes any kind, as in PostgreSQL.
fn to_rename(snapshot: &Snapshot, name: &Name, kind: RelationKind) -> Result<Arc<Object>> {
    match kind {
        RelationKind::Table => find_any(snapshot, name),
        kind => find(snapshot, name, kind, "ALTER"),
    }
}

fn check_swap(a: &Object, b: &Object) -> Result<()> {
    if a.id == b.id {
        let message = format!("cannot swap {} \"{}\" with itself", a.kind_name(), a.name);
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
    }
    if a.kind_name() == b.kind_name() {
        return Ok(());
    }
    let message = format!("cannot swap {} \"{}\" with {} \"{}\"", a.kind_name(), a.name, b.kind_name(), b.name);
    Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint("Both have to be of one kind."))
}

/// What depends on objects that are being renamed, and sees them under their old names.
fn readers<'a>(snapshot: &Snapshot, renamed: impl Iterator<Item = &'a Arc<Object>> + Clone) -> Vec<Object> {
    let mut readers = Vec::new();
    for reader in snapshot.objects() {
        let on: Vec<&Arc<Object>> = renamed.clone().filter(|object| reader.depends().contains(&object.id)).collect();
        if !on.is_empty() {
            let mut reader = Object::clone(reader);
            on.into_iter().for_each(|object| reader.see(object));
            readers.push(reader);
        }
    }
    readers
}
