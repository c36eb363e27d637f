//! [`Catalog`]: the current state of all names; [`Snapshot`]: one immutable version of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::RwLock;

use super::object::{Kind, Object, Seen};
use super::{SystemRelation, system};
use crate::data::ObjectId;
use crate::error::{Error, Result, SqlState};

/// The first oid of a user's object, as in PostgreSQL.
const FIRST_ID: u32 = 16384;

/// The schema of all user objects.
pub const PUBLIC: &str = "public";

/// The live catalog: readers take a [`Snapshot`], writers replace it.
#[derive(Debug)]
pub struct Catalog {
    current: RwLock<Arc<Snapshot>>,
    next_id: AtomicU32,
}

/// One immutable version of the catalog.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Counts changes, from 0.
    pub version: u64,
    objects: BTreeMap<ObjectId, Arc<Object>>,
    names: HashMap<String, ObjectId>,
    /// Tables, and names, as whoever looks sees them.
    seen: HashMap<ObjectId, Arc<Object>>,
    seen_names: HashMap<String, ObjectId>,
}

/// What a name means.
#[derive(Clone, Debug)]
pub enum Resolved {
    /// A user's relation.
    User(Arc<Object>),
    /// A relation of `pg_catalog`, `information_schema` or `highwater`.
    System(Arc<SystemRelation>),
}

impl Snapshot {
    /// The object with this id.
    pub fn get(&self, id: ObjectId) -> Option<&Arc<Object>> {
        self.seen.get(&id).or_else(|| self.objects.get(&id))
    }

    /// The user object of this unqualified name (exact case).
    pub fn by_name(&self, name: &str) -> Option<&Arc<Object>> {
        self.seen_names.get(name).or_else(|| self.names.get(name)).and_then(|id| self.get(*id))
    }

    /// The same catalog as a view sees it: what was altered or renamed since looks as it did.
    pub fn as_seen(self: &Arc<Self>, seen: &[Seen]) -> Arc<Self> {
        if seen.is_empty() && self.seen_names.is_empty() {
            return Arc::clone(self);
        }
        let table = |s: &Seen| {
            let object = self.objects.get(&s.object).filter(|object| matches!(object.kind, Kind::Table(_)))?;
            Some((s.object, Arc::new(object.as_seen(s))))
        };
        let seen_names = seen.iter().map(|s| (s.name.clone(), s.object)).collect();
        Arc::new(Self { seen: seen.iter().filter_map(table).collect(), seen_names, ..Self::clone(self) })
    }

    /// What `[schema.]name` means: `pg_catalog` is searched first, as in PostgreSQL, then `public`.
    ///
    /// Errors: `3F000` no such schema, `42P01` no such relation.
    pub fn resolve(&self, schema: Option<&str>, name: &str) -> Result<Resolved> {
        let missing =
            |full: String| Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{full}\" does not exist"));
        match schema {
            None => system::find("pg_catalog", name)
                .map(Resolved::System)
                .or_else(|| self.by_name(name).cloned().map(Resolved::User))
                .ok_or_else(|| missing(name.to_owned())),
            Some(PUBLIC) => {
                self.by_name(name).cloned().map(Resolved::User).ok_or_else(|| missing(format!("{PUBLIC}.{name}")))
            }
            Some(namespace @ ("pg_catalog" | "information_schema" | "highwater")) => system::find(namespace, name)
                .map(Resolved::System)
                .ok_or_else(|| missing(format!("{namespace}.{name}"))),
            Some(other) => Err(missing(format!("{other}.{name}"))),
        }
    }

    /// All user relations, by ascending id (a view comes after what it reads).
    pub fn objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.values().filter(|o| !matches!(o.kind, Kind::Sink(_)))
    }

    /// All sinks, by ascending id.
    pub fn sinks(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.values().filter(|o| matches!(o.kind, Kind::Sink(_)))
    }

    /// Objects that directly name `id`: views that read it, views whose late rows go into it, its sinks.
    pub fn dependents(&self, id: ObjectId) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.values().filter(move |o| o.depends().contains(&id))
    }

    /// All that depends on `id`, directly or not, dependents before what they depend on; without `id`.
    pub fn dependents_deep(&self, id: ObjectId) -> Vec<Arc<Object>> {
        let mut found: BTreeSet<ObjectId> = BTreeSet::new();
        let mut open = vec![id];
        while let Some(next) = open.pop() {
            for object in self.dependents(next) {
                if object.id != id && found.insert(object.id) {
                    open.push(object.id);
                }
            }
        }
        // An object's id is larger than that of all it reads.
        found.iter().rev().filter_map(|id| self.objects.get(id).cloned()).collect()
    }
}

