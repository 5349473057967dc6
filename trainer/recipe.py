"""Every setting of a training, and the presets."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import combinations_with_replacement
from typing import Any, Literal

import numpy as np

from xas.descriptor import (
    AngularChannels,
    AngularGrid,
    DescriptorSpec,
    RadialChannels,
    RadialGrid,
)
from xas.descriptor_spec import ElementGroup
from xas.errors import Reject

Loss = Literal["l1", "l2"]
Activation = Literal["silu", "relu"]

CUTOFF_ANGSTROM = 4.5


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRecipe:
    """How a kernel machine is fitted beside the networks.

    points     at most so many labels become centres, the farthest from each other
    rank       dimensions of the metric in which distances are taken
    reach      median distance of two labels is 1 / reach of the kernel's length
    ridge      added to the diagonal of the kernel; the smaller, the larger the coefficients, and
               the more of float32 they use up
    rounds     how often the metric follows the gradients of the fit
    own_scale  as in Recipe, where the search for the metric begins
    without    features whose names begin so are not seen: it errs where the networks do not
    share      of the kernel in the mean of all members
    """

    points: int = 6144
    rank: int = 64
    reach: float = 1.0
    ridge: float = 1e-2
    rounds: int = 2
    without: str = "G4 H "
    own_scale: float = 0.25
    share: float = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How an ensemble is fitted.

    hidden, depth   width and number of the hidden layers; ``residual``: all but the first add to
                    what they take
    loss            "l1": sum|p - t| / sum t, the measure itself; "l2": mean squared error
    learning_rate   the peak of a one-cycle schedule, or constant where ``one_cycle`` is false
    average_decay   of the moving average of the weights, which is what is kept; 0: the last weights
    components      number of principal components of the spectra that the network gives
    kernel          of the kernel machine beside the networks; None: there is none
    own_scale       how much of its own scale a feature keeps: standardised values are multiplied by
                    (its standard deviation / the median one)^own_scale; 0: all count alike
    landmarks       training points that the novelty is measured from
    repeats         how often all labels are dealt to folds anew and cross-validated again
    threads         how many members are fitted at a time, each on one core
    whitening       variance below which a principal axis of the standardised features is not
                    amplified any more; 0: features go in as they are
    """

    descriptor: DescriptorSpec
    hidden: int = 384
    depth: int = 3
    residual: bool = True
    activation: Activation = "silu"
    dropout: float = 0.1
    loss: Loss = "l1"
    epochs: int = 100
    batch: int = 128
    learning_rate: float = 3e-3
    one_cycle: bool = True
    weight_decay: float = 0.3
    average_decay: float = 0.995
    components: int = 48
    whitening: float = 0.3
    own_scale: float = 0.75
    kernel: KernelRecipe | None = KernelRecipe()
    landmarks: int = 1024
    members: int = 4
    folds: int = 5
    repeats: int = 1
    seed: int = 2022
    threads: int = 2

    def as_dict(self) -> dict[str, Any]:
        """Every setting but the descriptor, for the manifest."""
        settings = asdict(self)
        del settings["descriptor"]
        return settings


# Elements that many ligands hold stand alone; those of few examples share a channel, and the last
# group takes every other element, so that none is invisible.
_RADIAL = ((1,), (6,), (7,), (8,), (9,), (15,), (16, 34), (17,), (35, 53))
_ANGULAR = ((1,), (6,), (7,), (8,), (9, 17, 35, 53))
_FEW_RADIAL = ((1,), (6,), (7,), (8,), (15, 16, 34))
_FEW_ANGULAR = ((6,), (7,), (8,), tuple(z for z in range(2, 119) if z not in (6, 7, 8)))
_SOLID_RADIAL = (
    (1,),
    (8,),
    (9, 17, 35, 53),
    (16, 34, 52),
    (7, 15, 33, 51),
    (5, 6, 14, 32),
    (29,),
    (3, 11, 19, 37, 55),
    (4, 12, 20, 38, 56),
    (*range(21, 29), *range(39, 47), *range(71, 79)),
    tuple(range(57, 71)),
)
_SOLID_ANGULAR = ((8,), (9, 17, 35, 53), (16, 34, 52), (29,))


