"""What goes to the browser, as JSON: arrays as lists, what is not a number as null."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

_ENCODER = msgspec.json.Encoder(
    enc_hook=lambda value: (
        value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
    )
)


def letter(value: Any) -> bytes:
    """One line of JSON."""
    return _ENCODER.encode(value)
