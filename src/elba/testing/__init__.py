"""The public test kit: a whole Elba in memory on the virtual clock, builders, contract suites."""

from elba.testing.virtual_loop import VirtualLoop

__all__ = ["VirtualLoop"]
