"""EC2's API operations, one for each name in the model, thin: request → command or query → answer."""

from __future__ import annotations

from elba.ec2.operations.compute import *  # noqa: F403  # every operation, by its name in the model
from elba.ec2.operations.edges import *  # noqa: F403
from elba.ec2.operations.network import *  # noqa: F403
