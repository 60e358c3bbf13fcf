//! Sticky sessions of one request: which target (or target group) its cookies ask for, and which cookies its
//! response brings. Source: alb.md section 8.

use elba_core::http1::date::http_date;
use elba_core::http1::request::RequestHead;
use elba_core::http1::response::ResponseHead;
use elba_core::routing::{Forward, ForwardTo};
use elba_core::stickiness::{
    find_cookie, group_id, push_set_cookie, sets_cookie, Memory, APP_SHARDS, EXPIRES_SECONDS,
};

use super::decide::Plan;
use super::state::{BalancerRuntime, GroupRuntime, Worker};
use crate::counters::Balancer;

const TARGET: &str = "AWSALB";
const TARGET_CORS: &str = "AWSALBCORS";
const GROUP: &str = "AWSALBTG";
const GROUP_CORS: &str = "AWSALBTGCORS";
const APP: &str = "AWSALBAPP-0";
/// The value that makes an application cookie of ours void.
const REMOVED: &str = "_remove_";

/// What kind of target stickiness the group has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    #[default]
    Off,
    /// by AWSALB
    LoadBalancer,
    /// by the application's cookie; true: the client has brought both its own and ours
    Application(bool),
}

#[derive(Debug, Default)]
pub(super) struct Sticky {
    /// the target that the cookie asks for, and that may be used
    pub preferred: Option<u32>,
    kind: Kind,
    group: bool,
}

fn remembered(
    worker: &Worker,
    runtime: &BalancerRuntime,
    name: &str,
    value: Option<&[u8]>,
    seconds: f64,
) -> Option<Memory> {
    let balancer = &runtime.balancer;
    let memory = balancer.cookie_keys.open(&balancer.source.arn, name, value?)?;
    let age = worker.epoch_seconds().saturating_sub(memory.issued_seconds);
    (age as f64 <= seconds).then_some(memory)
}

/// The group of a sticky forward action that the client's cookie names.
pub(super) fn sticky_group<'a>(
    worker: &Worker,
    runtime: &BalancerRuntime,
    forward: &'a Forward,
    bytes: &[u8],
    head: &RequestHead,
) -> Option<&'a ForwardTo> {
    let seconds = forward.stickiness_seconds?;
    let memory = [GROUP_CORS, GROUP].iter().find_map(|name| {
        remembered(
            worker,
            runtime,
            GROUP,
            find_cookie(bytes, &head.fields, name),
            seconds,
        )
    })?;
    forward
        .groups
        .iter()
        .find(|group| group_id(&group.arn) == memory.group)
}

/// What the request's cookies ask for in this group.
pub(super) fn read(
    worker: &Worker,
    runtime: &BalancerRuntime,
    forward: &Forward,
    group: &GroupRuntime,
    bytes: &[u8],
    head: &RequestHead,
) -> Sticky {
    let source = &group.group.source;
    let mut sticky = Sticky {
        group: forward.stickiness_seconds.is_some(),
        ..Sticky::default()
    };
    if !source.stickiness_enabled {
        return sticky;
    }
    let seconds = source.stickiness_seconds;
    let memory = if source.stickiness_type == "app_cookie" {
        let has_own = find_cookie(bytes, &head.fields, &source.app_cookie_name).is_some();
        let memory = remembered(
            worker,
            runtime,
            APP,
            find_cookie(bytes, &head.fields, APP),
            seconds,
        );
        sticky.kind = Kind::Application(has_own && memory.is_some());
        memory.filter(|_| has_own)
    } else {
        sticky.kind = Kind::LoadBalancer;
        // the twin wins when both are there
        [TARGET_CORS, TARGET].iter().find_map(|name| {
            remembered(
                worker,
                runtime,
                TARGET,
                find_cookie(bytes, &head.fields, name),
                seconds,
            )
        })
    };
    sticky.preferred = memory
        .filter(|memory| memory.group == group_id(&source.arn))
        .and_then(|memory| group.group.target_index(&memory.target))
        .filter(|index| group.chooser.borrow_mut().allows(&group.group, *index));
    if sticky.preferred.is_none() {
        runtime.cells.add(Balancer::NonStickyRequest, 1);
    }
    sticky
}

/// The Set-Cookie lines that go with a response from the plan's target.
pub(super) fn set_cookies(plan: &Plan, worker: &Worker, bytes: &[u8], head: &ResponseHead) -> Vec<u8> {
    let mut out = Vec::new();
    let sticky = &plan.sticky;
    if sticky.kind == Kind::Off && !sticky.group {
        return out;
    }
    let group = &plan.group;
    let runtime = &plan.config.balancers[plan.place.load_balancer as usize];
    let https = plan.config.compiled.listener_at(plan.place).protocol == "HTTPS";
    let Some(target) = group.group.targets.get(plan.chosen as usize) else {
        return out;
    };
    let now = worker.epoch_seconds();
    let expires = http_date(now + EXPIRES_SECONDS);
    let balancer = &runtime.balancer;
    let seal = |name: &str, target: &str| {
        let memory = Memory {
            issued_seconds: now,
            group: group_id(&group.group.source.arn),
            target: target.to_owned(),
        };
        let nonce = worker.nonce()?;
        balancer
            .cookie_keys
            .seal(&balancer.source.arn, name, &memory, nonce)
    };
    if sticky.group {
        if let Some(value) = seal(GROUP, "") {
            push_set_cookie(&mut out, GROUP, &value, &expires, false, https);
            push_set_cookie(&mut out, GROUP_CORS, &value, &expires, true, https);
        }
    }
    match sticky.kind {
        Kind::Off => {}
        Kind::LoadBalancer => {
            if let Some(value) = seal(TARGET, &target.state.key) {
                push_set_cookie(&mut out, TARGET, &value, &expires, false, https);
                push_set_cookie(&mut out, TARGET_CORS, &value, &expires, true, https);
            }
        }
        Kind::Application(known) => {
            if known || sets_cookie(bytes, &head.fields, &group.group.source.app_cookie_name) {
                if let Some(value) = seal(APP, &target.state.key) {
                    push_set_cookie(&mut out, APP, &value, &expires, false, https);
                }
            } else {
                for shard in 0..APP_SHARDS {
                    push_set_cookie(
                        &mut out,
                        &format!("AWSALBAPP-{shard}"),
                        REMOVED,
                        &expires,
                        false,
                        https,
                    );
                }
            }
        }
    }
    out
}
