//! A request's attempts with targets: which one is next, what is counted there, and what a failure leads to.
//!
//! When a target fails: nothing was sent yet (connect refused or timed out): another target is tried, whatever the
//! method, up to `MAX_TARGETS`. The request was sent, but not a byte came back: if its method is idempotent and its
//! body still in the buffer, it is sent again, once after an old connection (it may have been closed before) and once
//! after a new one, to another target if there is one: of a process that dies, connections may end before its port
//! does. Else: 502. AWS does not resend once bytes were sent; doing it here means that killing an instance fails no
//! request that may be repeated.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{ready, Context, Poll};

use elba_core::choice::{Chosen, Doubt};

use super::connection::{Connection, Next};
use super::decide::Plan;
use super::state::BalancerRuntime;
use super::ClientStream;
use crate::counters::{Balancer, Target, TargetCells};
use crate::health::is_our_fault;
use crate::pool::TargetRuntime;
use crate::timer::Fired;

/// Source: alb.md section 14.
const CONNECT_TIMEOUT_MS: u64 = 10_000;
/// How many targets one request is offered to when they cannot be connected to.
const MAX_TARGETS: usize = 3;

/// The targets that could not be connected to, or that lost the request.
pub(super) struct Tried {
    targets: [u32; MAX_TARGETS],
    count: usize,
    /// it ended an old connection: others come first, but nothing is known against it
    doubted: u32,
    was_lost: bool,
    /// the attempt that failed last: the status for the client if nobody else can take the request
    last: Option<(u16, Arc<TargetCells>, Chosen)>,
}

impl Default for Tried {
    fn default() -> Tried {
        Tried {
            targets: [u32::MAX; MAX_TARGETS],
            count: 0,
            doubted: u32::MAX,
            was_lost: false,
            last: None,
        }
    }
}

impl Tried {
    /// How many they are now.
    fn add(&mut self, target: u32) -> usize {
        if let Some(place) = self.targets.get_mut(self.count) {
            *place = target;
            self.count += 1;
        }
        self.count
    }

    /// The target lost the request before a byte of the answer came. Whether a request that may be repeated is to be
    /// sent again.
    pub fn lost(&mut self, target: u32, was_old: bool) -> bool {
        if was_old && self.doubted == u32::MAX {
            self.doubted = target;
            return true;
        }
        self.add(target) < MAX_TARGETS && !std::mem::replace(&mut self.was_lost, true)
    }

    /// The client gets this status if nobody else can take the request.
    pub fn failed(&mut self, status: u16, attempt: Attempt) {
        self.last = Some((status, attempt.cells, attempt.chosen));
    }
}

/// One target that is to have the request.
pub(super) struct Attempt {
    pub chosen: Chosen,
    pub target: Rc<TargetRuntime>,
    pub runtime: Rc<BalancerRuntime>,
    pub cells: Arc<TargetCells>,
    pub flight: Flight,
}

/// What a client gets that no target was found for.
pub(super) enum Given {
    /// an error page
    Error(u16),
    Nothing(Next),
}

/// A request in flight on a target, in the counters.
pub(super) struct Flight {
    pub target: Rc<TargetRuntime>,
    cells: Arc<TargetCells>,
}

impl Flight {
    fn new(target: Rc<TargetRuntime>, cells: Arc<TargetCells>) -> Flight {
        target.state.request_began();
        cells.add(Target::Begun, 1);
        Flight { target, cells }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.target.state.request_ended();
        self.cells.add(Target::Ended, 1);
    }
}

pub(super) enum ConnectFailure {
    /// no descriptors or memory left here: no fault of the target's
    Short,
    /// as what it counts, and the status for the client
    Failed(Target, u16),
    Cut,
    Gone(Next),
}

impl ConnectFailure {
    /// `kind`: what it counts as. Source of the statuses: alb.md section 12.
    pub fn of(error: &io::Error, kind: Target) -> ConnectFailure {
        if error.kind() == io::ErrorKind::TimedOut {
            ConnectFailure::Failed(kind, 504)
        } else if is_our_fault(error) {
            ConnectFailure::Short
        } else {
            ConnectFailure::Failed(kind, 502)
        }
    }
}

