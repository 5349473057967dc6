"""The descriptor and its neighbours on one core: 97 features of the paper, float64."""

from __future__ import annotations

import numpy as np

from edgestream.bench.request import Request, Section
from edgestream.bench.sampling import Figure, cpu_seconds
from edgestream.bench.structures import Sample, complexes, condensed
from xas.descriptor import Descriptor, DescriptorSpec
from xas.neighbours import Neighbours, neighbours_of_sites
from xas.wacsf import kernel_name, wacsf

SIZES = {"1000": 1_000, "100000": 100_000}  # atoms of the larger frames


def measure_kernel(request: Request) -> Section:
    """Features from given neighbours: microseconds an absorber, and the error against numpy."""
    spec = DescriptorSpec.paper_2022()
    figures: dict[str, Figure] = {}
    errors: list[float] = []
    samples = {"44": complexes(request.data), "89": condensed()}
    for name, sample in samples.items():
        near = _near(sample)
        figures[f"kernel_us_{name}"] = _kernel_us(spec, near, request.samples)
        errors.append(relative_error(spec, near))
    figures["kernel_max_relative_error"] = Figure.of([max(errors)])
    used = {f"kernel {name}": sample.name for name, sample in samples.items()}
    return Section(figures=figures, used={**used, "kernel": kernel_name()})


def measure_neighbours(request: Request) -> Section:
    """Finding the neighbours: microseconds an absorber, and as a share of the kernel's time.

    As a call of its own: the structures' checks and the copy out to numpy are in it, which the
    joint call of a worker does without.
    """
    spec = DescriptorSpec.paper_2022()
    samples = {"44": complexes(request.data), "89": condensed()}
    samples |= {name: condensed(n) for name, n in SIZES.items()}
    figures: dict[str, Figure] = {}
    for name, sample in samples.items():
        n = 3 if sample.structures.n_atoms >= 100_000 else request.samples
        alone = _neighbours_us(spec, sample, n)
        kernel = _kernel_us(spec, _near(sample), n)
        figures[f"neighbours_us_{name}"] = alone
        figures[f"neighbours_share_{name}"] = alone.scaled(1 / kernel.median)
    used = {f"neighbours {name}": sample.name for name, sample in samples.items()}
    return Section(figures=figures, used=used)


def relative_error(spec: DescriptorSpec, near: Neighbours) -> float:
    """The largest error against numpy, relative to the largest feature of its group."""
    ours, _ = wacsf(spec, near)
    reference, _ = wacsf(spec, near, "numpy")
    return max(
        float(np.abs(ours[:, part] - reference[:, part]).max() / np.abs(reference[:, part]).max())
        for part in Descriptor(spec).groups.values()
    )


def _near(sample: Sample) -> Neighbours:
    return neighbours_of_sites(
        sample.structures, sample.sites, DescriptorSpec.paper_2022().cutoff_angstrom
    )


def _neighbours_us(spec: DescriptorSpec, sample: Sample, repeat: int) -> Figure:
    def find() -> Neighbours:
        return neighbours_of_sites(sample.structures, sample.sites, spec.cutoff_angstrom)

    return cpu_seconds(find, repeat=repeat).scaled(1e6 / len(sample.sites))


def _kernel_us(spec: DescriptorSpec, near: Neighbours, repeat: int) -> Figure:
    return cpu_seconds(lambda: wacsf(spec, near), repeat=repeat).scaled(1e6 / len(near))