impl Default for Catalog {
    fn default() -> Self {
        Self { current: RwLock::default(), next_id: AtomicU32::new(FIRST_ID) }
    }
}

impl Catalog {
    /// The current version.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.read().clone()
    }

    /// An id never used before.
    pub fn allocate(&self) -> ObjectId {
        ObjectId(self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes an id that was allocated by another process: it is not given out again.
    pub fn reserve(&self, id: ObjectId) {
        self.next_id.fetch_max(id.0 + 1, Ordering::Relaxed);
    }

    /// Adds an object. Errors: `42P07` when its name is taken.
    pub fn create(&self, object: Object) -> Result<Arc<Object>> {
        self.change(|next| {
            if next.names.contains_key(&object.name) {
                return Err(duplicate(&object.name));
            }
            let object = Arc::new(object);
            next.names.insert(object.name.clone(), object.id);
            next.objects.insert(object.id, object.clone());
            Ok(object)
        })
    }

    /// Removes objects; ids that are gone already are ignored.
    pub fn drop(&self, ids: &[ObjectId]) {
        let _: Result<()> = self.change(|next| {
            for id in ids {
                if let Some(object) = next.objects.remove(id) {
                    next.names.remove(&object.name);
                }
            }
            Ok(())
        });
    }

    /// Gives objects other names, all at once; what depends on them sees them as it did.
    ///
    /// Errors: `42P07` when a name is taken, `42704` when an object is gone.
    pub fn rename(&self, names: &[(ObjectId, String)], readers: Vec<Object>) -> Result<()> {
        self.change(|next| {
            for (id, _) in names {
                let old = next.object_mut(*id)?.name;
                next.names.remove(&old);
            }
            for reader in readers {
                next.objects.insert(reader.id, Arc::new(reader));
            }
            for (id, name) in names {
                if next.names.insert(name.clone(), *id).is_some() {
                    return Err(duplicate(name));
                }
                let object = Object { name: name.clone(), ..next.object_mut(*id)? };
                next.objects.insert(*id, Arc::new(object));
            }
            Ok(())
        })
    }

    /// Replaces an object by one of the same id and name (COMMENT, a renamed column).
    pub fn replace(&self, object: Object) -> Result<()> {
        self.change(|next| {
            next.object_mut(object.id)?;
            next.objects.insert(object.id, Arc::new(object));
            Ok(())
        })
    }

    /// ALTER TABLE: some objects change, and what went with a column is gone.
    pub fn alter(&self, objects: Vec<Object>, dropped: &[ObjectId]) {
        let _: Result<()> = self.change(|next| {
            for id in dropped {
                if let Some(object) = next.objects.remove(id) {
                    next.names.remove(&object.name);
                }
            }
            for object in objects {
                next.objects.insert(object.id, Arc::new(object));
            }
            Ok(())
        });
    }

    /// A view takes the place, and the name, of another one.
    pub fn supplant(&self, view: Object, readers: Vec<Object>) {
        let _: Result<()> = self.change(|next| {
            if let Some(old) = next.names.insert(view.name.clone(), view.id) {
                next.objects.remove(&old);
            }
            for object in readers.into_iter().chain([view]) {
                next.objects.insert(object.id, Arc::new(object));
            }
            Ok(())
        });
    }

    fn change<T>(&self, f: impl FnOnce(&mut Snapshot) -> Result<T>) -> Result<T> {
        let mut current = self.current.write();
        let mut next = Snapshot::clone(&current);
        let result = f(&mut next)?;
        next.version += 1;
        *current = Arc::new(next);
        Ok(result)
    }
}

impl Snapshot {
    fn object_mut(&self, id: ObjectId) -> Result<Object> {
        let object = self
            .objects
            .get(&id)
            .ok_or_else(|| Error::new(SqlState::UNDEFINED_OBJECT, format!("relation with OID {id} does not exist")))?;
        Ok(Object::clone(object))
    }
}

fn duplicate(name: &str) -> Error {
    Error::new(SqlState::DUPLICATE_TABLE, format!("relation \"{name}\" already exists"))
}
