//! Views that leave the clock, and those that hold it back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::data::{Epoch, ObjectId};
use crate::error::Result;

use super::super::message::{Left, Message};
use super::Publisher;

impl Publisher {
    /// They show no more epochs.
    pub(super) fn leave(&mut self, views: &[ObjectId], how: Left) -> Result<()> {
        self.sinks_wait(views);
        for id in views {
            let behind = self.waiting.iter().find(|e| e.views.contains(id)).map(|e| e.closed);
            if let Some(view) = self.views.get_mut(id) {
                view.leave(behind.unwrap_or_else(Instant::now), how);
            }
        }
        self.publish_complete()?;
        self.show();
        Ok(())
    }

    /// These cannot be shown until a later start.
    pub(super) fn strand(&mut self, views: HashMap<ObjectId, Arc<str>>) {
        self.stranded = Arc::new(views);
        self.show();
    }

    /// Views that nobody is to read any more leave the clock, if it waits for anything.
    pub(super) fn leave_to_go(&mut self, mut views: Vec<ObjectId>, how: Left) -> Result<()> {
        let Some(missed) = self.waiting.front().map(|e| e.epoch) else { return Ok(()) };
        views.retain(|id| self.views.get(id).is_some_and(|view| view.left.is_none()));
        let _ = self.shared.inbox.send(Message::LeftToGo(views.clone(), missed));
        self.leave(&views, how)
    }

    /// The views that keep an epoch from being published.
    pub(super) fn blockers(&self, epoch: Epoch) -> Vec<ObjectId> {
        let mut blockers = Vec::new();
        for info in self.waiting.iter().take_while(|e| e.epoch <= epoch) {
            for id in &info.views {
                if self.views.get(id).is_some_and(|v| !v.is_complete(info.epoch)) && !blockers.contains(id) {
                    blockers.push(*id);
                }
            }
        }
        blockers
    }
}
