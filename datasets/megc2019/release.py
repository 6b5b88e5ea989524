"""The composite of MEGC 2019: CASME II, SAMM and SMIC HS from below one folder, or prepared motion features.

Every corpus is read by its own reader. Subjects and clips get the corpus's name in front (`casme2_sub01`), since names
repeat between corpora. Counts: J. See et al., "MEGC 2019", FG 2019.
"""

import contextlib
import dataclasses
from pathlib import Path

from datasets.casme2.release import Casme2
from datasets.megc2019.flow_features import FLOW_PART, read_flow_features
from datasets.records import ClipRecord, Corpus, Published
from datasets.release import Publication, Release
from datasets.report import Findings
from datasets.samm.release import Samm
from datasets.schemes import MEGC_2019, THREE, Composite, by_name
from datasets.smic.release import Smic
from mer_jax.errors import CorpusError
from mer_jax.system.files import natural_key

_PARTS: dict[str, type[Release]] = {"casme2": Casme2, "samm": Samm, "smic": Smic}
_BY_CLASS = {"negative": 250, "positive": 109, "surprise": 83}


class Megc2019(Release):
    """The composite of MEGC 2019: 442 clips of 68 people in three classes."""

    name = "megc2019"
    title = "MEGC 2019 composite"
    parts = ("clips", FLOW_PART)
    default_part = "clips"
    schemes = by_name(
        Composite(
            name="3class",
            field="coarse_emotion",
            class_of={name: name for name in THREE},
            by_class=_BY_CLASS,
            by_corpus={"casme2": 145, "samm": 133, "smic": 164},
            num_subjects=68,
            parts={name: release.schemes["megc2019"] for name, release in _PARTS.items()},
            source=MEGC_2019,
        )
    )
    instructions = (
        "Unpack CASME II, SAMM and SMIC below one folder, as the README of each says. Motion features: a folder with "
        "<corpus>/<subject>/<clip>.png and a label csv."
    )
    homepage = "https://facial-micro-expressiongc.github.io/MEGC2019/"

    @classmethod
    def publication_of(cls, corpus: str) -> Publication:
        """Returns the rules of the corpus that a clip is from."""
        return _PARTS[corpus].publication

    @classmethod
    def stored(cls, part: str) -> str:
        """Returns "motion" for prepared features."""
        return "motion" if part == FLOW_PART else "faces"

    @classmethod
    def read(cls, manual_dir: Path, part: str | None = None) -> Corpus:
        """Finds the three corpora below a folder; it is a surrogate if any of them is. See `Release.read`."""
        if part == FLOW_PART:
            return read_flow_features(manual_dir, cls.title)
        read: dict[str, Corpus] = {}
        for name, release in _PARTS.items():
            try:
                read[name] = release.read(manual_dir, release.default_part)
            except CorpusError as error:
                hint = ""
                with contextlib.suppress(CorpusError):
                    read_flow_features(manual_dir, cls.title)
                    hint = f" It holds prepared motion features: --variant {FLOW_PART} reads them."
                raise CorpusError(
                    f"the composite needs CASME II, SAMM and SMIC HS below one folder: {error}{hint}"
                ) from error
        findings = Findings()
        for name, corpus in read.items():
            for kind, sentences in corpus.findings.items():
                findings.add(kind, *(f"{name}: {sentence}" for sentence in sentences))
        records = [_renamed(record) for corpus in read.values() for record in corpus.records]
        markers = {name: corpus.marker for name, corpus in read.items() if corpus.marker is not None}
        return Corpus(
            name=cls.name,
            title=cls.title,
            part="clips",
            root=manual_dir,
            provenance="surrogate" if markers else "licensed",
            records=tuple(sorted(records, key=lambda record: natural_key(record.clip_id))),
            unusable={
                f"{name}_{clip_id}": dataclasses.replace(each, record=_renamed(each.record))
                for name, corpus in read.items()
                for clip_id, each in corpus.unusable.items()
            },
            published=Published({}, {}),
            findings=findings.collected(),
            marker={"surrogate": True, "corpus": cls.name, "parts": markers} if markers else None,
        )


def _renamed(record: ClipRecord) -> ClipRecord:
    return dataclasses.replace(
        record, clip_id=f"{record.corpus}_{record.clip_id}", subject=f"{record.corpus}_{record.subject}"
    )
