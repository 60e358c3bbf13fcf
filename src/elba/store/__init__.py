"""The store: typed resources, one global revision, a change feed. An acknowledged write is on disk."""

from elba.store.interface import Engine, Store, Transaction, View, Write
from elba.store.memory import MemoryEngine

__all__ = ["Engine", "MemoryEngine", "Store", "Transaction", "View", "Write"]
