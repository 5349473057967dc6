"""Which segments become one: eight of a level make one of the next, as digits carry.

This is the compaction of log-structured merge trees (O'Neil et al., Acta Informatica 33, 351
(1996)): with n commits a row is copied at most log8(n) times, and at most seven segments of a level
remain. Above a size segments are left alone, so that no merge takes long.
"""

from __future__ import annotations

from collections.abc import Sequence

from stream.result_file.segment import Segment

FAN_IN = 8
LARGEST_BYTES = 1 << 30
_LARGE_ONES = 16  # a long run's segments grow with it: at most about 2 x 16 of the largest

Group = tuple[int, list[Segment]]


def plan(segments: Sequence[Segment], largest_bytes: int = LARGEST_BYTES) -> list[Group]:
    """Groups of segments that follow each other, with the level of the segment each becomes.

    Levels must not rise along ``segments``. A group of one stays as it is. A long tail of small
    segments is carried through all levels at once, so each is copied once.
    """
    total = sum(segment.size for segment in segments)
    limit = max(largest_bytes, total // _LARGE_ONES)
    groups: list[Group] = []
    for segment in segments:
        groups.append((segment.level, [segment]))
        while _is_full(groups):
            groups[-FAN_IN:] = _carry(groups[-FAN_IN:], limit)
    return groups


def _is_full(groups: Sequence[Group]) -> bool:
    tail = groups[-FAN_IN:]
    return len(tail) == FAN_IN and tail[0][0] == tail[-1][0]


def _carry(groups: Sequence[Group], limit: int) -> list[Group]:
    """The first groups that fit under the limit as one of the next level; the others stay."""
    size, fit = 0, 0
    for _, group in groups:
        size += sum(segment.size for segment in group)
        if fit and size > limit:
            break
        fit += 1
    joined = [segment for _, group in groups[:fit] for segment in group]
    return [(groups[0][0] + 1, joined), *groups[fit:]]
