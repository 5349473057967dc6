"""A small model in the form in which XANESNET saves one, with random weights."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

ENERGY = "7100:7140:21"
N_ENERGY = 21
WEIGHTS = "model_weights.pth"
DESCRIPTOR: dict[str, Any] = {
    "type": "wacsf",
    "r_min": 0.0,
    "r_max": 6.0,
    "n_g2": 8,
    "n_g4": 8,
    "l": None,
    "z": None,
    "g2_parameterisation": "shifted",
    "g4_parameterisation": "centred",
    "absorber_atom_only": True,
    "use_spin": False,
    "use_charge": False,
}
N_FEATURES = 17
NETWORK: dict[str, Any] = {
    "type": "mlp",
    "in_features": N_FEATURES,
    "out_features": N_ENERGY,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "shrink_rate": 0.5,
    "activation": "relu",
    "dropout": 0.1,
}
TARGETS: dict[str, Any] = {
    "basis_path": "models/x/gaussian_basis.pt",
    "basis_stride": 2,
    "fourier": False,
    "gaussian": False,
    "widths_eV": [0.5, 1.0],
}


def metadata(**changes: Any) -> dict[str, Any]:
    """The metadata; a change is ``model__activation="gelu"`` or ``scheme="ensemble"``."""
    found: dict[str, Any] = {
        "mode": "train_xyz",
        "model_dir": "models/x",
        "scheme": "std",
        "dataset": {"type": "xanesx", "params": dict(TARGETS)},
        "descriptors": [dict(DESCRIPTOR)],
        "model": dict(NETWORK),
    }
    for key, value in changes.items():
        section, _, name = key.partition("__")
        part = {
            "model": found["model"],
            "descriptor": found["descriptors"][0],
            "targets": found["dataset"]["params"],
        }.get(section, found)
        part[name or section] = value
    return found


def weights(seed: int = 0, widths: tuple[int, ...] = (N_FEATURES, 12, 6, N_ENERGY)) -> Any:
    """A state_dict of Linear layers, as the program names them."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, torch.Tensor] = {}
    for i, (n_in, n_out) in enumerate(pairwise(widths)):
        weight = rng.normal(0.0, n_in**-0.5, (n_out, n_in)).astype(np.float32)
        tensors[f"dense_layers.{3 * i}.weight"] = torch.from_numpy(weight)
        tensors[f"dense_layers.{3 * i}.bias"] = torch.from_numpy(weight[:, 0].copy())
    return tensors


def make_folder(folder: Path, tensors: Any = None, **changes: Any) -> Path:
    """Write metadata.yaml and model_weights.pth."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metadata.yaml").write_text(yaml.safe_dump(metadata(**changes)))
    torch.save(weights() if tensors is None else tensors, folder / WEIGHTS)
    return folder


def make_ensemble(folder: Path, numbers: tuple[int, ...] = (1, 2, 3), **changes: Any) -> Path:
    """Write metadata.yaml and model_NNN/model_weights.pth."""
    folder.mkdir(parents=True, exist_ok=True)
    said = metadata(**({"scheme": "ensemble"} | changes))
    (folder / "metadata.yaml").write_text(yaml.safe_dump(said))
    for number in numbers:
        member = folder / f"model_{number:03d}"
        member.mkdir()
        torch.save(weights(number), member / WEIGHTS)
    return folder
