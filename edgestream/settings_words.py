"""Settings as words of a command line, ``--set name=value``, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from stream.settings import Settings
from xas.errors import Reject

DEFAULTS = Settings()


def settings_as_options(settings: Settings) -> Sequence[str]:
    """What differs from the defaults, as ``--set name=value``."""
    changed = (
        (f.name, getattr(settings, f.name))
        for f in fields(settings)
        if getattr(settings, f.name) != getattr(DEFAULTS, f.name)
    )
    return [word for name, value in changed for word in ("--set", f"{name}={value}")]


def settings_from_options(words: Sequence[str]) -> Settings:
    """The inverse; Reject names the settings there are."""
    kinds = {name: type(getattr(DEFAULTS, name)) for name in (f.name for f in fields(Settings))}
    values: dict[str, float] = {}
    for word in words:
        name, _, text = word.partition("=")
        try:
            values[name] = kinds[name](text)
        except (KeyError, ValueError):
            raise Reject(
                f"--set {word!r}: takes NAME=NUMBER with a name of {', '.join(kinds)}"
            ) from None
    return Settings(**values)  # type: ignore[arg-type]
