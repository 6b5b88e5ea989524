"""Folds as masks over items, and the share of items that leak between their sides."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

from mer_jax.errors import ConfigError, CorpusError


@dataclass(frozen=True, eq=False)
class Fold:
    """One division of the items; no item is on two sides. The validation side may be empty."""

    name: str
    train: Bool[np.ndarray, "m"]
    validation: Bool[np.ndarray, "m"]
    test: Bool[np.ndarray, "m"]

    def __post_init__(self):
        sides = {"train": self.train, "validation": self.validation, "test": self.test}
        for side, mask in sides.items():
            if side != "validation" and not mask.any():
                raise CorpusError(
                    f"fold {self.name!r} has no {side} items; expected at least one. "
                    "Use more clips or subjects, or fewer folds."
                )
        if (np.sum(list(sides.values()), axis=0) > 1).any():
            raise ValueError(f"fold {self.name!r} has an item on two sides")  # a bug in the protocol


@dataclass(frozen=True, eq=False)
class Plan:
    """All folds of a protocol over one corpus.

    `disjoint_by` is the largest unit that is never on two sides of a fold: "subject" (with all clips and copies of the
    person), "clip" (with its copies), or "item" (copies of a clip may be on two sides).
    """

    protocol: str
    description: str  # for readers: what is done and what the number estimates
    clip: Int[np.ndarray, "m"]  # source clip of each item, 0-based
    copy: Int[np.ndarray, "m"]  # 0 is the clip itself, c > 0 its c-th augmented copy
    folds: tuple[Fold, ...]
    online_augmentation: bool  # training clips are augmented anew in each epoch; else copies are augmented once
    disjoint_by: Literal["subject", "clip", "item"]


@dataclass(frozen=True, eq=False)
class Split:
    """What a protocol may use to draw its folds: never pixels."""

    subjects: tuple[str, ...]  # of each clip
    corpora: tuple[str, ...]  # of each clip
    labels: Int[np.ndarray, "n"]
    seed: int
    num_folds: int
    num_copies: int
    validation_share: float  # of all clips; 0 for no validation

    @property
    def sides(self) -> str:
        """The sides of a fold, for messages."""
        return "to train, to validate, to test" if self.validation_share else "to train, to test"

    @property
    def num_sides(self) -> int:
        """Number of sides of a fold, each of which needs a subject or clip of its own."""
        return 3 if self.validation_share else 2


def refuse_copies(plan: Plan, model: str) -> None:
    """Checks a plan for a model that cannot augment clips, such as one of motion features.

    Args:
        plan: The plan.
        model: Name of the model, for the message.

    Raises:
        ConfigError: The plan has augmented copies.
    """
    if plan.copy.any():
        raise ConfigError(
            f"protocol {plan.protocol!r} trains and tests on augmented copies, and {model} takes clips as they are: "
            "copies would equal their clips; expected --config.protocols=\"('subject',)\" or \"('loso',)\""
        )


def audit(plan: Plan, subjects: Sequence[str]) -> dict[str, float | int | str]:
    """Measures how many items leak between the sides of the folds.

    Args:
        plan: The plan.
        subjects: Subject of each clip, as given to `make_plan`.

    Returns:
        `test_items`, their number over all folds; `disjoint_by`; and shares, 0 to 1, such as `test_clip_in_train`, the
        share of test items whose source clip also has an item on the training side of the fold. Likewise
        `test_subject_in_train`, both `test_..._in_validation`, and both `validation_..._in_train` (0 without
        validation).
    """
    units = {"clip": plan.clip, "subject": np.asarray(subjects)[plan.clip]}
    report: dict[str, float | int | str] = {
        "disjoint_by": plan.disjoint_by,
        "test_items": sum(int(fold.test.sum()) for fold in plan.folds),
    }
    for side, other in (("test", "train"), ("test", "validation"), ("validation", "train")):
        for unit, of_item in units.items():
            shared = [np.isin(of_item[getattr(fold, side)], of_item[getattr(fold, other)]) for fold in plan.folds]
            joined = np.concatenate(shared)
            report[f"{side}_{unit}_in_{other}"] = float(joined.mean()) if len(joined) else 0.0
    return report
