"""The flags of `experiments.run` and `experiments.leakage`, read once into one value."""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments.final import WAYS
from experiments.run_experiment import RunOptions
from mer_jax.config import DIAGNOSTICS, PRETRAINING_WAYS
from mer_jax.errors import ConfigError

_MANUAL_DIR = flags.DEFINE_string("manual_dir", None, "Folder of the licensed corpus; default: $MER_MANUAL_DIR.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of built corpora; default: $MER_DATA_DIR or ./data.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Run folder; default: runs/<config>-<time>.")
_RESUME = flags.DEFINE_bool("resume", False, "Continue the run in --workdir, or the newest unfinished one.")
DIAGNOSTIC = flags.DEFINE_enum(
    "diagnostic",
    None,
    [name for name in DIAGNOSTICS if name],
    "Shown beside the results, never instead: what choosing the epoch by its TEST accuracy would have shown.",
)
REPEAT = flags.DEFINE_string("repeat", None, "Run folder to run again, from its config.json, and to compare with.")
PRETRAINED = flags.DEFINE_string(
    "pretrained",
    None,
    "Model to start from: a model folder, a run folder, or surrogate-motion. For the same network, or StandardFlow.",
)
PRETRAINED_BY = flags.DEFINE_enum(
    "pretrained_by",
    "weights",
    PRETRAINING_WAYS,
    "What of it is used: its weights, which every fold of a network starts from and which StandardFlow is pulled "
    "towards; or the clips that taught it, added to training with a weight. How much they count with StandardFlow is "
    "chosen inside the training people.",
)
_WORKERS = flags.DEFINE_integer(
    "workers", None, "Processes for rendering and preprocessing; default: all processors.", lower_bound=1
)
_JOBS = flags.DEFINE_integer(
    "jobs",
    None,
    "On a CPU: folds trained at the same time, each in a thread; default: one for each processor.",
    lower_bound=1,
)
_FOLD_PARALLEL = flags.DEFINE_string(
    "fold_parallel",
    "auto",
    "Folds trained at the same time as an axis of one compiled program: a number, or auto: as many as the "
    "accelerator's memory holds, and on a CPU one on each device.",
)
_TENSORBOARD = flags.DEFINE_bool("tensorboard", False, "Write curves for TensorBoard, too (needs tensorboardX).")
_KEEP = flags.DEFINE_bool("keep", False, "Use clips whose preparation fails (face lost, another person, ...), too.")


class _FinalParser(flags.ArgumentParser):
    """Flag with the values `all`, `none` and `ensemble`; `--final` means `all` and `--nofinal` means `none`."""

    syntactic_help = f"<{'|'.join(WAYS)}>"

    def parse(self, argument: str | bool) -> str:
        way = {"true": "all", "True": "all", "false": "none", "False": "none"}.get(str(argument), str(argument))
        if way not in WAYS:
            raise ValueError(f"expected one of {', '.join(WAYS)}")
        return way


_FINAL = flags.DEFINE(
    _FinalParser(),
    "final",
    "all",
    "Write a model to hand on into <workdir>/model: trained on all people for the median of the epochs that the "
    "subject-disjoint folds chose (all), or the weights of these folds together (ensemble). --nofinal writes none. "
    "With --resume, also for a finished run.",
    boolean=True,
)
_NO_FACES = flags.DEFINE_bool("no_faces", False, "Keep all faces out of pictures and report.")
_COORDINATOR = flags.DEFINE_string(
    "coordinator",
    None,
    "HOST:PORT of process 0, where several processes train together, each started with the same command, its "
    "--process_id and a --workdir that all of them see.",
)
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "Number of processes, with --coordinator.", lower_bound=1)
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Number of this process, from 0.", lower_bound=0)


def read_options(command: Sequence[str]) -> RunOptions:
    """Reads the parsed flags.

    Args:
        command: The whole command line, to be written into the run folder.

    Raises:
        ConfigError: A value that no run can take.
    """
    text = _FOLD_PARALLEL.value
    if text != "auto" and not (text.isdecimal() and int(text)):
        raise ConfigError(f"got --fold_parallel={text}, expected auto or a whole number from 1")
    return RunOptions(
        manual_dir=_MANUAL_DIR.value,
        data_dir=_DATA_DIR.value,
        workdir=Path(_WORKDIR.value).expanduser() if _WORKDIR.value else None,
        resume=_RESUME.value,
        workers=_WORKERS.value,
        jobs=_JOBS.value,
        fold_parallel=None if text == "auto" else int(text),
        tensorboard=_TENSORBOARD.value,
        keep=_KEEP.value,
        no_faces=_NO_FACES.value,
        final=_FINAL.value,
        coordinator=_COORDINATOR.value,
        num_processes=_NUM_PROCESSES.value,
        process_id=_PROCESS_ID.value,
        command=tuple(command),
    )
