"""Class schemes: which annotated label counts as which class, where that comes from, and how many clips it gives.

Every corpus has several in use. A scheme is looked up by corpus and name; the counts are what its source states for the
published annotation, and a copy that differs is told so by the reader's report.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from mer_jax.errors import ConfigError, near_names

NEGATIVE, POSITIVE, SURPRISE = THREE = ("negative", "positive", "surprise")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scheme:
    """One way to make classes of a corpus's labels.

    Attributes:
        name: within its corpus.
        field: the annotation's field that it looks at, such as "emotion" or "objective".
        class_of: label, in lower case, to class; labels that are not listed are left aside.
        by_class: clips per class in the published annotation.
        num_subjects: people with at least one of these clips; None where the source does not say.
        source: who defines it.
        only: further fields and the value that they must have, such as {"kind": "micro"}.
        excluded: clips that its definition leaves out by name.
        needs_apex: whether clips without an apex, or with the apex on the onset, are left out, as MEGC 2019 did.
    """

    name: str
    field: str
    class_of: Mapping[str, str]
    by_class: Mapping[str, int]
    source: str
    num_subjects: int | None = None
    only: Mapping[str, str] = dataclasses.field(default_factory=dict)
    excluded: frozenset[str] = frozenset()
    needs_apex: bool = False

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of the labels."""
        return tuple(self.by_class)

    def classify(self, labels: Mapping[str, str]) -> str | None:
        """Returns the class of a clip from its annotated fields; None if the scheme leaves it aside."""
        if any(labels.get(field) != value for field, value in self.only.items()):
            return None
        return self.class_of.get(labels.get(self.field, "").casefold())

    def restricted(self, kind: str, by_class: Sequence[int]) -> "Scheme":
        """Returns the scheme for one kind of expression only, "macro" or "micro", with its counts."""
        return dataclasses.replace(
            self,
            name=f"{self.name}_{kind}",
            only={**self.only, "kind": kind},
            by_class=dict(zip(self.class_names, by_class, strict=True)),
            num_subjects=None,
        )


def _grouped(**groups: Sequence[str]) -> dict[str, str]:
    return {label: class_name for class_name, labels in groups.items() for label in labels}


def _same(*labels: str) -> dict[str, str]:
    return {label: label for label in labels}


_MEGC = "See et al., MEGC 2019, FG 2019; official list combined_3class_gt.csv"
_PAPER = "Irawan et al. name the classes positive, negative and surprise, and no counts; the grouping is MEGC 2019's"
_OBJECTIVE = "Davison, Merghani and Yap, Objective Classes for Micro-Facial Expression Recognition, J. Imaging 2018"
_OBJECTIVE_FIVE = {"1": "I", "2": "II", "3": "III", "4": "IV", "5": "V"}
_OBJECTIVE_SEVEN = {**_OBJECTIVE_FIVE, "6": "VI", "7": "VII"}


def _counts(names: Sequence[str], *counts: int) -> dict[str, int]:
    return dict(zip(names, counts, strict=True))


