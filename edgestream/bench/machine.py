"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

from edgestream.embedded import find_server
from stream.supervisor import cores
from stream.writer import program_version
from xas.wacsf import kernel_name

_LIBRARIES = ("numpy", "onnxruntime", "h5py", "redis", "hiredis", "msgspec")
_SETS = ("sse4_2", "avx2", "fma", "avx512f", "avx512_vnni", "asimd", "sve")


def machine_facts() -> dict[str, object]:
    """Processor, cores, instruction sets, versions, date, and how busy the machine is."""
    server = subprocess.run([find_server(), "--version"], capture_output=True, text=True)
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "cpu": _processor(),
        "architecture": platform.machine(),
        "cores": cores(),
        "instruction_sets": [name for name in _SETS if name in _flags()],
        "kernel": kernel_name(),
        "load_average": list(os.getloadavg()),
        "system": platform.platform(),
        "versions": {
            "edgestream": program_version(),
            "python": platform.python_version(),
            "server": server.stdout.strip(),
            **{name: version(name) for name in _LIBRARIES},
        },
    }


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _flags() -> set[str]:
    return set((_cpuinfo("flags") or _cpuinfo("Features")).split())


def _cpuinfo(field: str) -> str:
    """The first line of that name, or nothing."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    found = (line.partition(":")[2].strip() for line in lines if line.startswith(field))
    return next(found, "")


def file_system(folder: Path) -> str:
    """The type of file system that a folder lies on: ext4, tmpfs, ..."""
    path = str(folder.resolve())
    best = ("", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if path == mount or path.startswith(mount.rstrip("/") + "/"):
            best = max(best, (mount, kind))
    return best[1]
