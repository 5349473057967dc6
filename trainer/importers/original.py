"""The arithmetic of an XANESNET network in PyTorch, to compare an imported graph with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

Array = NDArray[np.float64]


class Original:
    """The original's arithmetic, by PyTorch in float32 from its own tensors; the mean spectrum."""

    def __init__(
        self,
        members: Sequence[Mapping[str, Array]],
        activation: str,
        fixed: tuple[float, ...],
        decoder: Array | None,
    ) -> None:
        self._members, self._activation = members, activation
        self._fixed, self._decoder = fixed, decoder

    def __call__(self, features: NDArray[np.float32]) -> Array:
        """(n, n_energy) float64 from features (n, n_features) float32."""
        last = np.broadcast_to(
            np.array(self._fixed, dtype=np.float32), (len(features), len(self._fixed))
        )
        x = np.concatenate([features, last], axis=1)
        outputs = [self._outputs(member, x) for member in self._members]
        mean: Array = np.mean(outputs, axis=0)
        return mean if self._decoder is None else mean @ self._decoder.T

    def _outputs(self, member: Mapping[str, Array], features: NDArray[np.float32]) -> Array:
        tensors = {k: torch.from_numpy(a).float() for k, a in member.items()}
        layers = sorted(int(k.split(".")[1]) for k in tensors if k.endswith(".bias"))
        x = torch.from_numpy(features)
        for layer in layers:
            weight, bias = (tensors[f"dense_layers.{layer}.{kind}"] for kind in ("weight", "bias"))
            x = functional.linear(x, weight, bias)
            if layer == layers[-1]:
                break
            if self._activation == "prelu":
                x = functional.prelu(x, tensors[f"dense_layers.{layer + 2}.weight"])
            else:
                x = getattr(functional, self._activation)(x)
        outputs: Array = x.double().numpy()
        return outputs
