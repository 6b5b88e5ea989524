"""Clips in memory: what the builders give and everything else takes.

NumPy only: neither a corpus nor an accelerator is needed to hold clips.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Int, UInt8

from mer_jax.errors import CorpusError, ShapeError

PROVENANCES = ("licensed", "surrogate")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Clips:
    """The prepared clips of one corpus, or of a part of it.

    Attributes:
        upper: upper halves of the faces (brows and eyes), 8-bit gray.
        lower: lower halves of the faces (nose and mouth), 8-bit gray.
        label: index into `class_names`.
        subject: who is seen, one per clip. A subject never straddles two folds of an honest protocol.
        clip_id: unique name of each clip.
        corpus: the corpus that each clip comes from; several in a composite.
        class_names: in the order of the labels.
        provenance: "licensed" for recordings under their owners' licence, "surrogate" for rendered faces.
        fingerprint: identifies these very arrays, labels and names; printed into every result.
        corpus_name: the name of the whole, such as "smic".

    Raises:
        ShapeError: arrays of another shape or type, or columns of unequal length.
        CorpusError: no clips, a label without a class name, a clip id that occurs twice, an unknown provenance.
    """

    kind: ClassVar[str] = "halves"  # what models are fed from them, see `mer_jax.inputs`

    # The shapes are checked always, with a message, so no jaxtyping check is put before it.
    upper: np.ndarray  # uint8 [n t 64 128 1]
    lower: np.ndarray  # uint8 [n t 64 128 1]
    label: np.ndarray  # int32 [n]
    subject: tuple[str, ...]
    clip_id: tuple[str, ...]
    corpus: tuple[str, ...]
    class_names: tuple[str, ...]
    provenance: str
    fingerprint: str
    corpus_name: str

    def __post_init__(self):
        for name in ("upper", "lower"):
            half = getattr(self, name)
            if half.ndim != 5 or half.shape[2:] != (64, 128, 1) or half.dtype != np.uint8:
                raise ShapeError(
                    f"{name} halves are {half.dtype} of shape {half.shape}; expected uint8 of shape "
                    "(clips, frames, 64, 128, 1). `mer_jax.vision.prepare.split_halves` makes them from faces."
                )
        if self.upper.shape != self.lower.shape:
            raise ShapeError(
                f"upper halves have shape {self.upper.shape}, lower halves {self.lower.shape}; expected the same: "
                "both must come from the same clips with the same number of frames."
            )
        if self.label.ndim != 1 or self.label.dtype != np.int32:
            raise ShapeError(
                f"labels are {self.label.dtype} of shape {self.label.shape}; expected int32 of shape (clips,)."
            )
        for name in ("label", "subject", "clip_id", "corpus"):
            if len(getattr(self, name)) != len(self.upper):
                raise ShapeError(
                    f"{name} has {len(getattr(self, name))} entries for {len(self.upper)} clips; "
                    "expected one for each clip."
                )
        if not len(self.upper):
            raise CorpusError("there are no clips; expected at least one. Check the corpus or the selection.")
        unlabelled = np.flatnonzero((self.label < 0) | (self.label >= len(self.class_names)))
        if unlabelled.size:
            first = int(unlabelled[0])
            raise CorpusError(
                f"clip {self.clip_id[first]!r} has label {int(self.label[first])}; expected 0 to "
                f"{len(self.class_names) - 1}, one of {', '.join(self.class_names)}."
            )
        if len(set(self.clip_id)) != len(self.clip_id):
            twice = next(name for name in self.clip_id if self.clip_id.count(name) > 1)
            raise CorpusError(
                f"clip id {twice!r} occurs {self.clip_id.count(twice)} times; expected unique ids. "
                "Where names repeat between subjects or corpora, put those in front of the name."
            )
        if self.provenance not in PROVENANCES:
            raise CorpusError(f"provenance is {self.provenance!r}; expected one of {', '.join(PROVENANCES)}.")

    def __len__(self) -> int:
        return len(self.clip_id)

    @property
    def num_frames(self) -> int:
        """Frames in each clip, after sampling."""
        return self.upper.shape[1]

    @functools.cached_property
    def num_subjects(self) -> int:
        """How many people are seen."""
        return len(set(self.subject))

    def faces(self) -> UInt8[np.ndarray, "n t 128 128"]:
        """Joins the halves to whole faces."""
        return np.concatenate([self.upper, self.lower], axis=2)[..., 0]

    def pictures(self) -> UInt8[np.ndarray, "n t 128 128"]:
        """What training keeps on the device: whole faces."""
        return self.faces()

    def class_counts(self) -> Int[np.ndarray, " k"]:
        """Counts the clips of each class, in the order of `class_names`."""
        return np.bincount(self.label, minlength=len(self.class_names))

    def select(self, indices: Sequence[int] | Int[np.ndarray, " m"]) -> "Clips":
        """Takes some of the clips, in the order given.

        Args:
            indices: positions of clips, 0-based, each at most once.

        Returns:
            the clips at these positions. Their fingerprint is their own: it depends on the whole and on the selection.

        Raises:
            ShapeError: a position that does not exist.
        """
        indices = np.asarray(indices, dtype=np.int64)
        outside = indices[(indices < 0) | (indices >= len(self))]
        if outside.size:
            raise ShapeError(f"position {int(outside[0])} does not exist; expected 0 to {len(self) - 1}.")
        digest = hashlib.sha256(self.fingerprint.encode() + b"\0" + indices.tobytes())

        def take(column: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(column[index] for index in indices)

        return dataclasses.replace(
            self,
            upper=self.upper[indices],
            lower=self.lower[indices],
            label=self.label[indices],
            subject=take(self.subject),
            clip_id=take(self.clip_id),
            corpus=take(self.corpus),
            fingerprint=digest.hexdigest()[: len(self.fingerprint)],
        )


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class FlowFeatures:
    """Motion features, one small picture a clip; the other fields are those of `Clips`.

    Attributes:
        flow: horizontal flow, vertical flow and strain in 8 bits: prepared ones as their authors scaled them, computed
            ones as `datasets.motion` says.
        label: index into `class_names`.
        subject: who is seen.
        clip_id: unique name of each clip.
        corpus: the corpus that each clip comes from.
        class_names: in the order of the labels.
        provenance: "licensed" for features of recordings, "surrogate" for those of rendered faces.
        fingerprint: identifies these very arrays, labels and names.
        corpus_name: the name of the whole.
    """

    kind: ClassVar[str] = "motion"

    flow: UInt8[np.ndarray, "n h w 3"]
    label: Int[np.ndarray, " n"]
    subject: tuple[str, ...]
    clip_id: tuple[str, ...]
    corpus: tuple[str, ...]
    class_names: tuple[str, ...]
    provenance: str
    fingerprint: str
    corpus_name: str

    def __len__(self) -> int:
        return len(self.clip_id)

    @functools.cached_property
    def num_subjects(self) -> int:
        """How many people are seen."""
        return len(set(self.subject))

    def pictures(self) -> UInt8[np.ndarray, "n h w 3"]:
        """What training keeps on the device."""
        return self.flow

    def class_counts(self) -> Int[np.ndarray, " k"]:
        """Counts the clips of each class, in the order of `class_names`."""
        return np.bincount(self.label, minlength=len(self.class_names))
