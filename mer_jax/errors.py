"""The errors that a user can cause.

Every message says what was got, what was expected and what to do. The commands
print the message alone, without a traceback, and exit with code 1.
"""

import difflib
from collections.abc import Iterable


class MerError(Exception):
    """Base of all errors whose cause lies with the input, not with the code."""


class ConfigError(MerError, ValueError):
    """An experiment that cannot be run as it is written.

    Cause: an unknown field, a value out of its range, or two fields that contradict
    each other. Cure: change the field that the message names, in the config file or
    with `--config.<field>=value`.
    """


class ShapeError(MerError, ValueError):
    """An array that a model or block cannot take.

    Cause: clips of another size than the network was built for, too few frames for
    its kernels, integers where floats are expected. Cure: as the message says;
    nothing has been compiled yet.
    """


class CorpusError(MerError):
    """A corpus folder that is not what its name promises.

    Cause: a wrong path, half a copy, a damaged frame or an annotation that cannot be
    read. Cure: the message names the folder or file, and lists what was looked for
    and what was found.
    """


class FaceModelError(MerError):
    """The face landmark model is missing, is another file, or cannot be started.

    Cause: `face_landmarker.task` is not in any known place, its checksum differs, or
    MediaPipe lacks a system library. Cure: `make setup` fetches the file; the README
    names the system libraries.
    """


class NoFaceError(MerError):
    """No usable face in the frames that the pipeline looked at."""


class SeveralFacesError(NoFaceError):
    """Several faces, and the options say to ask which one is meant.

    Cause: `face="ask"`. Cure: name one of the faces that the message lists, or let
    the largest be taken.
    """


class DecodeError(MerError):
    """A video or an image file that cannot be decoded; the message names it."""


class NonFiniteLossError(MerError):
    """Training left the finite numbers.

    Cause: nearly always the learning rate, or raw class weights that multiply it.
    Cure: lower `learning_rate`, set `class_weights='normalized'`, or clip gradients;
    the message names the folds, their epochs and the learning rate. The other folds are trained and reported.
    """


class MemoryLimitError(MerError):
    """A device has no room for what was asked of it.

    Cause: too many folds at once, too large a batch or network. Cure: lower what the
    message names; checkpoints stay, and `--resume` goes on from them.
    """


class CheckpointError(MerError):
    """A checkpoint that does not belong to this experiment, or cannot be read."""


def near_names(name: str, known: Iterable[str]) -> str:
    """Says which known names resemble an unknown one, or lists them all.

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
