//! Sinks: the changes of a table or materialized view, written outside, exactly once.
//!
//! ```sql
//! CREATE SINK k FROM v WITH (connector = 'file', path = '/dir') FORMAT PLAIN | UPSERT | DEBEZIUM ENCODE PARQUET | JSON | CSV
//! ```
//!
//! ```text
//!  publisher --Item per epoch--> feed (bounded) --> the sink's thread: shape, encode --> folder: a part, the manifest
//!                                  ^--- no room: the sequencer closes no epoch            | position
//!                                       until there is some  <----------------------------'
//! ```
//!
//! **Parts.** A file holds the changes of whole epochs, and its name says which (`part`). It appears under that name when it
//! is whole and survives a power loss; what is not done is hidden from patterns. A part is done when its rows have
//! `roll_size` bytes in memory (64 MB), or `max_row_count` rows, or when `roll_interval` (or `rollover_seconds`; 10 s) has
//! passed since its first change. FLUSH, DROP SINK and a stop of the server finish what is open: FLUSH waits until it is
//! written, and warns where the disk refuses; the other two try once. An epoch without changes leaves no trace. One that is
//! larger than `roll_size` is one part all the same.
//!
//! **Exactly once.** A sink's position is in its folder's manifest, which is replaced in one step before a part gets
//! its name (`folder`): whenever the process ends, the manifest says up to which epoch the changes are written. At the
//! start the log is read back, each epoch with the changes that it had, and the sink goes on with the first that is not
//! written. Parts belong to those who read them: they may be moved, changed or removed at any time, and nothing is
//! written again for it. A manifest that is gone, changed, another sink's or ahead of the log (an older copy of the
//! data directory) makes the sink fail, with the reason in `highwater.sinks`: it cannot go on without a gap. Files
//! carry the sink's name, so that sinks can share a folder; a name of which there are parts is refused (55006), so that
//! nothing is there twice when a sink is dropped and made again. ALTER SINK .. RENAME leaves the files' names as they
//! are. DROP SINK leaves the parts, and the hidden manifest.
//!
//! **Bounded.** Changes wait in memory, up to `SINK_BYTES` of all sinks together; from half of it on parts are done
//! early. What waits for a sink that does not get on goes to the data directory then (`spill`), up to `SINK_SPILL_BYTES`.
//! Beyond it, or without a data directory, the sequencer closes no further epoch until there is room, so that sources are
//! slowed and writers wait. A disk that refuses is tried again, every second and then less often; the reason is in
//! `highwater.sinks` and, once, in the server's log. Nothing is lost, and DROP SINK always gives the room back.
//!
//! **Beginning.** A new sink begins with the rows as they are at the epoch of its creation, as a subscription does, and with
//! `snapshot = 'false'` with the changes after it. A view that leaves the clock leaves its sinks waiting; when it is back, the
//! sink gets the difference between what it had and what there is then.
//!
//! **Restart from a snapshot.** [`Sinks::durable`] is the epoch up to which all sinks are written: state of this epoch or
//! of an earlier one, with the log behind it, gives each sink what it needs. A sink that is started when its first epoch is
//! published already (a restart from such state) begins without a snapshot: it had it.
//!
//! FORMAT says which rows a part has (`shape`): PLAIN only those that come, of relations whose rows never go. ENCODE says how
//! they are written ([`crate::formats`]), so that `connector = 'file'` reads back what was written.
//!
//! Uses: error, config, data, formats, connectors, catalog, log, store

mod description;
mod feed;
mod folder;
mod item;
mod part;
mod shape;
mod sinks;
mod spill;
mod status;
mod writer;

pub use description::{Description, Input};
pub use feed::Sink;
pub use item::{Item, Size, Stored};
pub use sinks::Sinks;
pub use status::{SinkPhase, SinkStatus};
