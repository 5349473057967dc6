import numpy as np
from numpy.typing import NDArray

def read_rows(
    text: bytes,
    n_rows: int,
    columns: bytes,
    numbers: NDArray[np.float64],
    labels: NDArray[np.uint64],
    /,
) -> int: ...
def behind_lines(text: bytes, start: int, n_lines: int, /) -> int: ...
