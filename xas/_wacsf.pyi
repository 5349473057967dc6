from typing import Any

from numpy.typing import NDArray

def instruction_sets() -> list[str]: ...
def featurise(
    ints: NDArray[Any],
    floats: NDArray[Any],
    tables: NDArray[Any],
    numbers: NDArray[Any],
    positions: NDArray[Any],
    offsets: NDArray[Any],
    cells: NDArray[Any] | None,
    duals: NDArray[Any] | None,
    structure: NDArray[Any],
    atom: NDArray[Any],
    values: NDArray[Any],
    closest: NDArray[Any],
    most: int,
    instruction_set: str,
) -> int: ...
def from_neighbours(
    ints: NDArray[Any],
    floats: NDArray[Any],
    tables: NDArray[Any],
    numbers: NDArray[Any],
    vectors: NDArray[Any],
    offsets: NDArray[Any],
    values: NDArray[Any],
    closest: NDArray[Any],
    instruction_set: str,
) -> None: ...
