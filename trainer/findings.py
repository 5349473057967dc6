"""What is found in a batch of labels: plain data, for programs and for people."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Decision = Literal["accept", "quarantine", "refuse"]


class Limits(Struct, frozen=True, kw_only=True):
    """Beyond which figures are not those of honest labels; docs/gate.md says what these have.

    scale         ratio of the areas, label to prediction, or its inverse
    shift_ev      of a batch of ``least_labels`` or more; of a smaller one twice that
    error         median error of a batch in units of its error bars
    odd           error of one label in units of its error bars, times its novelty where that is
                  above 1
    odd_share     of a batch; fewer odd labels are set aside and the others taken
    misplaced     mean share of other predictions that are nearer to a label than its own
    alike         errors by the distance of predictions, above which ``misplaced`` means nothing
    pattern       share of the errors that is the same for all labels, beyond chance
    novelty       median from which on errors alone refuse nothing
    contradiction percent, between two spectra of one structure
    least_labels  for what is known of batches only
    handful       labels that can be said to err alike
    """

    scale: float = 1.15
    shift_ev: float = 1.0
    error: float = 1.6
    odd: float = 4.0
    odd_share: float = 0.1
    misplaced: float = 0.25
    alike: float = 1.6
    pattern: float = 0.5
    novelty: float = 1.0
    contradiction: float = 2.0
    least_labels: int = 8
    handful: int = 5


HONEST = Limits()


class Reason(Struct, frozen=True, kw_only=True):
    """What speaks against a batch or some of its labels: a kind for programs ("element",
    "energies", "scale", "shift", "shuffled", "theory", "errors", "unmatched", "contradiction",
    "repeated", "odd"), words for people, the figure and its limit."""

    kind: str
    words: str
    figure: float
    limit: float


class Suspicion(Struct, frozen=True, kw_only=True):
    """What is to become of a batch of n labels.

    decision  "accept": learn from all but ``set_aside``; "quarantine": from none until somebody
              has looked; "refuse": from none
    set_aside indices of odd, contradicting or repeated labels in a batch that is accepted
    """

    decision: Decision
    reasons: tuple[Reason, ...]
    set_aside: tuple[int, ...]
    n_labels: int
