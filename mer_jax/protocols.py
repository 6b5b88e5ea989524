"""Protocols: which clips train, which stop the training, which are tested.

A `Plan` is a value: boolean masks over *items*. An item is a clip or one of its
augmented copies, and knows its source clip. Protocols that promise
that no subject is on two sides build their masks from sets of subjects, so that
no clip can stray; the promise is checked once more before a plan is returned.

Nothing but the training side of a fold may be looked at when class weights,
normalisation or augmentation are fitted, nothing but its validation side when the epoch is
chosen. The masks are all that training gets to know of a protocol.

A new protocol is one function from `Split` to `Plan` and a line in `PROTOCOLS`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

from mer_jax.errors import ConfigError, CorpusError, near_names

# The paper's shares; training gets the remaining 0.8.
PAPER_TEST_FRACTION = 0.1
# Orders of the subjects that are tried when groups are balanced. More gain little and cost time.
ORDERS_TRIED = 16


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
    labels: Int[np.ndarray, "n"]
    seed: int
    num_folds: int
    num_copies: int
    validation_fraction: float


PAPER_DESCRIPTION = (
    "As published: every clip is augmented first, then clips and copies together are divided at random, 80 % to train, "
    "10 % to validate, 10 % to test. Copies of one clip, and clips of one person, so fall on both sides: the net is "
    "tested on films it has all but seen. The number says how well it recognises these clips again, not how well it "
    "would read a stranger's face."
)
SUBJECT_DESCRIPTION = (
    "Subject-disjoint: the people are dealt into groups balanced by clips and classes; each group is tested once by a "
    "net that has seen none of its people, in training or in the choice of the epoch. About a tenth of the clips, of "
    "other people again, validates. Only training clips are augmented. The number estimates accuracy on strangers."
)
LOSO_DESCRIPTION = (
    "Leave one subject out: each person is tested once by a net trained on the others. About a tenth of the clips, of "
    "people in turn from those others, validates. Only training clips are augmented. The number estimates accuracy on "
    "strangers; it is the field's customary protocol."
)


def make_plan(
    name: str,
    *,
    subjects: Sequence[str],
    labels: Int[np.ndarray, "n"],
    seed: int,
    num_folds: int = 5,
    num_copies: int = 2,
    validation_fraction: float = 0.1,
) -> Plan:
    """Draws the folds of a protocol.

    Args:
        name: A key of `PROTOCOLS`.
        subjects: The subject of every clip.
        labels: The class index of every clip, 0-based.
        seed: Same seed, same folds.
        num_folds: Groups that subjects are dealt into (`subject`).
        num_copies: Augmented copies of each clip (`paper`).
        validation_fraction: Share of all clips that validation should hold, above 0 and below 0.5.

    Returns:
        The plan.

    Raises:
        ConfigError: An unknown protocol or an option out of its range.
        CorpusError: Too few subjects or clips, or a class that a training side would lack.

    Example:
        >>> plan = make_plan("loso", subjects=["s1", "s1", "s2", "s2", "s3", "s3"], labels=np.array([0, 1] * 3), seed=0)
        >>> [fold.name for fold in plan.folds]
        ['s1', 's2', 's3']
        >>> plan.folds[0].test
        array([ True,  True, False, False, False, False])
    """
    check_protocols([name])
    if len(subjects) != len(labels):
        raise CorpusError(f"{len(subjects)} subjects for {len(labels)} labels: expected one of each for every clip.")
    if not 0.0 < validation_fraction < 0.5:
        raise ConfigError(f"validation_fraction is {validation_fraction}; expected above 0 and below 0.5.")
    plan = PROTOCOLS[name](Split(tuple(subjects), labels, seed, num_folds, num_copies, validation_fraction))
    _check_training_classes(plan, labels, subjects)
    _check_promise(plan, subjects)
    return plan


def check_protocols(names: Sequence[str]) -> None:
    """Refuses unknown protocols, before any corpus is read.

    Raises:
        ConfigError: An unknown name; the near ones are offered.
    """
    for name in names:
        if name not in PROTOCOLS:
            raise ConfigError(f"unknown protocol {name!r}; {near_names(name, PROTOCOLS)}")


def split_paper(split: Split) -> Plan:
    """Augment first, then divide the items at random 80/10/10: one fold.

    Source: section 4 ("80% for training, 10% for testing and 10% for validation"). That the division is over
        augmented copies is not said; the error counts of section 6 add up with nothing else.
    """
    if split.num_copies < 1:
        raise ConfigError(
            f"num_copies is {split.num_copies}; protocol 'paper' divides augmented copies, give 1 or more."
        )
    num_clips, per_clip = len(split.labels), 1 + split.num_copies
    num_items = num_clips * per_clip
    num_test = max(1, round(PAPER_TEST_FRACTION * num_items))
    num_validation = max(1, round(split.validation_fraction * num_items))
    order = np.random.default_rng(split.seed).permutation(num_items)
    side = np.zeros(num_items, int)
    side[order[:num_test]] = 2
    side[order[num_test : num_test + num_validation]] = 1
    return Plan(
        protocol="paper",
        description=PAPER_DESCRIPTION,
        clip=np.repeat(np.arange(num_clips), per_clip),
        copy=np.tile(np.arange(per_clip), num_clips),
        folds=(Fold("random", train=side == 0, validation=side == 1, test=side == 2),),
        online_augmentation=False,
        disjoint_by="item",
    )


def split_by_subject(split: Split) -> Plan:
    """Subjects dealt into `num_folds` balanced groups, each tested once."""
    names, counts = _count_classes(split)
    if split.num_folds < 2:
        raise ConfigError(f"num_folds is {split.num_folds}; expected 2 or more.")
    if len(names) < max(3, split.num_folds):
        raise CorpusError(
            f"{len(names)} subjects for {split.num_folds} folds; protocol 'subject' needs at least as many subjects as "
            "folds, and 3 in all (to train, to validate, to test). Lower num_folds, or use more subjects."
        )
    group = _deal(counts, split.num_folds, np.random.default_rng(split.seed))
    tests = {f"group{fold + 1}": group == fold for fold in range(split.num_folds)}
    return _plan_over_subjects("subject", SUBJECT_DESCRIPTION, split, tests)


def split_loso(split: Split) -> Plan:
    """Leave one subject out: one fold for every subject, named after them."""
    names, _ = _count_classes(split)
    if len(names) < 3:
        raise CorpusError(
            f"{len(names)} subjects; protocol 'loso' needs at least 3 (to train, to validate, to test). Add subjects."
        )
    tests = {str(name): names == name for name in names}
    return _plan_over_subjects("loso", LOSO_DESCRIPTION, split, tests)


PROTOCOLS: dict[str, Callable[[Split], Plan]] = {
    "paper": split_paper,
    "subject": split_by_subject,
    "loso": split_loso,
}


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


def _count_classes(split: Split) -> tuple[np.ndarray, Int[np.ndarray, "s k"]]:
    """Names of the subjects, sorted, and clips of each class they have."""
    names, subject = np.unique(np.asarray(split.subjects), return_inverse=True)
    classes, label = np.unique(split.labels, return_inverse=True)
    counts = np.zeros((len(names), len(classes)), int)
    np.add.at(counts, (subject, label), 1)
    return names, counts


def _shares(counts: Int[np.ndarray, "s k"]) -> np.ndarray:
    """Every subject's share of all clips and of each class's clips: [s, 1 + k], columns sum to 1."""
    with_total = np.concatenate([counts.sum(1, keepdims=True), counts], axis=1)
    return with_total / with_total.sum(0)


def _deal(counts: Int[np.ndarray, "s k"], num_groups: int, rng: np.random.Generator) -> Int[np.ndarray, "s"]:
    """Deals subjects into groups of nearly equal shares of the clips and of each class.

    Greedy: in a shuffled order, each subject goes where the squared shares grow least. The
    best of several orders is kept. No group stays empty, for an empty one always grows least.
    """
    shares = _shares(counts)
    best_cost, best_group = np.inf, np.zeros(len(shares), int)
    for _ in range(ORDERS_TRIED):
        group, held = np.zeros(len(shares), int), np.zeros((num_groups, shares.shape[1]))
        for subject in rng.permutation(len(shares)):
            group[subject] = np.argmin(held @ shares[subject])
            held[group[subject]] += shares[subject]
        cost = (held**2).sum()
        if cost < best_cost:
            best_cost, best_group = cost, group
    return best_group


def _plan_over_subjects(protocol: str, description: str, split: Split, tests: dict[str, np.ndarray]) -> Plan:
    """A plan whose sides are sets of subjects; `tests` maps a fold's name to its tested subjects, as a mask."""
    names, counts = _count_classes(split)
    subject = np.searchsorted(names, np.asarray(split.subjects))
    rng = np.random.default_rng([split.seed, 1])  # another stream than the one that dealt the groups
    times_used = np.zeros(len(names), int)
    folds = []
    for name, test in tests.items():
        _check_only_holders(name, names, counts, test)
        validation = _choose_validation(name, counts, test, times_used, split.validation_fraction, rng)
        times_used += validation
        train = ~(test | validation)
        folds.append(Fold(name, train=train[subject], validation=validation[subject], test=test[subject]))
    return Plan(
        protocol=protocol,
        description=description,
        clip=np.arange(len(subject)),
        copy=np.zeros(len(subject), int),
        folds=tuple(folds),
        online_augmentation=True,
        disjoint_by="subject",
    )


