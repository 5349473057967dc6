"""CPU time and memory of a process, as the kernel counts them."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class CpuTime:
    """Seconds of CPU; ``total_s`` to the nanosecond, ``system_s`` to the kernel's tick (10 ms)."""

    total_s: float = 0.0
    system_s: float = 0.0

    def __sub__(self, earlier: CpuTime) -> CpuTime:
        return CpuTime(self.total_s - earlier.total_s, self.system_s - earlier.system_s)

    def __add__(self, other: CpuTime) -> CpuTime:
        return CpuTime(self.total_s + other.total_s, self.system_s + other.system_s)

    @property
    def user_s(self) -> float:
        """What is not the kernel's."""
        return max(0.0, self.total_s - self.system_s)


def cpu_of(pid: int) -> CpuTime:
    """All threads of a running process, ended ones too, without its children."""
    # the clock of another process, as clock_getcpuclockid(3) makes it on Linux
    total = time.clock_gettime((~pid << 3) | 2)
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return CpuTime(total, int(fields[12]) / _TICKS_PER_S)


def cpu_of_this_thread() -> CpuTime:
    """The calling thread alone."""
    used = resource.getrusage(resource.RUSAGE_THREAD)
    return CpuTime(time.thread_time(), used.ru_stime)


def memory_bytes(pid: int) -> int:
    """Resident memory, shared libraries included; exact, where statm may be some MB behind."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Rss:"))
