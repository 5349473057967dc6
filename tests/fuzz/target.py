"""What is fuzzed: something that takes bytes of strangers, and examples of what it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, kw_only=True)
class Target:
    """Promises that ``look`` returns or raises an EdgestreamError, whatever the bytes.

    seeds   whole and valid inputs
    insane  an input that is well formed and mad, from a seed
    words   what mutations splice in
    whole   for an input that ended the process: what users call, which must survive it. ``look`` is
            a part of it, that is fast
    memory_bytes  that a process may come to hold above what it held before its first input
    """

    look: Callable[[bytes], object]
    seeds: Sequence[bytes]
    insane: Callable[[bytes, Random], bytes]
    words: Sequence[bytes] = ()
    whole: Callable[[bytes], object] | None = None
    memory_bytes: int = 512 << 20


CPU_S = 10.0
"""Of one input, after which it counts as a hang."""
MAX_INPUT = 1 << 20
