"""Errors that a user can cause.

Every message says what was given, what was expected and what to do. The commands print only the message, without a
traceback, and exit with code 1.
"""

import difflib
from collections.abc import Iterable
from typing import Any


class MerError(Exception):
    """Base class of all errors caused by the input rather than by a bug."""


class ConfigError(MerError, ValueError):
    """An experiment with an invalid configuration.

    Cause: an unknown field, a value out of range, or two fields that contradict each other. Cure: change the field
    that the message names, in the config file or with `--config.<field>=value`.
    """


class ShapeError(MerError, ValueError):
    """An array with the wrong shape or dtype for a model or block.

    Cause: clips of another size than the network was built for, too few frames for its kernels, integers instead of
    floats. Cure: as the message says; nothing has been compiled yet.
    """


class CorpusError(MerError):
    """A corpus folder with unexpected content.

    Cause: a wrong path, an incomplete copy, a damaged frame or unreadable annotations. Cure: the message names the
    folder or file, and lists what was expected and what was found.
    """


class FaceModelError(MerError):
    """The face landmark model is missing, has another checksum, or does not start.

    Cause: `face_landmarker.task` is in none of the known places, its checksum differs, or MediaPipe lacks a system
    library. Cure: `make setup` downloads the file; the README lists the system libraries.
    """


class NoFaceError(MerError):
    """No usable face in the examined frames."""


class SeveralFacesError(NoFaceError):
    """Several faces, and the options require an explicit choice.

    Cause: `face="ask"`. Cure: choose one of the faces that the message lists, or `largest`.
    """


class DecodeError(MerError):
    """A video or an image file that cannot be decoded; the message names it."""


class NonFiniteLossError(MerError):
    """The training loss is not finite.

    Cause: nearly always the learning rate, or raw class weights that multiply it. Cure: lower `learning_rate`, set
    `class_weights='normalized'`, or clip gradients; the message names the folds, their epochs and the learning rate.
    The other folds are trained and reported.

    Attributes:
        results: Results of `mer_jax.train`, of the folds that have one.
    """

    def __init__(self, message: str, *, results: Any = None):
        super().__init__(message)
        self.results = results


class MemoryLimitError(MerError):
    """Out of memory on a device.

    Cause: too many folds at once, or too large a batch or network. Cure: lower what the message names; checkpoints are
    kept, and `--resume` continues from them.
    """


class CheckpointError(MerError):
    """A checkpoint of another experiment, or one that cannot be read."""


class ModelError(MerError):
    """A trained model that cannot be used.

    Cause: the folder is missing, cut short or damaged, was written by a newer version, or names a network that is not
    in `mer_jax.models`. Cure: as the message says; copy the folder again from its source, or write it again with
    `experiments.run --final`.
    """


class IntervalsError(MerError, ValueError):
    """Intervals of a video that cannot be read or scored.

    Cause: a file in an unknown form, an offset before its onset, the same label twice, or predictions and labels of
    different videos. Cure: the message names the file and the row, annotation or video.
    """


def near_names(name: str, known: Iterable[str]) -> str:
    """Suggests known names similar to an unknown one, or lists them all.

    Example:
        >>> near_names("learnig_rate", ["learning_rate", "seed"])
        "did you mean 'learning_rate'?"
        >>> near_names("zzz", ["learning_rate", "seed"])
        "known: 'learning_rate', 'seed'"
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(repr(each) for each in close) + "?"
    return "known: " + ", ".join(repr(each) for each in known)