_CASME2_THREE = _grouped(negative=("disgust", "repression"), positive=("happiness",), surprise=("surprise",))
_CASME2 = (
    Scheme(
        name="3class",
        field="emotion",
        class_of=_CASME2_THREE,
        by_class=_counts(THREE, 90, 32, 25),
        source=f"{_PAPER}, without its two omissions",
    ),
    Scheme(
        name="megc2019",
        field="emotion",
        class_of=_CASME2_THREE,
        by_class=_counts(THREE, 88, 32, 25),
        num_subjects=24,
        # The first has no apex, the second has it on the onset; the third is in a later annotation only.
        excluded=frozenset({"sub04_EP12_01f", "sub05_EP09_05f", "sub24_EP02_07"}),
        needs_apex=True,
        source=_MEGC,
    ),
    Scheme(
        name="3class_fear_sadness",
        field="emotion",
        class_of={**_CASME2_THREE, "fear": NEGATIVE, "sadness": NEGATIVE},
        by_class=_counts(THREE, 99, 32, 25),
        source="in use beside MEGC 2019's: fear and sadness count as negative too",
    ),
    Scheme(
        name="5class",
        field="emotion",
        class_of=_same("disgust", "happiness", "repression", "surprise", "others"),
        by_class={"disgust": 63, "happiness": 32, "repression": 27, "surprise": 25, "others": 99},
        num_subjects=26,
        source="Yan et al., CASME II, PLoS ONE 2014; counts of the annotation of 2014-05-08",
    ),
    Scheme(
        name="7class",
        field="emotion",
        class_of=_same("disgust", "happiness", "repression", "surprise", "others", "sadness", "fear"),
        by_class={
            "disgust": 63,
            "happiness": 32,
            "repression": 27,
            "surprise": 25,
            "others": 99,
            "sadness": 7,
            "fear": 2,
        },
        num_subjects=26,
        source="Yan et al., CASME II, PLoS ONE 2014: all labels as annotated",
    ),
    Scheme(
        name="objective",
        field="objective",
        class_of=_OBJECTIVE_FIVE,
        by_class={"I": 25, "II": 15, "III": 99, "IV": 26, "V": 20},
        source=f"{_OBJECTIVE}; classes I to V, as MEGC 2018 took them",
    ),
    Scheme(
        name="objective7",
        field="objective",
        class_of=_OBJECTIVE_SEVEN,
        by_class={"I": 25, "II": 15, "III": 99, "IV": 26, "V": 20, "VI": 1, "VII": 69},
        num_subjects=26,
        source=f"{_OBJECTIVE}; all seven",
    ),
)

_SAMM_THREE = _grouped(
    negative=("anger", "contempt", "disgust", "fear", "sadness"), positive=("happiness",), surprise=("surprise",)
)
_SAMM = (
    Scheme(
        name="3class",
        field="emotion",
        class_of=_SAMM_THREE,
        by_class=_counts(THREE, 92, 26, 15),
        num_subjects=28,
        source=_PAPER,
    ),
    Scheme(
        name="megc2019",
        field="emotion",
        class_of=_SAMM_THREE,
        by_class=_counts(THREE, 92, 26, 15),
        num_subjects=28,
        source=_MEGC,
    ),
    Scheme(
        name="5class",
        field="emotion",
        class_of=_same("anger", "other", "happiness", "surprise", "contempt"),
        by_class={"anger": 57, "other": 26, "happiness": 26, "surprise": 15, "contempt": 12},
        num_subjects=27,
        source="the five labels with more than ten clips, as most papers on SAMM take them",
    ),
    Scheme(
        name="7class",
        field="emotion",
        class_of=_same("anger", "happiness", "surprise", "contempt", "disgust", "fear", "sadness"),
        by_class={
            "anger": 57,
            "happiness": 26,
            "surprise": 15,
            "contempt": 12,
            "disgust": 9,
            "fear": 8,
            "sadness": 6,
        },
        num_subjects=28,
        source="Davison et al., SAMM, IEEE TAC 2018: the seven emotions, without 'other'",
    ),
    Scheme(
        name="8class",
        field="emotion",
        class_of=_same("anger", "other", "happiness", "surprise", "contempt", "disgust", "fear", "sadness"),
        by_class={
            "anger": 57,
            "other": 26,
            "happiness": 26,
            "surprise": 15,
            "contempt": 12,
            "disgust": 9,
            "fear": 8,
            "sadness": 6,
        },
        num_subjects=29,
        source="Davison et al., SAMM, IEEE TAC 2018: all labels as annotated",
    ),
    Scheme(
        name="objective",
        field="objective",
        class_of=_OBJECTIVE_FIVE,
        by_class={"I": 24, "II": 13, "III": 20, "IV": 8, "V": 3},
        source=f"{_OBJECTIVE}; classes I to V, as MEGC 2018 took them",
    ),
    Scheme(
        name="objective7",
        field="objective",
        class_of=_OBJECTIVE_SEVEN,
        by_class={"I": 24, "II": 13, "III": 20, "IV": 8, "V": 3, "VI": 7, "VII": 84},
        num_subjects=29,
        source=f"{_OBJECTIVE}; all seven",
    ),
)

