"""The files of an XANESNET model, read without running anything that they hold."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.importers.grid import Grid, grid_fault, shortest_decimals
from trainer.importers.saved_tensors import read_object
from trainer.importers.xanesnet_metadata import Metadata
from xas.errors import BadModel

WEIGHTS = "model_weights.pth"
BASIS = "gaussian_basis.pt"
BASIS_CLASS = ("xanesnet.utils.gaussian", "GaussianBasis")
MAX_MEMBERS = 1000

Array = NDArray[np.float64]


def member_paths(folder: Path, metadata: Metadata) -> list[Path]:
    """The weight files in the order of their numbers; BadModel where one is missing."""
    if metadata.scheme == "std":
        return [folder / WEIGHTS]
    found = sorted(path for path in folder.glob("model_*") if path.is_dir())
    if not 1 <= len(found) <= MAX_MEMBERS:
        raise BadModel(f"{folder}: {metadata.scheme} with {len(found)} folders model_001, ...")
    numbers = [path.name.removeprefix("model_") for path in found]
    for i, number in enumerate(numbers, 1):
        if not number.isdecimal() or int(number) != i:
            raise BadModel(
                f"{folder}: member {i} of the {metadata.scheme} is missing (model_{i:03d}; there "
                f"is {found[i - 1].name}): copy the whole folder"
            )
    return [path / WEIGHTS for path in found]


def read_weights(path: Path) -> dict[str, Array]:
    """Name -> float64 array. Only tensors are unpickled (``weights_only``); else BadModel."""
    import torch

    try:
        with warnings.catch_warnings(action="ignore"):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise BadModel(
            f"{path}: cannot be read ({error.strerror}); copy the whole folder that XANESNET saved"
        ) from None
    except Exception as error:  # noqa: BLE001 - a damaged or hostile file ends in any error there is
        raise BadModel(
            f"{path}: not weights of PyTorch, or more than weights, and then it is not opened "
            f"({type(error).__name__}): save it again with torch.save(model.state_dict(), ...)"
        ) from None
    if not isinstance(found, dict) or not all(
        isinstance(k, str) and isinstance(t, torch.Tensor) for k, t in found.items()
    ):
        raise BadModel(f"{path}: holds no dictionary of tensors (a state_dict)")
    return {name: _array(tensor, path) for name, tensor in found.items()}


def _array(tensor: Any, path: Path) -> Array:
    if tensor.is_sparse or tensor.is_quantized or not tensor.dtype.is_floating_point:
        raise BadModel(f"{path}: a tensor that holds no plain floating-point numbers")
    array: Array = tensor.detach().double().numpy()
    return array


@dataclass(frozen=True, slots=True)
class Basis:
    """The side file: energies (n_energy,), and the basis (n_energy, n_outputs)."""

    energy: Grid
    phi: Array


def read_basis(folder: Path) -> Basis | None:
    """The side file, where there is one; BadModel where it is not what it should be."""
    path = folder / BASIS
    if not path.exists():
        return None
    buffers = read_object(path, BASIS_CLASS).get("_buffers")
    found = [buffers.get(name) if isinstance(buffers, dict) else None for name in ("E", "Phi")]
    energy, phi = (a if isinstance(a, np.ndarray) else np.zeros(0) for a in found)
    if energy.ndim != 1 or phi.ndim != 2 or len(phi) != len(energy):
        raise BadModel(f"{path}: its buffers E and Phi are no grid and basis")
    grid = shortest_decimals(energy.astype(np.float32))
    if fault := grid_fault(grid) or (None if np.isfinite(phi).all() else "Phi is not finite"):
        raise BadModel(f"{path}: {fault}")
    return Basis(grid, phi.astype(np.float64))
