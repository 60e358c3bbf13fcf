"""The public test kit: a whole Elba in memory on the virtual clock, contract suites for providers and nodes."""

from elba.testing.virtual_loop import StuckError, VirtualLoop
from elba.testing.world import NeverHappened, World

__all__ = ["NeverHappened", "StuckError", "VirtualLoop", "World"]
