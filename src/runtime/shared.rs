//! What all threads and handles see of a runtime: the published epoch, and how to reach the two threads.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::data::{Epoch, ObjectId};
use crate::error::{Error, Result, SqlState};
use crate::functions::text::quote_ident;
use crate::sink::Sinks;
use crate::spill::Memory;
use crate::store::Version;

use super::holders::Held;
use super::message::{Message, Publish, shut_down};
use super::subscribe::Unread;
use super::{Limits, Missing, RuntimeConfig, Settings};

/// One published epoch.
#[derive(Clone, Debug, Default)]
pub(super) struct Published {
    pub(super) epoch: Epoch,
    pub(super) objects: Arc<HashMap<ObjectId, Entry>>,
    /// Views that cannot be shown until a later start, and why.
    pub(super) stranded: Arc<HashMap<ObjectId, Arc<str>>>,
    /// Views that are paused, and those that read them.
    pub(super) paused: Arc<HashMap<ObjectId, Paused>>,
    /// Sources and tables of which something is missing.
    pub(super) missing: Arc<HashMap<ObjectId, Missing>>,
}

/// Why a view cannot be read.
#[derive(Clone, Debug)]
pub(super) struct Paused {
    /// The name of the view that is paused: it, or one that it reads.
    pub(super) view: Arc<str>,
    /// Why; `None`: it is the other.
    pub(super) reason: Option<Arc<str>>,
}

/// A table or view at an epoch.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) version: Version,
    /// Errors standing in it.
    pub(super) errors: u64,
    /// It left the clock: how far it was behind.
    pub(super) left: Option<Duration>,
}

impl Published {
    /// The rows of an object, if it can be read.
    pub(super) fn find(&self, object: ObjectId) -> Option<Version> {
        let entry = self.objects.get(&object).filter(|entry| entry.left.is_none());
        entry.map(|entry| entry.version.clone())
    }

    /// The rows of an object, which is called so in messages.
    pub(super) fn version(&self, object: ObjectId, called: &str) -> Result<Version> {
        let unready = |message: String, hint: &str| {
            Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message).with_hint(hint))
        };
        if let Some(why) = self.stranded.get(&object) {
            return unready(
                format!(
                    "{called} cannot be shown: what it reads could not be read back when the server started: {why}"
                ),
                "Put the source back as it was and start the server again; or drop the view, and create it anew.",
            );
        }
        if let Some(Paused { view, reason }) = self.paused.get(&object) {
            let message = format!("{called} is paused");
            return match reason {
                // Its name may have changed since.
                Some(reason) => unready(message, "ALTER MATERIALIZED VIEW .. RESUME lets it come back.")
                    .map_err(|error| error.with_detail(reason.to_string())),
                None => unready(message, &format!("{} lets both come back.", resume(view)))
                    .map_err(|error| error.with_detail(follows(view))),
            };
        }
        match self.objects.get(&object) {
            Some(Entry { left: None, version, .. }) => Ok(version.clone()),
            Some(Entry { left: Some(lag), .. }) => unready(
                format!("{called} is {} ms behind and has left the clock", lag.as_millis()),
                "It comes back by itself when it has caught up; see highwater.views.",
            ),
            None => unready(
                format!("{called} cannot be read yet: it has not joined the clock"),
                "Wait until its status in highwater.views is running.",
            ),
        }
    }
}

/// The statement that brings a view back.
pub(super) fn resume(view: &str) -> String {
    format!("ALTER MATERIALIZED VIEW {} RESUME", quote_ident(view))
}

/// Why a view is paused that reads one which is.
pub(super) fn follows(paused: &str) -> String {
    format!("It reads materialized view \"{paused}\", which is paused.")
}

/// Shared by handles, the sequencer and the publisher.
pub(super) struct Shared {
    pub(super) inbox: Sender<Message>,
    pub(super) publisher: Sender<Publish>,
    published: RwLock<Published>,
    pub(super) epoch: watch::Sender<Epoch>,
    /// Newest epoch with an acknowledged write or DDL.
    acknowledged: AtomicU64,
    /// Since when something acknowledged is not published, and nothing was.
    behind_since: Mutex<Option<Instant>>,
    /// What ALTER SYSTEM changes.
    pub(super) settings: RwLock<Settings>,
    /// KiB of writes that may wait for the sequencer.
    pub(super) waiting: Arc<Semaphore>,
    pub(super) waiting_kib: u32,
    pub(super) sinks: Sinks,
    pub(super) unread: Arc<Unread>,
    pub(super) memory: Arc<Memory>,
    pub(super) limits: Limits,
    pub(super) held: Held,
    /// Nothing will be published any more.
    ended: CancellationToken,
}

impl Shared {
    pub(super) fn new(inbox: Sender<Message>, publisher: Sender<Publish>, config: &RuntimeConfig) -> Self {
        let waiting_kib = u32::try_from(config.limits.waiting_bytes >> 10).unwrap_or(u32::MAX).max(1);
        Self {
            inbox,
            publisher,
            published: RwLock::default(),
            epoch: watch::Sender::new(Epoch(0)),
            acknowledged: AtomicU64::new(0),
            behind_since: Mutex::new(None),
            settings: RwLock::new(config.settings.clone()),
            waiting: Arc::new(Semaphore::new(waiting_kib as usize)),
            waiting_kib,
            sinks: Sinks::new(config.limits.sink_bytes, config.sink_folder.as_deref(), Arc::clone(&config.metrics)),
            unread: Unread::new(config.limits.subscribe_bytes),
            memory: Arc::clone(&config.memory),
            limits: config.limits.clone(),
            held: Held::default(),
            ended: CancellationToken::new(),
        }
    }

    /// The newest published epoch.
    pub(super) fn published(&self) -> Published {
        self.published.read().clone()
    }

    /// Publishes; waiters wake.
    pub(super) fn publish(&self, published: Published) {
        let epoch = published.epoch;
        *self.published.write() = published;
        if self.epoch.send_replace(epoch) < epoch {
            let mut since = self.behind_since.lock();
            *since = (epoch < self.acknowledged()).then(Instant::now);
        }
    }

    /// Waits until what is published is as it is wanted.
    ///
    /// Errors: `57P01` the runtime has ended before.
    pub(super) async fn wait(&self, mut is_so: impl FnMut(Epoch) -> bool) -> Result<()> {
        let mut published = self.epoch.subscribe();
        tokio::select! {
            biased;
            // The sender is ours: it is there.
            _ = published.wait_for(|epoch| is_so(*epoch)) => Ok(()),
            () = self.ended.cancelled() => Err(shut_down()),
        }
    }

    /// Nothing will be published any more: nobody waits for it.
    pub(super) fn end(&self) {
        self.ended.cancel();
    }

    pub(super) fn acknowledged(&self) -> Epoch {
        Epoch(self.acknowledged.load(Ordering::Acquire))
    }

    pub(super) fn acknowledge(&self, epoch: Epoch) {
        self.acknowledged.store(epoch.0, Ordering::Release);
        let mut since = self.behind_since.lock();
        if *self.epoch.borrow() < epoch {
            since.get_or_insert_with(Instant::now);
        }
    }

    /// How long nothing has been published although something acknowledged is to be.
    pub(super) fn behind(&self) -> Duration {
        self.behind_since.lock().map_or(Duration::ZERO, |since| since.elapsed())
    }
}