def resolved_descriptor() -> DescriptorSpec:
    """Radial features of 10 groups of elements and angular ones of the 21 pairs of 6 groups.

    On held-out Fe complexes a cutoff of 4.5 angstrom does as well as 5 or 6 and costs less, broad
    radial functions do better than narrow ones, and high zeta (straight M-C-O) helps.
    """
    angles = _with_others(_ANGULAR)
    return _descriptor(_with_others(_RADIAL), angles, radii_angstrom=(1.5, 2.3, 4.0))


def lean_descriptor() -> DescriptorSpec:
    """Radial features of 6 groups, angular ones of 10 pairs; no angles of hydrogen atoms.

    Hydrogen is in half of all pairs of neighbours: without it angles cost half.
    """
    return _descriptor(_with_others(_FEW_RADIAL), _FEW_ANGULAR, radii_angstrom=(1.8, 4.0))


def materials_descriptor() -> DescriptorSpec:
    """Radial features of 12 groups of elements and angular ones of 15 pairs, within 6 angstrom.

    Crystals hold nearly every element: those of one column, or block, of the table stand together.
    """
    return _descriptor(
        _with_others(_SOLID_RADIAL),
        _with_others(_SOLID_ANGULAR),
        radii_angstrom=(1.8, 4.0),
        cutoff_angstrom=6.0,
        n_radial=30,
    )


def _descriptor(
    radial_groups: tuple[ElementGroup, ...],
    angular_groups: tuple[ElementGroup, ...],
    radii_angstrom: tuple[float, ...],
    cutoff_angstrom: float = CUTOFF_ANGSTROM,
    n_radial: int = 20,
) -> DescriptorSpec:
    mu = np.linspace(1.0, cutoff_angstrom, n_radial)
    eta = 1.0 / (2.0 * (1.5 * (mu[1] - mu[0])) ** 2)
    radial = RadialGrid(mu=tuple(mu.tolist()), eta=(float(eta),) * len(mu))
    zeta = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
    angular = AngularGrid.centred(radii_angstrom, (1.0, -1.0), zeta)
    pairs = tuple(combinations_with_replacement(angular_groups, 2))
    return DescriptorSpec(
        cutoff_angstrom=cutoff_angstrom,
        g2=radial,
        radial_channels=(RadialChannels(groups=radial_groups, grid=radial),),
        angular_channels=(AngularChannels(pairs=pairs, grid=angular),),
    )


def _with_others(groups: tuple[ElementGroup, ...]) -> tuple[ElementGroup, ...]:
    named = {number for group in groups for number in group}
    return (*groups, tuple(number for number in range(1, 119) if number not in named))


def default() -> Recipe:
    """The project's own recipe."""
    return Recipe(descriptor=resolved_descriptor())


def fast() -> Recipe:
    """One network and a small kernel on few features: trained in a minute, fast to predict."""
    return Recipe(
        descriptor=lean_descriptor(),
        hidden=224,
        dropout=0.05,
        epochs=80,
        batch=64,
        learning_rate=5e-3,
        weight_decay=1.0,
        whitening=0.1,
        own_scale=0.5,
        kernel=KernelRecipe(points=1024, share=0.5),
        landmarks=512,
        members=1,
    )


def materials() -> Recipe:
    """Three networks and a kernel on features for crystals; sites are many there, and alike."""
    return Recipe(
        descriptor=materials_descriptor(),
        hidden=256,
        epochs=60,
        members=3,
        kernel=KernelRecipe(without=""),
    )


def xanesnet_2022() -> Recipe:
    """The published network: 97 features, 2 x 512, Adam at 1e-4, batches of 32, 512 epochs.

    Judged as there, by 5 times 5-fold cross-validation, but with groups kept together.
    Rankine and Penfold, J. Chem. Phys. 156, 164102 (2022).
    """
    return Recipe(
        descriptor=DescriptorSpec.paper_2022(),
        hidden=512,
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
        own_scale=0.0,
        kernel=None,
        members=1,
        repeats=5,
    )


PRESETS = {
    "default": default,
    "fast": fast,
    "materials": materials,
    "xanesnet-2022": xanesnet_2022,
}


def recipe_of(preset: str, *, quick: bool = False, **changes: Any) -> Recipe:
    """A preset with some settings changed (None: not). ``quick``: seconds instead of minutes."""
    if preset not in PRESETS:
        raise Reject(f"no preset {preset!r}; there are {', '.join(PRESETS)}")
    recipe = PRESETS[preset]()
    if quick:
        recipe = replace(recipe, epochs=10, members=2, folds=2, repeats=1, hidden=32, batch=8)
    return replace(recipe, **{key: value for key, value in changes.items() if value is not None})
