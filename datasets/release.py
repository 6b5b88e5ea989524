"""What every corpus says about itself, and how corpora are found by name.

Each corpus is one folder with two files: `release.py` with a subclass of `Release`, and `<name>_dataset_builder.py`
that makes it a TFDS dataset. There is no list to add it to.
"""

import abc
import dataclasses
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from datasets.records import LABELS, Corpus
from datasets.schemes import Scheme
from mer_jax.data.clips import Clips
from mer_jax.errors import ConfigError, near_names


@dataclasses.dataclass(frozen=True)
class Variant:
    """What a user chooses of a corpus: which part of the release, and which classes.

    Attributes:
        part: Tree or camera, one of `Release.parts`; None takes the first of them that is there.
        scheme: Applied when clips are loaded; one build of a part serves all schemes.
    """

    part: str | None
    scheme: Scheme


@dataclasses.dataclass(frozen=True)
class Publication:
    """Whose faces may be shown in reports and publications.

    Attributes:
        hidden: Subjects who must not be shown.
        needs_permission: Whether nobody may be shown without written permission or a list that comes with the data.
        credit: Line that pictures must carry; "" if none is required.
        source: Where that is said.
    """

    hidden: frozenset[str] = frozenset()
    needs_permission: bool = True
    credit: str = ""
    source: str = "no published list was found; your own agreement decides"

    def refuse(self, subject: str) -> str:
        """Returns why a recorded subject must not be shown; "" if it may be."""
        if subject in self.hidden:
            return f"{subject} must not be shown ({self.source})"
        return f"nobody may be shown without permission ({self.source})" if self.needs_permission else ""


class Release(abc.ABC):
    """A corpus as its owners release it. Subclasses set the attributes and implement `read`.

    Attributes:
        name: Name of the corpus's folder.
        title: As people write it.
        parts: Trees or cameras, preferred first; each is a TFDS config.
        default_part: Part of a variant that names none; None takes the first that is there.
        schemes: Class schemes by name, see `datasets.schemes.by_name`; the first is the default.
        labels: Label fields of its clips.
        has_action_units: Whether the owners coded action units.
        version: Of the built data; raise it when the same release is built differently.
        release_notes: By version.
        instructions: Which files to unpack into `manual_dir`.
        homepage: Where to ask for a copy.
        publication: Whose recorded faces may be shown. Rendered faces may always be shown.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    parts: ClassVar[tuple[str, ...]]
    default_part: ClassVar[str | None] = None
    schemes: ClassVar[Mapping[str, Scheme]]
    labels: ClassVar[tuple[str, ...]] = LABELS
    has_action_units: ClassVar[bool] = True
    version: ClassVar[str] = "2.1.0"
    release_notes: ClassVar[Mapping[str, str]] = {
        "2.1.0": "The landmarks of each clip.",
        "2.0.0": "All annotated labels of all clips.",
    }
    instructions: ClassVar[str]
    homepage: ClassVar[str]
    publication: ClassVar[Publication] = Publication()

    @classmethod
    def publication_of(cls, corpus: str) -> Publication:
        """Returns the rules for clips of a corpus; a composite has those of its parts."""
        del corpus
        return cls.publication

    @classmethod
    @abc.abstractmethod
    def read(cls, manual_dir: Path, part: str | None = None) -> Corpus:
        """Finds the release below a folder and lists its clips; opens no frame.

        Args:
            manual_dir: Folder that the release was unpacked into.
            part: One of `parts`; None takes the first that is there.

        Returns:
            The clips with all their labels. A copy that differs from what was published is reported, not refused.

        Raises:
            CorpusError: The release or its annotation is not there or cannot be read, or no clip can be used.
        """

    @classmethod
    def stored(cls, part: str) -> str:
        """Returns what is built of a part: "faces", or prepared "motion" features."""
        del part
        return "faces"

    @classmethod
    def variants(cls) -> dict[str, Variant]:
        """Returns the variants by name: every scheme, every part, and `<part>_<scheme>`; the first is the default."""
        default = next(iter(cls.schemes.values()))
        variants = {name: Variant(cls.default_part, scheme) for name, scheme in cls.schemes.items()}
        for part in cls.parts:
            variants[part] = Variant(part, default)
            variants |= {f"{part}_{name}": Variant(part, scheme) for name, scheme in cls.schemes.items()}
        return variants

    @classmethod
    def find_variant(cls, name: str | None) -> Variant:
        """Returns a variant by name; None returns the default.

        Raises:
            ConfigError: No variant of that name.
        """
        return _find(cls.variants(), name, f"{cls.name} has no variant")

    @classmethod
    def find_scheme(cls, name: str | None) -> Scheme:
        """Returns a class scheme by name; None returns the default.

        Raises:
            ConfigError: No scheme of that name.
        """
        return _find(cls.schemes, name, f"{cls.name} has no class scheme")


def known_corpora() -> list[str]:
    """Lists the corpora that can be built: every folder of this package with a TFDS builder."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob("*/*_dataset_builder.py"))


def import_builder(corpus: str):
    """Imports the TFDS builder class of a corpus; its attribute `RELEASE` is the `Release`.

    Raises:
        ConfigError: No corpus of that name.
    """
    if corpus not in known_corpora():
        raise ConfigError(f"no corpus is called {corpus!r}; {near_names(corpus, known_corpora())}")
    return importlib.import_module(f"datasets.{corpus}.{corpus}_dataset_builder").Builder


def find_release(corpus: str) -> type[Release]:
    """Returns the release of a corpus by name.

    Raises:
        ConfigError: No corpus of that name.
    """
    return import_builder(corpus).RELEASE


def _find(known: Mapping, name: str | None, what: str):
    if name is None:
        return next(iter(known.values()))
    if name not in known:
        raise ConfigError(f"{what} {name!r}; {near_names(name, known)}")
    return known[name]


def why_not_shown(clips: Clips, index: int) -> str:
    """Returns why the face of a clip must not be shown; "" if it may be.

    Args:
        clips: Of a built corpus. Rendered faces may always be shown, and so may arrays of the user's own.
        index: Position of the clip, 0-based.
    """
    if clips.provenance != "licensed" or clips.corpus_name not in known_corpora():
        return ""
    corpus = clips.corpus[index]
    subject = clips.subject[index].removeprefix(f"{corpus}_")  # a composite puts the corpus in front
    return find_release(clips.corpus_name).publication_of(corpus).refuse(subject)