def _choose_validation(
    fold: str,
    counts: Int[np.ndarray, "s k"],
    test: Bool[np.ndarray, "s"],
    times_used: Int[np.ndarray, "s"],
    fraction: float,
    rng: np.random.Generator,
) -> Bool[np.ndarray, "s"]:
    """Subjects outside the test side that hold about `fraction` of all clips and of each class.

    Those who validated least so far are asked first, so that the folds take turns. A subject joins
    only if that brings the share of clips nearer to `fraction` and leaves every class in training. Where all are
    too large for that, the smallest one validates. The best balanced of several orders is kept.
    """
    shares = _shares(counts)
    # Whoever could validate without taking the last clips of a class out of training.
    others = ~test & ~np.eye(len(counts), dtype=bool)  # row: the subject that would leave
    free = np.flatnonzero(~test & (others @ counts > 0).all(1))
    if not free.size:
        raise CorpusError(
            f"fold {fold!r} finds nobody to validate: {int((~test).sum())} subjects are left beside those tested, and "
            "taking any of them would leave a class without training clips. Use more folds or more subjects."
        )
    best_cost, best_chosen = np.inf, np.zeros(len(counts), bool)
    for _ in range(ORDERS_TRIED):
        chosen, held = np.zeros(len(counts), bool), np.zeros(shares.shape[1])
        for subject in free[np.lexsort([rng.random(free.size), times_used[free]])]:
            trainers = others[subject] & ~chosen
            nearer = abs(held[0] + shares[subject, 0] - fraction) < abs(held[0] - fraction)
            if nearer and counts[trainers].any(0).all():
                chosen[subject] = True
                held += shares[subject]
        if not chosen.any():
            chosen[free[np.argmin(shares[free, 0])]] = True
        cost = ((chosen @ shares - fraction) ** 2).sum()
        if cost < best_cost:
            best_cost, best_chosen = cost, chosen
    return best_chosen


