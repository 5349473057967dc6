"""Pictures of the page: for the docs, and to look at colours."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from matplotlib.image import imread
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page

DOCS = Path(__file__).parents[2] / "docs"
MOST_BYTES = 150_000


def picture(page: Page, name: str, folder: Path) -> None:
    """Take one; with EDGESTREAM_SCREENSHOTS=1 into docs/, where it replaces the one before."""
    path = (DOCS if os.environ.get("EDGESTREAM_SCREENSHOTS") else folder) / name
    page.mouse.move(0, 0)
    taken = Image.open(io.BytesIO(page.screenshot(full_page=True)))
    taken.convert("RGB").quantize(96).save(path, optimize=True)
    assert path.stat().st_size < MOST_BYTES


def commonest_colour(png: bytes) -> NDArray[np.float64]:
    """(3,) red, green, blue up to 255, of the pixels that are not nearly white."""
    pixels = 255.0 * imread(io.BytesIO(png), format="png")[..., :3].reshape(-1, 3)
    dark = pixels[pixels.min(axis=1) < 200]
    colours, counts = np.unique(dark.round(), axis=0, return_counts=True)
    return np.asarray(colours[counts.argmax()], dtype=float)
