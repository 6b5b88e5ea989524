"""Class schemes: which annotated label counts as which class.

A built corpus holds all labels; a scheme is applied when it is loaded. Every corpus has several in use, each with its
source and the counts that the source states for the published annotation.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from datasets.records import ClipRecord

THREE = ("negative", "positive", "surprise")
MEGC_2019 = "See et al., MEGC 2019, FG 2019; official list combined_3class_gt.csv"
DAVISON = "Davison, Merghani and Yap, Objective Classes for Micro-Facial Expression Recognition, J. Imaging 2018"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scheme:
    """One way to make classes of the labels of a corpus.

    Attributes:
        name: Unique within its corpus.
        class_of: Label in lower case to class; clips with other labels are left aside.
        by_class: Clips per class in the published annotation, in the order of the classes.
        source: Who defines it.
        field: Label that it reads, one of `datasets.records.LABELS`.
        num_subjects: People with at least one of these clips; None where the source does not say.
        only: Further labels and the value that they must have, such as {"kind": "micro"}.
        excluded: Clip ids that its definition leaves out.
    """

    name: str
    class_of: Mapping[str, str]
    by_class: Mapping[str, int]
    source: str
    field: str = "emotion"
    num_subjects: int | None = None
    only: Mapping[str, str] = dataclasses.field(default_factory=dict)
    excluded: frozenset[str] = frozenset()

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of their indices."""
        return tuple(self.by_class)

    def classify(self, clip: ClipRecord) -> str | None:
        """Returns the class of a clip; None if the scheme leaves it aside."""
        if clip.clip_id in self.excluded:
            return None
        if any(clip.labels.get(field, "") != value for field, value in self.only.items()):
            return None
        return self.class_of.get(self.label_of(clip))

    def label_of(self, clip: ClipRecord) -> str:
        """Returns the label that the class of a clip depends on."""
        return clip.labels.get(self.field, "")

    def restricted(self, kind: str, *counts: int) -> "Scheme":
        """Returns the scheme for one kind of expression, "macro" or "micro", with its counts per class."""
        return dataclasses.replace(
            self,
            name=f"{self.name}_{kind}",
            only={**self.only, "kind": kind},
            by_class=dict(zip(self.class_names, counts, strict=True)),
            num_subjects=None,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Composite(Scheme):
    """A scheme of several corpora: each clip gets the class that the scheme of its own corpus gives it.

    Attributes:
        parts: Scheme of each corpus. Clip ids of a composite begin with the name of the corpus.
        by_corpus: Clips per corpus as published.
    """

    parts: Mapping[str, Scheme]
    by_corpus: Mapping[str, int]

    def classify(self, clip: ClipRecord) -> str | None:
        """Returns the class of a clip; published lists of features state the class themselves, as coarse emotion."""
        if clip.labels.get(self.field):
            return self.class_of.get(clip.labels[self.field])
        own = dataclasses.replace(clip, clip_id=clip.clip_id.removeprefix(f"{clip.corpus}_"))
        return self.parts[clip.corpus].classify(own)

    def label_of(self, clip: ClipRecord) -> str:
        """Returns corpus and label, since corpora use the same words."""
        return f"{clip.corpus} {clip.labels.get(self.field) or self.parts[clip.corpus].label_of(clip)}"


def grouped(**groups: Sequence[str]) -> dict[str, str]:
    """Maps labels to classes.

    Example:
        >>> grouped(negative=("anger", "fear"), positive=("happiness",))
        {'anger': 'negative', 'fear': 'negative', 'happiness': 'positive'}
    """
    return {label: class_name for class_name, labels in groups.items() for label in labels}


def as_annotated(counts: Mapping[str, int], *left_out: str) -> dict[str, Mapping]:
    """Returns `class_of` and `by_class` of a scheme whose classes are the labels themselves, except for some."""
    kept = {label: count for label, count in counts.items() if label not in left_out}
    return {"class_of": {label: label for label in kept}, "by_class": kept}


def objective(*counts: int) -> tuple[Scheme, Scheme]:
    """Returns the schemes of the objective classes, I to V and I to VII.

    Args:
        *counts: Clips per class, I to VII.
    """
    names = ("I", "II", "III", "IV", "V", "VI", "VII")
    class_of = {str(number): name for number, name in enumerate(names, start=1)}
    by_class = dict(zip(names, counts, strict=True))
    seven = Scheme(
        name="objective7", field="objective_class", class_of=class_of, by_class=by_class, source=f"{DAVISON}; all seven"
    )
    five = dataclasses.replace(
        seven,
        name="objective",
        class_of={label: name for label, name in class_of.items() if name in names[:5]},
        by_class={name: by_class[name] for name in names[:5]},
        source=f"{DAVISON}; classes I to V, as MEGC 2018 took them",
    )
    return five, seven


def by_name(*schemes: Scheme) -> dict[str, Scheme]:
    """Returns schemes by their names, in the given order; the first is the default of its corpus."""
    return {scheme.name: scheme for scheme in schemes}
