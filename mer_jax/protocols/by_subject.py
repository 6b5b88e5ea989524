"""Subject-disjoint protocols: their masks are built from sets of subjects, so no clip can stray."""

import numpy as np
from jaxtyping import Bool, Int

from mer_jax.errors import ConfigError, CorpusError
from mer_jax.protocols.plan import Fold, Plan, Split

# Random orders of the subjects that are tried to balance groups; more gain little.
ORDERS_TRIED = 16

SUBJECT_DESCRIPTION = (
    "Subject-disjoint: people are divided into groups balanced by clips and classes. Each group is tested once by a "
    "network that has seen none of its people, neither in training nor in the choice of the epoch. About a tenth of "
    "the clips, of other people, validates. Only training clips are augmented. The number estimates accuracy on "
    "strangers."
)
LOSO_DESCRIPTION = (
    "Leave one subject out: each person is tested once by a network trained on the others. About a tenth of the "
    "clips, of other people who take turns, validates. Only training clips are augmented. The number estimates "
    "accuracy on strangers; this is the field's customary protocol."
)
COMPOSITE_DESCRIPTION = (
    "Composite of MEGC 2019: clips of several corpora together, leave one subject out. Each person is tested once by a "
    "network trained on all others, of every corpus. Scores are pooled over all clips, and over each corpus alone. The "
    "number estimates accuracy on strangers recorded as in these corpora."
)
CROSS_CORPUS_DESCRIPTION = (
    "Across corpora: each corpus is tested once by a network that has seen no clip of it. About a tenth of the clips, "
    "of people of the other corpora, validates. Only training clips are augmented. The number estimates accuracy on "
    "strangers under another camera and in another laboratory."
)


def split_by_subject(split: Split) -> Plan:
    """Divides subjects into `num_folds` balanced groups, each tested once."""
    names, counts = _count_classes(split)
    if split.num_folds < 2:
        raise ConfigError(f"num_folds is {split.num_folds}; expected 2 or more.")
    if len(names) < max(split.num_sides, split.num_folds):
        raise CorpusError(
            f"{len(names)} subjects for {split.num_folds} folds; protocol 'subject' needs at least as many subjects as "
            f"folds, and {split.num_sides} in all ({split.sides}). Lower num_folds, or use more subjects."
        )
    group = _deal(counts, split.num_folds, np.random.default_rng(split.seed))
    tests = {f"group{fold + 1}": group == fold for fold in range(split.num_folds)}
    return _plan_over_subjects("subject", SUBJECT_DESCRIPTION, split, tests)


def split_loso(split: Split) -> Plan:
    """Leave one subject out: one fold for each subject, named after them."""
    names, _ = _count_classes(split)
    if len(names) < split.num_sides:
        raise CorpusError(
            f"{len(names)} subjects; protocol 'loso' needs at least {split.num_sides} ({split.sides}). Add subjects."
        )
    tests = {str(name): names == name for name in names}
    return _plan_over_subjects("loso", LOSO_DESCRIPTION, split, tests)


def split_composite(split: Split) -> Plan:
    """Leave one subject out over several corpora together.

    Source: See et al., "MEGC 2019", composite database evaluation: 68 subjects of three corpora.
    """
    _list_corpora(split, "composite")
    names, _ = _count_classes(split)
    tests = {str(name): names == name for name in names}
    return _plan_over_subjects("composite", COMPOSITE_DESCRIPTION, split, tests)


def split_cross_corpus(split: Split) -> Plan:
    """Leave one corpus out: one fold for each corpus, named after it.

    Source: Varanka et al., arXiv 2211.11425, who detect action units.
    """
    names, _ = _count_classes(split)
    corpus_of = dict(zip(split.subjects, split.corpora, strict=True))
    corpus = np.array([corpus_of[name] for name in names.tolist()])
    tests = {name: corpus == name for name in _list_corpora(split, "cross_corpus")}
    return _plan_over_subjects("cross_corpus", CROSS_CORPUS_DESCRIPTION, split, tests)


def _list_corpora(split: Split, protocol: str) -> list[str]:
    corpora = sorted(set(split.corpora))
    if len(corpora) < 2:
        raise CorpusError(
            f"all clips are of a single corpus{f', {corpora[0]}' if corpora[0] else ''}; protocol {protocol!r} needs "
            "two or more, as `megc2019` has. Use a config of a composite, or protocol 'loso'."
        )
    return corpora


