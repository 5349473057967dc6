"""Whether what a store holds is what it says: hashes, the model's own check input, aliases."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from msgspec import Struct

from model_store.bundle import Bundle
from model_store.runtime import Session
from model_store.store import Store
from xas.descriptor import Descriptor
from xas.errors import EdgestreamError


class Finding(Struct, frozen=True):
    """What was found of a version, an alias or a leftover; no ``fault``: it is as it should be."""

    subject: str
    fault: str = ""


def verify(store: Store, name: str | None = None, version: int | None = None) -> Iterator[Finding]:
    """Every version and every alias of a model, or of all; one after the other, as they are found.

    A version is good where all its hashes agree and ONNX Runtime gives the stored answer to the
    stored check input. Raises UnknownModel for a name that is not there.
    """
    for each in store.names() if name is None else [name]:
        aliases = store.of(each)
        for number in store.versions(each) if version is None else [version]:
            yield Finding(f"{each}@{number}", fault_of_version(store, each, number))
        if version is None:
            for alias, number in aliases.now().items():
                there = number in store.versions(each)
                yield Finding(
                    f"{each}@{alias}",
                    "" if there else f"version {number} is not there; promote one",
                )
            for leftover in store.home.leftovers(each, store.clock()):
                yield Finding(
                    f"{each}/{leftover}", "half a copy, which nobody sees; edgestream models gc"
                )


def fault_of_version(store: Store, name: str, version: int) -> str:
    """What is wrong with a version; empty: nothing."""
    try:
        return parity_fault(store.get(f"{name}@{version}"))
    except EdgestreamError as error:
        return str(error)


def parity_fault(bundle: Bundle) -> str:
    """How the model's answer to its own check input differs from the stored one; empty: not."""
    check = bundle.check()
    descriptor = Descriptor(bundle.manifest.descriptor)
    features = descriptor.featurise(check.batch, check.sites).values.astype(np.float32)
    return Session(bundle).check_fault(features, check) or ""