impl<S: ClientStream> Connection<S> {
    /// The next target and what is counted there; None if nobody is left.
    pub(super) fn begin_attempt(&mut self, plan: &mut Plan, tried: &Tried) -> Option<Attempt> {
        let worker = self.worker.clone();
        let preferred = plan.sticky.preferred.take();
        let chosen = self.choose(plan, preferred, tried)?;
        plan.chosen = chosen.index;
        self.note(|log| log.record.target = Some(chosen.index));
        let target = plan.group.targets[chosen.index as usize].clone();
        let runtime = plan.config.balancers[plan.place.load_balancer as usize].clone();
        let group = &plan.group.group.source.arn;
        let cells = target.cells(worker.index, &worker.counters, &runtime.balancer, group);
        self.timer.reset();
        self.timer.set_target(Arc::as_ptr(&target.state) as usize);
        Some(Attempt {
            chosen,
            runtime,
            flight: Flight::new(target.clone(), cells.clone()),
            target,
            cells,
        })
    }

    /// Whom no target takes gets what the last of them did, or 503.
    pub(super) async fn nobody_left(&mut self, plan: Plan, tried: Tried) -> Next {
        let status = tried.last.map_or(503, |(status, cells, chosen)| {
            self.count_request(&plan, &cells, chosen);
            status
        });
        self.fail(plan, status).await
    }

    /// A connection that could not be made. None: another target may take the request; else what the client gets.
    pub(super) fn give_up(
        &mut self,
        plan: &Plan,
        why: ConnectFailure,
        attempt: Attempt,
        tried: &mut Tried,
    ) -> Option<Given> {
        match why {
            ConnectFailure::Gone(next) => Some(Given::Nothing(next)),
            ConnectFailure::Cut => Some(Given::Error(502)),
            ConnectFailure::Short => Some(Given::Error(503)),
            ConnectFailure::Failed(what, status) => {
                attempt.cells.add(what, 1);
                attempt.target.suspect(self.worker.now_ms());
                if tried.add(attempt.chosen.index) == MAX_TARGETS {
                    self.count_request(plan, &attempt.cells, attempt.chosen);
                    return Some(Given::Error(status));
                }
                tried.failed(status, attempt);
                None
            }
        }
    }

    pub(super) async fn give(&mut self, plan: Plan, given: Given) -> Next {
        match given {
            Given::Nothing(next) => next,
            Given::Error(status) => self.fail(plan, status).await,
        }
    }

    /// The target for the next attempt: the one that a cookie asks for, else as the group's algorithm says.
    fn choose(&self, plan: &Plan, preferred: Option<u32>, tried: &Tried) -> Option<Chosen> {
        let mut chooser = plan.group.chooser.borrow_mut();
        if let Some(index) = preferred {
            return Some(Chosen {
                index,
                failed_open: chooser.failed_open(),
            });
        }
        let now = self.worker.now_ms();
        let doubt = |index| {
            if tried.targets.contains(&index) {
                Doubt::Tried
            } else if index == tried.doubted || plan.group.targets[index as usize].is_suspect(now) {
                Doubt::Suspect
            } else {
                Doubt::None
            }
        };
        chooser.choose(&plan.group.group, now, || self.worker.random(), doubt)
    }

    pub(super) fn count_request(&self, plan: &Plan, cells: &TargetCells, chosen: Chosen) {
        let balancer = &plan.config.balancers[plan.place.load_balancer as usize].cells;
        balancer.add(Balancer::RequestCount, 1);
        cells.add(Target::RequestCount, 1);
        if self.peer.is_ipv6() {
            balancer.add(Balancer::IPv6RequestCount, 1);
            cells.add(Target::IPv6RequestCount, 1);
        }
        if chosen.failed_open {
            cells.add(Target::UnhealthyRoutingRequest, 1);
        }
    }

    /// What `poll` gives within the connect time-out; a failure counts as what `kind` says then.
    pub(super) async fn in_time<T>(
        &mut self,
        kind: impl Fn() -> Target,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Result<T, ConnectFailure> {
        self.timer.set(self.worker.now_ms() + CONNECT_TIMEOUT_MS);
        poll_fn(|context| {
            if let Some(why) = self.timer.fired() {
                return Poll::Ready(Err(match why {
                    Fired::Timeout => ConnectFailure::Failed(kind(), 504),
                    Fired::Cut => ConnectFailure::Cut,
                    Fired::Drain => ConnectFailure::Gone(Next::Close),
                }));
            }
            match ready!(poll(context)) {
                Ok(done) => Poll::Ready(Ok(done)),
                Err(error) => Poll::Ready(Err(ConnectFailure::of(&error, kind()))),
            }
        })
        .await
    }
}