def _check_only_holders(
    fold: str, names: np.ndarray, counts: Int[np.ndarray, "s k"], test: Bool[np.ndarray, "s"]
) -> None:
    """Refuses a fold that tests everybody who has a class: nobody would be left to learn it from."""
    missing = np.flatnonzero(~counts[~test].any(0))
    if missing.size:
        holders = [str(name) for name in names[counts[:, missing[0]] > 0]]
        raise CorpusError(
            f"fold {fold!r} tests everybody who has class {missing[0]} (counted from 0): {', '.join(holders)}. "
            "Expected each class in somebody left to train on. Leave that class out, merge it, or add subjects."
        )


def _check_training_classes(plan: Plan, labels: Int[np.ndarray, "n"], subjects: Sequence[str]) -> None:
    for fold in plan.folds:
        missing = np.setdiff1d(labels, labels[plan.clip[fold.train]])
        if missing.size:
            holders = sorted({subjects[clip] for clip in np.flatnonzero(labels == missing[0])})
            raise CorpusError(
                f"fold {fold.name!r} of protocol {plan.protocol!r} trains without class {missing[0]}, which only "
                f"{', '.join(holders)} has; expected every class in training. Use more clips of it, or another seed."
            )


def _check_promise(plan: Plan, subjects: Sequence[str]) -> None:
    """The last line of defence: a protocol whose masks break its promise never leaves this file."""
    report = audit(plan, subjects)
    units = {"subject": ("clip", "subject"), "clip": ("clip",), "item": ()}[plan.disjoint_by]
    leaks = {key: share for key, share in report.items() if any(f"_{unit}_in_" in key for unit in units) and share}
    if leaks:
        raise AssertionError(f"protocol {plan.protocol!r} promises disjoint {plan.disjoint_by}s, but: {leaks}")