_STIMULUS = Scheme(
    name="stimulus",
    field="stimulus",
    class_of=_same("anger", "disgust", "happy"),
    by_class={"anger": 102, "disgust": 88, "happy": 167},
    num_subjects=22,
    source="Irawan et al. name the classes angry, happy and disgusted, and no counts; here by the film that was shown",
)
_SELF_REPORT = Scheme(
    name="self_report",
    field="self_report",
    class_of=_grouped(anger=("anger",), disgust=("disgust",), happy=("happiness", "happyiness")),  # sic, one cell
    by_class={"anger": 55, "disgust": 74, "happy": 147},
    source="the same three classes, by what the person said to have felt",
)
_COARSE = Scheme(
    name="coarse",
    field="coarse",
    class_of=_same(*THREE),
    by_class=_counts(THREE, 126, 124, 25),
    source="Qu et al., CAS(ME)^2, IEEE TAC 2018: the coarse emotion, without 'others'",
)
_COARSE_FOUR = Scheme(
    name="coarse4",
    field="coarse",
    class_of=_same(*THREE, "others"),
    by_class={"negative": 126, "positive": 124, "surprise": 25, "others": 82},
    num_subjects=22,
    source="Qu et al., CAS(ME)^2, IEEE TAC 2018: the coarse emotion",
)
_CASME_SQUARED = (
    dataclasses.replace(_STIMULUS, name="3class"),
    _STIMULUS,
    _STIMULUS.restricted("micro", (17, 18, 22)),
    _STIMULUS.restricted("macro", (85, 70, 145)),
    _SELF_REPORT,
    _SELF_REPORT.restricted("micro", (8, 16, 15)),
    _SELF_REPORT.restricted("macro", (47, 58, 132)),
    _COARSE,
    _COARSE.restricted("micro", (21, 8, 9)),
    _COARSE.restricted("macro", (105, 116, 16)),
    _COARSE_FOUR,
    _COARSE_FOUR.restricted("micro", (21, 8, 9, 19)),
    _COARSE_FOUR.restricted("macro", (105, 116, 16, 63)),
)

_BEN = "Ben et al., Video-based Facial Micro-Expression Analysis, IEEE TPAMI 2022"
_MMEW = (
    Scheme(
        name="3class",
        field="emotion",
        class_of=_grouped(
            negative=("anger", "disgust", "fear", "sadness"), positive=("happiness",), surprise=("surprise",)
        ),
        by_class=_counts(THREE, 109, 36, 89),
        source=f"{_BEN}; grouped as MEGC 2019 groups other corpora",
    ),
    Scheme(
        name="4class",
        field="emotion",
        class_of=_same("happiness", "surprise", "disgust", "others"),
        by_class={"happiness": 36, "surprise": 89, "disgust": 72, "others": 66},
        source=f"{_BEN}: the classes with more than 30 clips",
    ),
    Scheme(
        name="7class",
        field="emotion",
        class_of=_same("happiness", "anger", "surprise", "disgust", "fear", "sadness", "others"),
        by_class={
            "happiness": 36,
            "anger": 8,
            "surprise": 89,
            "disgust": 72,
            "fear": 16,
            "sadness": 13,
            "others": 66,
        },
        source=f"{_BEN}: all labels as annotated",
    ),
)

_SMIC_THREE = Scheme(
    name="3class",
    field="emotion",
    class_of=_same(*THREE),
    by_class=_counts(THREE, 70, 51, 43),
    num_subjects=16,
    source="Li et al., SMIC, FG 2013: the labels of HS as released",
)

SCHEMES: dict[str, dict[str, Scheme]] = {
    corpus: {scheme.name: scheme for scheme in schemes}
    for corpus, schemes in {
        "smic": (_SMIC_THREE, dataclasses.replace(_SMIC_THREE, name="megc2019", source=_MEGC)),
        "casme2": _CASME2,
        "samm": _SAMM,
        "casme_squared": _CASME_SQUARED,
        "mmew": _MMEW,
    }.items()
}


def find_scheme(corpus: str, name: str) -> Scheme:
    """Looks a scheme up.

    Raises:
        ConfigError: there is none of that name.

    Example:
        >>> find_scheme("casme2", "megc2019").by_class
        {'negative': 88, 'positive': 32, 'surprise': 25}
    """
    schemes = SCHEMES.get(corpus, {})
    if name not in schemes:
        raise ConfigError(f"{corpus} has no class scheme {name!r}; {near_names(name, schemes)}")
    return schemes[name]