def _count_classes(split: Split) -> tuple[np.ndarray, Int[np.ndarray, "s k"]]:
    """Names of the subjects, sorted, and their number of clips of each class."""
    names, subject = np.unique(np.asarray(split.subjects), return_inverse=True)
    classes, label = np.unique(split.labels, return_inverse=True)
    counts = np.zeros((len(names), len(classes)), int)
    np.add.at(counts, (subject, label), 1)
    return names, counts


def _shares(counts: Int[np.ndarray, "s k"]) -> np.ndarray:
    """Each subject's share of all clips and of the clips of each class: [s, 1 + k]; columns sum to 1."""
    with_total = np.concatenate([counts.sum(1, keepdims=True), counts], axis=1)
    return with_total / with_total.sum(0)


def _deal(counts: Int[np.ndarray, "s k"], num_groups: int, rng: np.random.Generator) -> Int[np.ndarray, "s"]:
    """Divides subjects into groups with nearly equal shares of the clips and of each class.

    Greedy: in a random order, each subject joins the group whose sum of squared shares grows least. The best of several
    orders is kept. No group stays empty, because an empty group grows least.
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
    """Creates a plan whose sides are sets of subjects; `tests` maps fold names to masks of tested subjects."""
    names, counts = _count_classes(split)
    subject = np.searchsorted(names, np.asarray(split.subjects))
    rng = np.random.default_rng([split.seed, 1])  # not the random stream that divided the groups
    times_used = np.zeros(len(names), int)
    folds = []
    for name, test in tests.items():
        _check_only_holders(name, names, counts, test)
        validation = _choose_validation(name, counts, test, times_used, split.validation_share, rng)
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
    share: float,
    rng: np.random.Generator,
) -> Bool[np.ndarray, "s"]:
    """Chooses subjects outside the test side who have about `share` of all clips and of each class.

    Those who validated least in earlier folds come first. A subject is added only if that brings the share of clips
    nearer to `share` and leaves every class in training. If all are too large for that, the smallest one validates.
    The best balanced of several random orders is kept.
    """
    if not share:
        return np.zeros(len(counts), bool)
    shares = _shares(counts)
    # Subjects who could validate without taking the last clips of a class out of training.
    others = ~test & ~np.eye(len(counts), dtype=bool)  # row: the subject who would leave
    free = np.flatnonzero(~test & (others @ counts > 0).all(1))
    if not free.size:
        raise CorpusError(
            f"fold {fold!r} has no subject for validation: taking any of the {int((~test).sum())} subjects who are not "
            "tested would leave a class without training clips. Use more folds, more subjects, or validation_share=0."
        )
    best_cost, best_chosen = np.inf, np.zeros(len(counts), bool)
    for _ in range(ORDERS_TRIED):
        chosen, held = np.zeros(len(counts), bool), np.zeros(shares.shape[1])
        for subject in free[np.lexsort([rng.random(free.size), times_used[free]])]:
            trainers = others[subject] & ~chosen
            nearer = abs(held[0] + shares[subject, 0] - share) < abs(held[0] - share)
            if nearer and counts[trainers].any(0).all():
                chosen[subject] = True
                held += shares[subject]
        if not chosen.any():
            chosen[free[np.argmin(shares[free, 0])]] = True
        cost = ((chosen @ shares - share) ** 2).sum()
        if cost < best_cost:
            best_cost, best_chosen = cost, chosen
    return best_chosen


def _check_only_holders(
    fold: str, names: np.ndarray, counts: Int[np.ndarray, "s k"], test: Bool[np.ndarray, "s"]
) -> None:
    """Raises if a fold tests everybody who has a class: nobody would be left to train it on."""
    missing = np.flatnonzero(~counts[~test].any(0))
    if missing.size:
        holders = [str(name) for name in names[counts[:, missing[0]] > 0]]
        raise CorpusError(
            f"fold {fold!r} tests everybody who has class {missing[0]} (counted from 0): {', '.join(holders)}. "
            "Expected each class in somebody left to train on. Leave that class out, merge it, or add subjects."
        )
