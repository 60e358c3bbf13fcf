"""The operations that have an answer while there are no Classic Load Balancers. Source: elb-api.md part C."""

from __future__ import annotations

from elba.call import Answer, Request
from elba.context import Context
from elba.errors import ApiError


async def describe_load_balancers(ctx: Context, request: Request) -> Answer:
    """None. Raises: ApiError LoadBalancerNotFound for any name."""
    for name in request.get("load_balancer_names") or ():
        raise ApiError("LoadBalancerNotFound", f"There is no ACTIVE Load Balancer named '{name}'")
    return {"load_balancer_descriptions": []}


async def delete_load_balancer(ctx: Context, request: Request) -> Answer:
    """Deleting what is not there succeeds, as on AWS."""
    return {}
