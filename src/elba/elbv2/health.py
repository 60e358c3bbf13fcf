"""What several zone nodes' views of one target add up to. Pure.

Each node checks each target itself. For the API (and Auto Scaling) one state comes out:

- A target that was never decided stays `initial` until every enabled zone's node that is up has decided, so that
  whoever waits for `healthy` may use any zone.
- Decided, it is `healthy` while any node says so, and `unhealthy` when all that have a view agree: one zone's bad
  moment does not replace an instance. Each node routes by its own view, at once, whatever is shown here.
- Nodes that are away or know nothing yet have no say; if none has one, what is known stays.
"""

from __future__ import annotations

from collections.abc import Sequence

from elba.dataplane.protocol import HealthReport

DECIDED = ("healthy", "unhealthy", "unavailable")
CHECKING = ("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")

State = tuple[str, str, str]
"""State, reason, description."""


def merged(views: Sequence[HealthReport | None], known: str) -> State | None:
    """The state that `views` (one per node that should have one, None = it has not said) add up to.

    `known` is the state shown so far ("" = none). None = nothing to say: it stays as it is.
    """
    decided = [view for view in views if view is not None and view.state in DECIDED]
    if known not in DECIDED and len(decided) < len(views):
        return CHECKING if any(view is not None for view in views) else None
    if not decided:
        return None
    for state in ("healthy", "unavailable"):
        if any(view.state == state for view in decided):
            best = next(view for view in decided if view.state == state)
            return (best.state, best.reason, best.description)
    latest = max(decided, key=lambda view: view.since)
    return (latest.state, latest.reason, latest.description)
