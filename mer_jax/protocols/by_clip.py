"""Protocols that divide items or clips, and so test on people that were trained on."""

import numpy as np
from jaxtyping import Bool, Int

from mer_jax.errors import ConfigError, CorpusError
from mer_jax.protocols.plan import Fold, Plan, Split

# The paper's shares; training gets the remaining 0.8.
PAPER_TEST_FRACTION = 0.1

PAPER_DESCRIPTION = (
    "As published: every clip is augmented first, then clips and copies together are divided at random, 80 % to train, "
    "10 % to validate, 10 % to test. Copies of one clip, and clips of one person, so fall on both sides: the net is "
    "tested on films it has all but seen. The number says how well it recognises these clips again, not how well it "
    "would read a stranger's face."
)
CLIP_DESCRIPTION = (
    "By clip: the clips are dealt into groups that hold each class alike; each group is tested once by a net that has "
    "seen none of its clips, but as a rule other clips of the same people. About a tenth of the clips validates. Only "
    "training clips are augmented. Against the paper's protocol it shows what the copies are worth, against the "
    "subject-disjoint ones what knowing the faces is."
)


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


def split_by_clip(split: Split) -> Plan:
    """Clips dealt into `num_folds` groups with equal shares of each class, each tested once; people are not heeded.

    Differs: the paper divides once. Each clip is tested once here, as in `subject`, so that the two protocols differ
        in nothing but whether people are kept apart. `num_folds=10` gives the paper's shares, 80/10/10.
    """
    num_clips = len(split.labels)
    if split.num_folds < 2:
        raise ConfigError(f"num_folds is {split.num_folds}; expected 2 or more.")
    if num_clips < max(3, split.num_folds):
        raise CorpusError(
            f"{num_clips} clips for {split.num_folds} folds; protocol 'clip' needs at least as many clips as folds, "
            "and 3 in all (to train, to validate, to test). Lower num_folds, or use more clips."
        )
    rng = np.random.default_rng(split.seed)
    # In turn over the clips sorted by class: every group gets its share of each.
    shuffled = rng.permutation(num_clips)
    group = np.empty(num_clips, int)
    group[shuffled[np.argsort(split.labels[shuffled], kind="stable")]] = np.arange(num_clips) % split.num_folds
    folds = []
    for number in range(split.num_folds):
        test = group == number
        validation = _draw_validation(split, np.flatnonzero(~test), rng)
        folds.append(Fold(f"group{number + 1}", train=~(test | validation), validation=validation, test=test))
    return Plan(
        protocol="clip",
        description=CLIP_DESCRIPTION,
        clip=np.arange(num_clips),
        copy=np.zeros(num_clips, int),
        folds=tuple(folds),
        online_augmentation=True,
        disjoint_by="clip",
    )


def _draw_validation(split: Split, free: Int[np.ndarray, "r"], rng: np.random.Generator) -> Bool[np.ndarray, "n"]:
    """Draws about `validation_fraction` of all clips, of each class alike, and leaves one of each to training."""
    order = rng.permutation(free)
    _, kept = np.unique(split.labels[order], return_index=True)
    order = np.delete(order, kept)
    if not len(order):
        raise CorpusError(
            f"{len(free)} clips are left to train and to validate, one of each class; expected more. Use more clips."
        )
    order = order[np.argsort(split.labels[order], kind="stable")]
    number = min(len(order), max(1, round(split.validation_fraction * len(split.labels))))
    validation = np.zeros(len(split.labels), bool)
    validation[order[((np.arange(number) + 0.5) * len(order) / number).astype(int)]] = True
    return validation
