//! Decoding ahead: some threads that all readers share decode while their readers read on.
//!
//! A reader starts jobs in the order of its records and waits for them in the same order, so what comes out does not depend
//! on which thread was faster. It bounds the jobs that it has under way itself, by [`threads`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::error::{Error, Result};

type Job = Box<dyn FnOnce() + Send>;

/// The result of a job that is under way, or done.
#[derive(Debug)]
pub struct Coming<T>(Receiver<T>);

impl<T: Send + 'static> Coming<T> {
    /// Starts a job.
    pub fn start(job: impl FnOnce() -> T + Send + 'static) -> Self {
        let (result, coming) = bounded(1);
        let job: Job = Box::new(move || {
            // A panic shows as a result that never comes. Nobody waits for one when the reader is gone.
            if let Ok(done) = catch_unwind(AssertUnwindSafe(job)) {
                let _ = result.send(done);
            }
        });
        if let Err(back) = pool().jobs.send(job) {
            (back.0)();
        }
        Self(coming)
    }

    /// What needs no job.
    pub fn ready(done: T) -> Self {
        let (result, coming) = bounded(1);
        let _ = result.send(done);
        Self(coming)
    }

    /// Waits for it. Errors: the job panicked.
    pub fn wait(self) -> Result<T> {
        self.0.recv().map_err(|_| Error::internal("records could not be decoded: a bug in a decoder"))
    }
}

/// Threads that decode: as many as cores.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

struct Pool {
    jobs: Sender<Job>,
}

fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| {
        let (jobs, work) = unbounded::<Job>();
        for _ in 0..threads() {
            let work = work.clone();
            // Without a single thread the channel is closed, and jobs run where they are started.
            let _ = std::thread::Builder::new().name("decode".into()).spawn(move || work.iter().for_each(|job| job()));
        }
        Pool { jobs }
    })
}
