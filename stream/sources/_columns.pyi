from typing import Any

from numpy.typing import NDArray

def read_rows(
    text: bytes, n_rows: int, columns: bytes, numbers: NDArray[Any], labels: NDArray[Any], /
) -> int: ...
def behind_lines(text: bytes, start: int, n_lines: int, /) -> int: ...
