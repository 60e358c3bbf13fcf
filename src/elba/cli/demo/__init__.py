"""`elba demo`: the closed loop, live. Real traffic, real load, a real fleet that follows it."""

from elba.cli.demo.command import command

__all__ = ["command"]
