"""Instances as process trees on this host."""

from elba.compute.process.provider import ProcessProvider

__all__ = ["ProcessProvider"]
