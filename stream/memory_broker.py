"""The broker in memory: the same contract in one process, with a clock of the caller's.

For tests, notebooks and embedding; nothing survives the process. Calls never wait.
"""

from __future__ import annotations

from stream.memory_operators import MemoryOperators
from stream.memory_producers import MemoryProducers
from stream.memory_workers import MemoryWorkers
from stream.memory_writers import MemoryWriters


class MemoryBroker(MemoryProducers, MemoryWorkers, MemoryWriters, MemoryOperators):
    """See ``stream.broker`` for what each call promises."""
