//! Time on the request path: the node's own clock, and deadlines that cost one store each.
//!
//! A connection has one slot with one deadline, which it moves as it makes progress; a sweep every `TICK_MS` wakes
//! those that are past it. No timer is made or cancelled for a read. Deadlines stand side by side in one array, so
//! that a sweep over 50,000 idle connections reads 400 KB in order.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::OnceLock;
use std::task::{Context, Waker};
use std::time::Instant;

static ORIGIN: OnceLock<Instant> = OnceLock::new();

/// How late a time-out may come.
pub const TICK_MS: u64 = 100;

/// Milliseconds on the node's own clock, from 1. What `TargetGroup::set_health` and slow start count in.
pub fn now_ms() -> u64 {
    ORIGIN.get_or_init(Instant::now).elapsed().as_millis() as u64 + 1
}

/// Why a connection was woken although its sockets have nothing to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fired {
    /// its deadline has passed
    Timeout,
    /// its target was deregistered and the delay is over
    Cut,
    /// the node is going to end, and the connection is idle or out of time
    Drain,
}

#[derive(Default)]
struct Slot {
    fired: Cell<Option<Fired>>,
    waker: RefCell<Option<Waker>>,
    /// address of the TargetState its request is on; 0 = none
    target: Cell<usize>,
    /// between two requests
    idle: Cell<bool>,
    /// until then a drain gives a new connection's first request time to arrive
    fresh_until: Cell<u64>,
}

impl Slot {
    fn fire(&self, why: Fired) {
        self.fired.set(Some(why));
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// All connections of one worker.
#[derive(Default)]
pub struct Timers {
    deadlines: RefCell<Vec<Cell<u64>>>,
    slots: RefCell<Vec<Option<Rc<Slot>>>>,
    free: RefCell<Vec<u32>>,
}

const NEVER: u64 = u64::MAX;

impl Timers {
    pub fn timer(self: &Rc<Self>) -> Timer {
        let slot = Rc::new(Slot::default());
        let index = match self.free.borrow_mut().pop() {
            Some(index) => {
                self.slots.borrow_mut()[index as usize] = Some(slot.clone());
                index
            }
            None => {
                self.deadlines.borrow_mut().push(Cell::new(NEVER));
                self.slots.borrow_mut().push(Some(slot.clone()));
                self.slots.borrow().len() as u32 - 1
            }
        };
        Timer {
            timers: self.clone(),
            slot,
            index,
        }
    }

    /// Wakes every connection whose deadline is at or before `now`.
    pub fn sweep(&self, now: u64) {
        for (index, deadline) in self.deadlines.borrow().iter().enumerate() {
            if deadline.get() <= now {
                deadline.set(NEVER);
                if let Some(slot) = &self.slots.borrow()[index] {
                    slot.fire(Fired::Timeout);
                }
            }
        }
    }

    /// Wakes the connections that have a request on one of these targets (addresses of their states).
    pub fn cut(&self, targets: &[usize]) {
        for slot in self.slots.borrow().iter().flatten() {
            if targets.contains(&slot.target.get()) {
                slot.fire(Fired::Cut);
            }
        }
    }

    /// Wakes the idle connections, or all. A connection just opened or used is not idle: its client was accepted before it
    /// could know better, and is about to ask.
    pub fn drain(&self, all: bool) {
        let now = now_ms();
        for slot in self.slots.borrow().iter().flatten() {
            if all || (slot.idle.get() && slot.fresh_until.get() <= now) {
                slot.fire(Fired::Drain);
            }
        }
    }

    /// How many connections there are.
    pub fn count(&self) -> usize {
        self.slots.borrow().len() - self.free.borrow().len()
    }
}

/// One connection's deadline.
pub struct Timer {
    timers: Rc<Timers>,
    slot: Rc<Slot>,
    index: u32,
}

impl Timer {
    /// Fires at `deadline` (ms of the node's clock) or up to `TICK_MS` later, unless moved before.
    pub fn set(&self, deadline: u64) {
        if let Some(cell) = self.timers.deadlines.borrow().get(self.index as usize) {
            cell.set(deadline);
        }
    }

    /// Keeps a drain off until `deadline` (ms of the node's clock); 0 = no longer.
    pub fn set_fresh_until(&self, deadline: u64) {
        self.slot.fresh_until.set(deadline);
    }

    pub fn fired(&self) -> Option<Fired> {
        self.slot.fired.get()
    }

    /// Forgets that it fired.
    pub fn reset(&self) {
        self.slot.fired.set(None);
    }

    /// The task to wake; once per task is enough, for a task's waker stays the same.
    pub fn remember(&self, context: &Context<'_>) {
        let mut waker = self.slot.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|known| known.will_wake(context.waker()))
        {
            *waker = Some(context.waker().clone());
        }
    }

    /// The target the request is on from now (`Arc::as_ptr` of its state as a number; 0 = none).
    pub fn set_target(&self, target: usize) {
        self.slot.target.set(target);
    }

    pub fn set_idle(&self, idle: bool) {
        self.slot.idle.set(idle);
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.set(NEVER);
        if let Some(slot) = self.timers.slots.borrow_mut().get_mut(self.index as usize) {
            *slot = None;
        }
        self.timers.free.borrow_mut().push(self.index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::Arc;
    use std::task::Wake;

    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn fires_what_is_due_and_only_once() {
        let timers = Rc::new(Timers::default());
        let (one, two) = (timers.timer(), timers.timer());
        let woken = Arc::new(Count(AtomicU32::new(0)));
        let waker = Waker::from(woken.clone());
        one.remember(&Context::from_waker(&waker));
        one.set(100);
        two.set(101);
        timers.sweep(99);
        assert_eq!(one.fired(), None);
        timers.sweep(100);
        timers.sweep(100);
        assert_eq!((one.fired(), two.fired()), (Some(Fired::Timeout), None));
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn slots_are_used_again_with_nothing_left_of_the_last_user() {
        let timers = Rc::new(Timers::default());
        let one = timers.timer();
        one.set(5);
        one.set_target(7);
        drop(one);
        assert_eq!(timers.count(), 0);
        let two = timers.timer();
        timers.sweep(1000);
        timers.cut(&[7]);
        assert_eq!((two.fired(), timers.count()), (None, 1));
    }

    #[test]
    fn cuts_and_drains() {
        let timers = Rc::new(Timers::default());
        let (one, two) = (timers.timer(), timers.timer());
        one.set_target(7);
        two.set_idle(true);
        timers.cut(&[7]);
        timers.drain(false);
        assert_eq!((one.fired(), two.fired()), (Some(Fired::Cut), Some(Fired::Drain)));
    }
}
