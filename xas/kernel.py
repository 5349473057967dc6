"""Which code computes: the C kernel where it was built, else numpy."""

from __future__ import annotations

import logging
from functools import cache
from typing import Literal

try:
    from xas import _wacsf
except ImportError:  # not built
    _wacsf = None  # type: ignore[assignment,unused-ignore]

Kernel = Literal["c", "numpy"]

_log = logging.getLogger(__name__)


@cache
def instruction_sets() -> dict[str, int]:
    """What this processor can run, fastest first, and how many doubles each has in a vector.

    Empty where the C kernel is not built.
    """
    return {} if _wacsf is None else _wacsf.instruction_sets()


def kernel_name(kernel: Kernel | None = None) -> str:
    """Which code computes features: "c (avx512)", "c (avx2)", "c (generic)" or "numpy"."""
    if kernel == "numpy" or not instruction_sets():
        return "numpy"
    return f"c ({next(iter(instruction_sets()))})"


def choose_kernel(kernel: Kernel | None = None) -> Kernel:
    """The asked-for kernel, or the fastest; RuntimeError where "c" is asked for but not built.

    A process that has to do with numpy says so once.
    """
    if kernel is None and not instruction_sets():
        _say_that_it_is_slow()
    if kernel == "c" and not instruction_sets():
        raise RuntimeError("this installation has no C kernel (xas._wacsf was not built)")
    return kernel or ("c" if instruction_sets() else "numpy")


@cache
def _say_that_it_is_slow() -> None:
    _log.warning(
        "edgestream was installed without a C compiler and computes descriptors in numpy, 50 to "
        "1000 times slower: install gcc or clang, then pip install --force-reinstall --no-deps "
        "--no-cache-dir edgestream (or the folder it came from)"
    )
