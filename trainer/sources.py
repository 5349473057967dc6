"""Where known data sets come from, by the hash of their content.

A model carries the source, licence and citation of what it learned from. Data that are not listed
here say "not stated", unless whoever trains states it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """What to write beside a model about its data."""

    source: str
    licence: str
    citation: str


UNKNOWN = Source("not stated", "not stated", "not stated")

FE_K_XANESNET = "49edca98054927ec8fc4e9c4555304d65d22523d528088aaae7f1ecb5846a745"

KNOWN = {
    FE_K_XANESNET: Source(
        "XANESNET reference set: 4,079 Fe complexes of tmQM with Fe K-edge spectra computed with "
        "FDMNES (the published training split)",
        "GPL-3.0 (XANESNET repository, spectra); structures of tmQM, MIT",
        "C. D. Rankine and T. J. Penfold, J. Chem. Phys. 156, 164102 (2022); "
        "D. Balcells and B. B. Skjelstad, J. Chem. Inf. Model. 60, 6135 (2020)",
    ),
    "ff12e9c432dff78ebb0c7806ac40b5113d45a1428e99432393e685ae816e39cd": Source(
        "563 Fe complexes of tmQM with Fe K-edge spectra computed with FEFF10 for this project",
        "structures of tmQM, MIT",
        "J. J. Rehr et al., Phys. Chem. Chem. Phys. 12, 5503 (2010); "
        "D. Balcells and B. B. Skjelstad, J. Chem. Inf. Model. 60, 6135 (2020)",
    ),
    "703dadd0fc037a591684092cc99d613021ee41c2f2b71f2d47981cb72a6acc17": Source(
        "OmniXAS: Cu sites in materials of the Materials Project with FEFF9 Cu K-edge spectra",
        "BSD-3-Clause; structures from the Materials Project, CC BY 4.0",
        "OmniXAS (AI-multimodal); A. Jain et al., APL Mater. 1, 011002 (2013)",
    ),
}


def source_of(sha256: str) -> Source:
    """What is known of the data with this hash."""
    return KNOWN.get(sha256, UNKNOWN)
