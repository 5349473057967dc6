"""Every setting of a training, and the presets."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from xas.descriptor import (
    AngularChannels,
    AngularGrid,
    DescriptorSpec,
    RadialChannels,
    RadialGrid,
)
from xas.errors import Reject

Loss = Literal["l1", "l2"]
Activation = Literal["silu", "relu"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How an ensemble is fitted.

    hidden, depth   width and number of the hidden layers; ``residual``: all but the first add to
                    what they take
    loss            "l1": sum|p - t| / sum t, the measure itself; "l2": mean squared error
    learning_rate   the peak of a one-cycle schedule, or constant where ``one_cycle`` is false
    average_decay   of the moving average of the weights, which is what is kept; 0: the last weights
    components      number of principal components of the spectra that the network gives
    whitening       variance below which a principal axis of the standardised features is not
                    amplified any more; 0: features go in as they are
    """

    descriptor: DescriptorSpec
    hidden: int = 512
    depth: int = 3
    residual: bool = True
    activation: Activation = "silu"
    dropout: float = 0.1
    loss: Loss = "l1"
    epochs: int = 100
    batch: int = 64
    learning_rate: float = 2e-3
    one_cycle: bool = True
    weight_decay: float = 0.3
    average_decay: float = 0.995
    components: int = 48
    whitening: float = 0.3
    members: int = 5
    folds: int = 5
    seed: int = 2022
    threads: int = 2

    def as_dict(self) -> dict[str, Any]:
        """Every setting but the descriptor, for the manifest."""
        settings = asdict(self)
        del settings["descriptor"]
        return settings


# Elements that many ligands are made of stand alone; those of few examples share a channel, and
# the last group takes every other element, so that none is invisible.
_SINGLE = ((1,), (6,), (7,), (8,), (9,), (15,), (16, 34), (17,), (35, 53))
_OTHERS = tuple(z for z in range(2, 119) if z not in {z for group in _SINGLE for z in group})
_HEAVY = tuple(range(2, 119))


def resolved_descriptor() -> DescriptorSpec:
    """Element-resolved radial features, and angular ones for pairs with and without hydrogen."""
    radial = RadialGrid.shifted(0.5, 6.0, 32)
    angular = AngularGrid.centred(
        (1.2, 1.6, 2.0, 2.5, 3.0, 3.6, 4.4, 5.5), (1.0, -1.0), (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
    )
    pairs = (((1,), (1,)), ((1,), _HEAVY), (_HEAVY, _HEAVY))
    weighted = AngularGrid.centred(
        np.linspace(0.5, 6.0, 8).tolist(), (1.0, -1.0), (1.0, 2.0, 4.0, 8.0)
    )
    return DescriptorSpec(
        g2=radial,
        g4=weighted,
        radial_channels=(RadialChannels(groups=(*_SINGLE, _OTHERS), grid=radial),),
        angular_channels=(AngularChannels(pairs=pairs, grid=angular),),
    )


def default() -> Recipe:
    """The project's own recipe."""
    return Recipe(descriptor=resolved_descriptor())


def xanesnet_2022() -> Recipe:
    """The published network: 97 features, 2 x 512, Adam at 1e-4, batches of 32, 512 epochs.

    Rankine and Penfold, J. Chem. Phys. 156, 164102 (2022).
    """
    return Recipe(
        descriptor=DescriptorSpec.paper_2022(),
        depth=2,
        residual=False,
        activation="relu",
        dropout=0.2,
        loss="l2",
        epochs=512,
        batch=32,
        learning_rate=1e-4,
        one_cycle=False,
        weight_decay=0.0,
        average_decay=0.0,
        components=226,
        whitening=0.0,
        members=1,
    )


PRESETS = {"default": default, "xanesnet-2022": xanesnet_2022}


def recipe_of(preset: str, *, quick: bool = False, **changes: Any) -> Recipe:
    """A preset with some settings changed (None: not). ``quick``: seconds instead of minutes."""
    if preset not in PRESETS:
        raise Reject(f"no preset {preset!r}; there are {', '.join(PRESETS)}")
    recipe = PRESETS[preset]()
    if quick:
        recipe = replace(recipe, epochs=10, members=2, folds=2, hidden=32, batch=8)
    return replace(recipe, **{key: value for key, value in changes.items() if value is not None})
