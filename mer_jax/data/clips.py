"""Clips in memory: what the corpus builders return and what training, evaluation and reports take.

NumPy only: neither a corpus nor an accelerator is needed to hold clips.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from mer_jax.data.action_units import ACTION_UNITS, NOT_CODED, encode_action_units
from mer_jax.data.stored import describe_kinds, find_kind
from mer_jax.errors import CorpusError, ShapeError

PROVENANCES = ("licensed", "surrogate", "unstated")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Clips:
    """The prepared clips of one corpus, or of a part of it.

    Attributes:
        pictures: 8-bit pictures, one entry per clip: whole gray faces uint8 [n, t, 128, 128], frame 0 the onset; or
            motion features uint8 [n, 28, 28, 3]: horizontal flow, vertical flow and strain, 128 where nothing moves;
            or another kind of `mer_jax.data.stored`.
        label: class of each clip, int32 [n], an index into `class_names`.
        subject: person seen in each clip. Subject-disjoint protocols keep all clips of a person on one side.
        clip_id: unique name of each clip.
        corpus: corpus of each clip; a composite has several.
        class_names: in the order of the labels.
        provenance: "licensed" for recordings under their owners' licence, "surrogate" for rendered faces, "unstated"
            where nobody said.
        fingerprint: identifies these arrays, labels and names; printed into every result.
        corpus_name: name of the whole, such as "smic".
        action_units: int8 [n, u], see `mer_jax.data.action_units`; -1 in the rows of clips that were not coded, which
            is the default.
        landmarks: the 68 iBUG points of each clip, float32 [n, 68, 2], x then y in pixels of the 128x128 face, NaN
            where they are not known, which is the default. Networks get them as patches only.

    Raises:
        ShapeError: Arrays of another shape or type, or columns of unequal length.
        CorpusError: No clips, a label without a class name, a duplicate clip id, an unknown provenance.
    """

    # Shapes are checked below with a message that says what to do, so jaxtyping must not check them first.
    pictures: np.ndarray
    label: np.ndarray
    subject: tuple[str, ...]
    clip_id: tuple[str, ...]
    corpus: tuple[str, ...]
    class_names: tuple[str, ...]
    provenance: str
    fingerprint: str
    corpus_name: str
    action_units: Any = None  # an array once created
    landmarks: Any = None  # likewise

    @classmethod
    def from_arrays(
        cls,
        pictures: Any,
        labels: Sequence[Any] | np.ndarray,
        subjects: Sequence[Any] | np.ndarray,
        *,
        class_names: Sequence[str] = (),
        clip_ids: Sequence[Any] | np.ndarray = (),
        corpora: Sequence[Any] | np.ndarray = (),
        corpus_name: str = "arrays",
        provenance: str = "unstated",
        action_units: Sequence[str] = (),
    ) -> "Clips":
        """Creates clips from arrays in memory.

        Args:
            pictures: whole faces, uint8 [n, t, 128, 128], gray values from 0 to 255, frame 0 the onset; or motion
                features, uint8 [n, 28, 28, 3], or another kind of `mer_jax.data.stored`.
            labels: class of each clip: names, or indices into `class_names` from 0.
            subjects: person in each clip, names or numbers.
            class_names: all classes in order; by default the sorted names, or "0", "1", ... up to the largest index.
            clip_ids: unique names; by default numbers.
            corpora: corpus of each clip; by default `corpus_name`.
            corpus_name: name printed in results.
            provenance: one of `PROVENANCES`; printed in results.
            action_units: as coders wrote them, such as "4+L10"; "" for a clip that was not coded. By default none was.

        Raises:
            ShapeError: Arrays of another shape or type, or columns of unequal length.
            CorpusError: See the class.

        Example:
            >>> faces = np.zeros((4, 18, 128, 128), np.uint8)
            >>> clips = Clips.from_arrays(faces, ["sad", "glad", "sad", "glad"], [1, 1, 2, 2])
            >>> len(clips), clips.class_names, clips.label.tolist(), clips.num_subjects
            (4, ('glad', 'sad'), [1, 0, 1, 0], 2)
        """
        pictures, labels = np.asarray(pictures), np.asarray(labels)
        if labels.dtype.kind in "iu":
            names = tuple(class_names) or tuple(str(index) for index in range(int(labels.max(initial=-1)) + 1))
            label = labels.astype(np.int32)
        elif labels.dtype.kind in "US" or all(isinstance(each, str) for each in labels.flat):
            named = [str(each) for each in labels.flat]
            names = tuple(class_names) or tuple(sorted(set(named)))
            unknown = sorted(set(named) - set(names))
            if unknown:
                raise CorpusError(f"got the label {unknown[0]!r}, expected one of the class names {', '.join(names)}.")
            label = np.asarray([names.index(each) for each in named], np.int32)
        else:
            raise ShapeError(f"got labels of type {labels.dtype}, expected class indices or class names.")
        ids = tuple(str(each) for each in clip_ids) or tuple(f"clip_{index:05d}" for index in range(len(pictures)))
        columns = {
            "subject": tuple(str(each) for each in subjects),
            "clip_id": ids,
            "corpus": tuple(str(each) for each in corpora) or (corpus_name,) * len(pictures),
        }
        digest = hashlib.sha256(f"{pictures.dtype} {pictures.shape}\0".encode())
        digest.update(np.ascontiguousarray(pictures).data)
        digest.update(repr((label.tolist(), columns, names, provenance)).encode())
        coded = encode_action_units(action_units) if len(action_units) else None
        if coded is not None:
            digest.update(coded.tobytes())
        return cls(
            pictures=pictures,
            label=label,
            **columns,
            class_names=names,
            provenance=provenance,
            fingerprint=digest.hexdigest()[:32],
            corpus_name=corpus_name,
            action_units=coded,
        )

    def __post_init__(self):
        for name, default in (
            ("action_units", np.full((len(self.pictures), len(ACTION_UNITS)), NOT_CODED, np.int8)),
            ("landmarks", np.full((len(self.pictures), 68, 2), np.nan, np.float32)),
        ):
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)
        self._check_shapes()
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

    def _check_shapes(self) -> None:
        shape, dtype = self.pictures.shape, self.pictures.dtype
        if dtype != np.uint8 or find_kind(shape[1:]) is None:
            raise ShapeError(
                f"got pictures as {dtype} of shape {shape}; expected uint8: {describe_kinds()}. "
                "`mer_jax.vision.prepare.prepare_clip` makes faces from frames; `mer_jax.data.motion.quantize` stores "
                "motion features in 8 bits."
            )
        if self.label.ndim != 1 or self.label.dtype != np.int32:
            raise ShapeError(
                f"labels are {self.label.dtype} of shape {self.label.shape}; expected int32 of shape (clips,)."
            )
        if self.action_units.dtype != np.int8 or self.action_units.shape[1:] != (len(ACTION_UNITS),):
            raise ShapeError(
                f"action units are {self.action_units.dtype} of shape {self.action_units.shape}; expected int8 "
                f"(clips, {len(ACTION_UNITS)}) from `mer_jax.data.action_units.encode_action_units`."
            )
        if self.landmarks.dtype != np.float32 or self.landmarks.shape[1:] != (68, 2):
            raise ShapeError(
                f"landmarks are {self.landmarks.dtype} of shape {self.landmarks.shape}; expected float32 of shape "
                "(clips, 68, 2)."
            )
        for name in ("label", "subject", "clip_id", "corpus", "action_units", "landmarks"):
            if len(getattr(self, name)) != len(self.pictures):
                raise ShapeError(
                    f"{name} has {len(getattr(self, name))} entries for {len(self.pictures)} clips; "
                    "expected one for each clip."
                )
        if not len(self.pictures):
            raise CorpusError("there are no clips; expected at least one. Check the corpus or the selection.")

    def __len__(self) -> int:
        return len(self.clip_id)

    @property
    def kind(self) -> str:
        """What `pictures` holds, such as "faces" or "motion"; see `mer_jax.data.stored`."""
        return find_kind(self.pictures.shape[1:]) or ""

    @property
    def num_frames(self) -> int:
        """Frames in each clip after sampling; 1 for pictures of motion."""
        return self.pictures.shape[1] if self.kind == "faces" else 1

    @functools.cached_property
    def num_subjects(self) -> int:
        """Number of people."""
        return len(set(self.subject))

    @property
    def has_action_units(self) -> bool:
        """Whether action units of some clip are known."""
        return bool((self.action_units != NOT_CODED).any())

    def class_counts(self) -> Int[np.ndarray, " k"]:
        """Number of clips of each class, in the order of `class_names`."""
        return np.bincount(self.label, minlength=len(self.class_names))

    def select(self, indices: Sequence[int] | Int[np.ndarray, " m"]) -> "Clips":
        """Selects clips, in the order given.

        Args:
            indices: positions of clips, 0-based, each at most once.

        Returns:
            The clips at these positions. Their fingerprint depends on the whole and on the selection.

        Raises:
            ShapeError: A position that does not exist.
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
            pictures=self.pictures[indices],
            label=self.label[indices],
            subject=take(self.subject),
            clip_id=take(self.clip_id),
            corpus=take(self.corpus),
            action_units=self.action_units[indices],
            landmarks=self.landmarks[indices],
            fingerprint=digest.hexdigest()[: len(self.fingerprint)],
        )
