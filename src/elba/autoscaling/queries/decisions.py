"""What `elba explain` shows: a group's decisions with the activities they led to. No AWS API has this."""

from __future__ import annotations

from itertools import pairwise

from elba.autoscaling.activities import of_group
from elba.autoscaling.resources import Decision, Group
from elba.call import Answer
from elba.store.interface import View


def explain(view: View, account: str, region: str, group_name: str, last: int) -> Answer | None:
    """The group's latest `last` decisions, oldest first, and its sizes; None if there is no such group.

    Each names the activities that its change of capacity caused: those that began from it until the next change.
    """
    group = view.get(Group, account, region, group_name)
    if group is None:
        return None
    kept = sorted(view.children(Decision, account, region, group_name), key=lambda d: d.time)
    changes = [d for d in kept if d.before != d.after]
    until = {d.id: later.time for d, later in pairwise(changes)}
    activities = sorted(of_group(view, account, region, group_name), key=lambda a: a.start_time)
    shown = []
    for decision in kept[-last:] if last > 0 else []:
        caused = []
        if decision.before != decision.after:
            ends = until.get(decision.id, float("inf"))
            change = f"from {decision.before} to {decision.after}."
            caused = [a for a in activities if decision.time <= a.start_time <= ends and change in a.cause]
        shown.append(
            {
                "time": decision.time,
                "since": decision.since or decision.time,
                "times": decision.times,
                "trigger": decision.trigger,
                "summary": decision.summary,
                "before": decision.before,
                "after": decision.after,
                "inputs": decision.inputs,
                "activities": [
                    {"id": a.id, "description": a.description, "status": a.status_code, "cause": a.cause}
                    for a in caused
                ],
            }
        )
    return {
        "group": group.id,
        "account": account,
        "region": region,
        "min_size": group.min_size,
        "max_size": group.max_size,
        "desired_capacity": group.desired_capacity,
        "decisions": shown,
    }
