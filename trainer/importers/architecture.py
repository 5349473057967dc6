"""The shape of a perceptron, by which its weights are checked."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

ACTIVATIONS = ("relu", "silu", "gelu", "prelu", "tanh", "sigmoid", "elu", "selu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Widths of all layers from the features to the outputs, and what lies between them."""

    widths: tuple[int, ...]
    activation: str

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor of the original's file; a layer is Linear, Dropout, activation."""
        shapes: dict[str, tuple[int, ...]] = {}
        for i, (n_in, n_out) in enumerate(pairwise(self.widths)):
            shapes[f"dense_layers.{3 * i}.weight"] = (n_out, n_in)
            shapes[f"dense_layers.{3 * i}.bias"] = (n_out,)
            if self.activation == "prelu" and i < len(self.widths) - 2:
                shapes[f"dense_layers.{3 * i + 2}.weight"] = (1,)
        return shapes
