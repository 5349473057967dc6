"""Which segments become one, so that few are left and rows are seldom copied.

Nothing is merged while there are few. Then the newest of one level become one of the next: first
the commits of a while, together, later what came of them. Of n commits a row is copied at most k
times while n < C(MOST + k + 1, k + 1): 325, 2,925 and 20,475 for once, twice and thrice. With so
many files less is not possible (Mathieu, Staelin, Young and Yousefi, Bigtable merge compaction,
arXiv:1407.3008). Large ones are merged fewer at a time, so that no merge takes long, and a row may
be copied once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from stream.result_file.segment import Segment

MOST = 24
LARGEST_BYTES = 64 << 20
_SHARE = 5  # of a long run one merge copies at most this part; less, and rows would be copied often


def next_merge(segments: Sequence[Segment], largest_bytes: int = LARGEST_BYTES) -> slice | None:
    """Which neighbours to merge next; None where there are few. Levels must not rise."""
    if len(segments) <= MOST:
        return None
    limit = max(largest_bytes, sum(segment.size for segment in segments) // _SHARE)
    start = stop = _start_of_level(segments, len(segments) - 1)
    if start == len(segments) - 1:
        start = stop = _start_of_level(segments, start - 1)
    size = 0
    while stop < len(segments) and size + segments[stop].size <= limit:
        size += segments[stop].size
        stop += 1
    return slice(start, stop) if stop - start > 1 else _smallest_pair(segments)


def _start_of_level(segments: Sequence[Segment], at: int) -> int:
    """Where the segments of the level of this one begin."""
    while at > 0 and segments[at - 1].level == segments[at].level:
        at -= 1
    return at


def _smallest_pair(segments: Sequence[Segment]) -> slice:
    """Two neighbours: of more than MOST the smallest hold at most 2 / MOST of the run."""
    pairs = [a.size + b.size for a, b in pairwise(segments)]
    at = pairs.index(min(pairs))
    return slice(at, at + 2)


def with_falling_levels(segments: Sequence[Segment]) -> list[Segment]:
    """Levels that never rise along the run."""
    highest, falling = 0, []
    for segment in reversed(segments):
        highest = max(highest, segment.level)
        falling.append(replace(segment, level=highest))
    return falling[::-1]
