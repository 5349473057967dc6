"""What a training has fitted so far: a killed one goes on from there."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from trainer.recipe import Recipe


class Checkpoints:
    """Fitted networks in a folder, each named by all that it follows from.

    One that is there is whole, and the same that fitting it again would give: members are fitted
    one by one, from seeds of their own. Safe for the threads of one training.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(
        self,
        recipe: Recipe,
        member: int,
        seed: int,
        *arrays: NDArray[Any],
    ) -> Path:
        """Where the network lies that a member of this recipe becomes on these arrays."""
        settings = {**recipe.as_dict(), "descriptor": recipe.descriptor.to_dict()}
        known = hashlib.sha256(json.dumps([settings, member, seed], sort_keys=True).encode())
        for array in arrays:
            known.update(array.tobytes())
        return self.folder / f"{known.hexdigest()[:32]}.pt"

    def restore(self, path: Path, network: nn.Module) -> bool:
        """Give a network the weights that it had been fitted to; False where there are none."""
        try:
            state = torch.load(path, weights_only=True)
            network.load_state_dict(state)
        except (OSError, RuntimeError, EOFError, KeyError, UnpicklingError):
            return False
        return True

    def keep(self, path: Path, network: nn.Module) -> None:
        """Write the weights down, whole or not at all. Raises OSError where the disk refuses."""
        self.folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        torch.save(network.state_dict(), part)
        part.replace(path)
