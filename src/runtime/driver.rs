//! Runs one stage as a timely operator: takes what has come, ends epochs in order, lets go of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use timely::communication::Pull;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::Message;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::{InputHandleCore, OutputBuilder};
use timely::progress::frontier::MutableAntichain;
use timely::scheduling::Activator;

use super::exchange::Parcel;
use super::schedule::{Entry, Shared, is_empty, merge};
use super::stage::{Outlet, Stage};
use crate::data::Changes;
use crate::operators::{Fuel, Step};

/// Rows that a stage may go through before it lets other dataflows run.
const FUEL: usize = 65_536;

/// Parcels are made elsewhere; this only satisfies timely.
pub(super) type Builder = CapacityContainerBuilder<Parcel>;

/// A batch for one slot's port.
pub(super) type Delivery = (usize, usize, Parcel);

/// Takes what has come for one slot's port, with its time.
pub(super) type Puller = Box<dyn FnMut(&mut dyn FnMut(u64, Parcel))>;

pub(super) fn puller<P: Pull<Message<u64, Parcel>> + 'static>(mut input: InputHandleCore<u64, Parcel, P>) -> Puller {
    Box::new(move |take| {
        input.for_each(|capability, parcel| {
            if let Some(time) = capability.least() {
                take(*time, std::mem::take(parcel));
            }
        });
    })
}

/// Runs one stage as a timely operator.
pub(super) struct Driver {
    pub(super) stage: Rc<RefCell<Stage>>,
    pub(super) shared: Rc<Shared>,
    /// Whether the view's rows leave here.
    pub(super) last: bool,
    /// Slot, port and what pulls for them; in the order of the inputs.
    pub(super) pullers: Vec<(usize, usize, Puller)>,
    pub(super) outputs: Vec<OutputBuilder<u64, Builder>>,
    /// One per output: at the epoch that is open here, or right behind the last one ended.
    pub(super) capabilities: Vec<Capability<u64>>,
    /// Rows that have come and are not applied, by time.
    pub(super) stash: BTreeMap<u64, VecDeque<Delivery>>,
    /// What the view sent in the open epoch.
    pub(super) rows: Vec<Changes>,
    /// Of the open epoch in the schedule.
    pub(super) position: usize,
    pub(super) activator: Activator,
}

impl Driver {
    pub(super) fn run(&mut self, frontiers: &[MutableAntichain<u64>]) {
        for (slot, port, pull) in &mut self.pullers {
            let stash = &mut self.stash;
            pull(&mut |time, parcel| stash.entry(time).or_default().push_back((*slot, *port, parcel)));
        }
        let mut fuel = Fuel(FUEL);
        loop {
            let entry = self.shared.schedule.borrow().get(self.position);
            let Some(entry) = entry else { return };
            self.move_to(entry.time);
            self.stage.borrow_mut().epoch = entry.epoch;
            if !self.apply(&entry, &mut fuel) {
                return self.activator.activate();
            }
            if !entry.ready || frontiers.iter().any(|f| f.less_equal(&entry.time)) {
                return;
            }
            if entry.step && self.step(&entry, &mut fuel) == Step::More {
                return self.activator.activate();
            }
            self.finish(&entry);
        }
    }

    /// Applies what has come for the open epoch; false when the fuel is spent.
    fn apply(&mut self, entry: &Entry, fuel: &mut Fuel) -> bool {
        let Some(mut queue) = self.stash.remove(&entry.time) else { return true };
        let mut more = true;
        while more && let Some((slot, port, mut parcel)) = queue.pop_front() {
            if let Some(changes) = parcel.take() {
                more = fuel.burn(changes.len());
                self.stage.borrow_mut().apply(slot, port, changes, &entry.watermarks);
                self.send();
            }
        }
        if !queue.is_empty() {
            self.stash.insert(entry.time, queue);
        }
        more
    }

    fn step(&mut self, entry: &Entry, fuel: &mut Fuel) -> Step {
        let step = self.stage.borrow_mut().step(entry.epoch, &entry.watermarks, fuel);
        self.send();
        step
    }

    /// Sends on what left the stage.
    fn send(&mut self) {
        for (outlet, changes) in self.stage.borrow_mut().sent.drain(..) {
            match outlet {
                Outlet::View => self.rows.push(changes),
                Outlet::Stream(at) => {
                    let mut output = self.outputs[at].activate();
                    output.session(&self.capabilities[at]).give_container(&mut Parcel::from(changes));
                }
            }
        }
        // The first entry of the schedule is the filling.
        if self.last && self.position == 0 {
            self.shared.fill(&mut self.rows);
        }
    }

    fn finish(&mut self, entry: &Entry) {
        let aside = std::mem::take(&mut self.stage.borrow_mut().aside);
        if !is_empty(&aside) {
            merge(self.shared.aside.borrow_mut().entry(entry.time).or_default(), aside);
        }
        if self.last {
            self.shared.publish(entry, std::mem::take(&mut self.rows));
        }
        self.shared.busy.set(true);
        self.position += 1;
        self.move_to(entry.time + 1);
    }

    fn move_to(&mut self, time: u64) {
        for capability in self.capabilities.iter_mut().filter(|c| *c.time() < time) {
            capability.downgrade(&time);
        }
    }
}
