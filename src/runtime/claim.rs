//! A request on its way to the sequencer: it is admitted, and then done and answered; or it is taken back, and then it is
//! as if it had never been made. One compare-exchange decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crossbeam_channel::Sender;
use parking_lot::Mutex;

use super::message::Message;

const WAITING: u8 = 0;
const ADMITTED: u8 = 1;
const TAKEN_BACK: u8 = 2;

/// What the sequencer and whoever asks share of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Claim(Arc<AtomicU8>);

impl Claim {
    /// The sequencer does it now; false: it was taken back.
    pub(super) fn admit(&self) -> bool {
        self.settle(ADMITTED)
    }

    /// Nobody wants it any more; false: it was admitted.
    fn take_back(&self) -> bool {
        self.settle(TAKEN_BACK)
    }

    pub(super) fn is_taken_back(&self) -> bool {
        self.0.load(Ordering::Acquire) == TAKEN_BACK
    }

    fn settle(&self, end: u8) -> bool {
        match self.0.compare_exchange(WAITING, end, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(now) => now == end,
        }
    }
}

/// What a session has asked for through a runtime handle of its own: one request at a time.
#[derive(Clone, Debug, Default)]
pub struct Requests(Arc<Mutex<Option<Claim>>>);

impl Requests {
    /// Takes back what waits; then its future is to be dropped. False: it was admitted, and will be answered soon.
    pub fn take_back(&self) -> bool {
        self.0.lock().as_ref().is_none_or(Claim::take_back)
    }
}

/// A request whose answer is waited for. Dropped before there is one, it is taken back.
pub(super) struct Asked<'a> {
    pub(super) claim: Claim,
    requests: Option<&'a Requests>,
    inbox: &'a Sender<Message>,
}

impl<'a> Asked<'a> {
    pub(super) fn new(requests: Option<&'a Requests>, inbox: &'a Sender<Message>) -> Self {
        let claim = Claim::default();
        if let Some(requests) = requests {
            *requests.0.lock() = Some(claim.clone());
        }
        Self { claim, requests, inbox }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if let Some(requests) = self.requests {
            *requests.0.lock() = None;
        }
        if self.claim.take_back() {
            let _ = self.inbox.send(Message::TakenBack);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_admission_and_taking_back_one_happens() {
        for _ in 0..1000 {
            let claim = Claim::default();
            let other = claim.clone();
            let admitting = std::thread::spawn(move || other.admit());
            let taken_back = claim.take_back();
            assert_eq!(admitting.join().ok(), Some(!taken_back));
            assert_eq!(claim.is_taken_back(), taken_back);
            // Whoever asks again is told the same.
            assert_eq!((claim.take_back(), claim.admit()), (taken_back, !taken_back));
        }
    }
}
