"""What a protocol is made of: folds as masks over items, and the measure of what leaks between their sides."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

from mer_jax.errors import ConfigError, CorpusError


@dataclass(frozen=True, eq=False)
class Fold:
    """One division of the items; no item is on two sides."""

    name: str
    train: Bool[np.ndarray, "m"]
    validation: Bool[np.ndarray, "m"]
    test: Bool[np.ndarray, "m"]

    def __post_init__(self):
        sides = {"train": self.train, "validation": self.validation, "test": self.test}
        for side, mask in sides.items():
            if not mask.any():
                raise CorpusError(
                    f"fold {self.name!r} has no {side} items; expected at least one on each side. "
                    "Use more clips or subjects, or fewer folds."
                )
        if (np.sum(list(sides.values()), axis=0) > 1).any():
            raise ValueError(f"fold {self.name!r} has an item on two sides")  # a fault in the protocol's own code


@dataclass(frozen=True, eq=False)
class Plan:
    """All folds of a protocol over one corpus.

    `disjoint_by` is the protocol's promise, the largest unit that is never on two sides of a fold: "subject" (and so
    its clips and their copies), "clip" (and so its copies), or "item" (which promises nothing).
    """

    protocol: str
    description: str  # for people: what is done and what it means for the number
    clip: Int[np.ndarray, "m"]  # source clip of every item, 0-based
    copy: Int[np.ndarray, "m"]  # 0 is the clip itself, c > 0 its c-th augmented copy
    folds: tuple[Fold, ...]
    online_augmentation: bool  # training clips are augmented anew in every epoch; else items carry their augmentation
    disjoint_by: Literal["subject", "clip", "item"]


@dataclass(frozen=True, eq=False)
class Split:
    """What a protocol may look at when it draws its folds: never a pixel."""

    subjects: tuple[str, ...]  # of every clip
    corpora: tuple[str, ...]  # of every clip
    labels: Int[np.ndarray, "n"]
    seed: int
    num_folds: int
    num_copies: int
    validation_fraction: float


def refuse_copies(plan: Plan, model: str) -> None:
    """For a model that takes clips as they are, such as one of motion features.

    Args:
        plan: The plan.
        model: What to call the model.

    Raises:
        ConfigError: The plan has augmented copies.
    """
    if plan.copy.any():
        raise ConfigError(
            f"protocol {plan.protocol!r} trains and tests on augmented copies, and {model} takes clips as they are: "
            "copies would be the clips themselves; expected --config.protocols=\"('subject',)\" or \"('loso',)\""
        )


def audit(plan: Plan, subjects: Sequence[str]) -> dict[str, float | int | str]:
    """Measures what leaks from the sides that shape a model into the side that scores it.

    Args:
        plan: The plan.
        subjects: The subject of every clip, as given to `make_plan`.

    Returns:
        `test_items`, over all folds; the promise, `disjoint_by`; and shares, 0 to 1, such as `test_clip_in_train`:
        test items whose source clip has an item in the training side of their fold. Likewise
        `test_subject_in_train`, both `test_..._in_validation`, and both `validation_..._in_train`.
    """
    units = {"clip": plan.clip, "subject": np.asarray(subjects)[plan.clip]}
    report: dict[str, float | int | str] = {
        "disjoint_by": plan.disjoint_by,
        "test_items": sum(int(fold.test.sum()) for fold in plan.folds),
    }
    for side, other in (("test", "train"), ("test", "validation"), ("validation", "train")):
        for unit, of_item in units.items():
            shared = [np.isin(of_item[getattr(fold, side)], of_item[getattr(fold, other)]) for fold in plan.folds]
            report[f"{side}_{unit}_in_{other}"] = float(np.concatenate(shared).mean())
    return report
