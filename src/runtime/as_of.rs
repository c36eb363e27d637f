//! [`Then`]: what SELECT .. AS OF reads.

use std::collections::HashMap;

use tokio::sync::oneshot;

use crate::data::{Changes, Epoch, ObjectId};
use crate::error::{Error, Result};
use crate::store::{Past, Version};

use super::message::{Backwards, Publish, shut_down};
use super::{ReadMode, Runtime};

/// Some tables and views at one epoch, whatever became of them since.
pub struct Then {
    objects: HashMap<ObjectId, Backwards>,
}

impl Runtime {
    /// Tables and views as of an epoch; waits until it is published, and what the mode says.
    ///
    /// Errors: `72000` it lies before the history kept (the hint names the oldest epoch), `55000` a view is not on the clock.
    pub async fn as_of(&self, objects: Vec<ObjectId>, epoch: Epoch, mode: ReadMode) -> Result<Then> {
        self.snapshot(mode).await?;
        self.wait_published(epoch).await?;
        let (reply, answer) = oneshot::channel();
        let wanted = Publish::Backwards(objects, epoch, reply);
        self.inner.shared.publisher.send(wanted).map_err(|_| shut_down())?;
        Ok(Then { objects: answer.await.map_err(|_| shut_down())?? })
    }
}

impl Then {
    /// Bytes of the changes that are to be taken back.
    pub fn bytes(&self, object: ObjectId) -> usize {
        let changes = self.objects.get(&object).into_iter().flat_map(|object| &object.later);
        changes.map(Changes::bytes).sum()
    }

    /// The rows of now, whose columns are those of then.
    pub fn now(&self, object: ObjectId) -> Result<&Version> {
        self.objects.get(&object).map(|object| &object.now).ok_or_else(|| missing(object))
    }

    /// The rows of then. To be called aside: it takes as long as there are changes.
    pub fn rows(&self, object: ObjectId) -> Result<Past> {
        let Backwards { now, later } = self.objects.get(&object).ok_or_else(|| missing(object))?;
        Past::of(now.clone(), later)
    }
}

fn missing(object: ObjectId) -> Error {
    Error::internal(format!("object {object} was not read as of an epoch"))
}
