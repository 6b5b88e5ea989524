"""The folder of one run: what it was, how it went, and what is needed to go on.

config.json      what to repeat: experiment, versions, commit, data, command
corpus.json      clips that were left out or repaired, with the reason
folds.json       which clips train, validate and test, by protocol, seed and fold
history.jsonl    one line an epoch
checkpoints/     of every fold
model/           weights to hand on, with their card; see experiments.final
predictions.csv metrics.json *.png report.html    written when all folds are done
timings.json     seconds of each stage of the call that finished the run
"""

import contextlib
import datetime
import fcntl
import json
import math
import os
import platform
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

import mer_jax
from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.errors import ConfigError
from mer_jax.models import describe_model
from mer_jax.system.files import is_sealed, output_folder, seal, write_atomically
from mer_jax.training.train import checkpoint_folder, fingerprint

_PACKAGES = (
    "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "mediapipe", "opencv-contrib-python",
    "tensorflow-datasets",
)  # fmt: skip
FINISHED = "report.html"  # the last file that a run writes
CHECKPOINTS = "checkpoints"


class RunFolder:
    """One run on disk.

    Attributes:
        path: the folder.
        fingerprint: see `mer_jax.training.train.fingerprint`.
    """

    def __init__(self, path: Path, experiment: Experiment, clips: Clips):
        self.path = path
        self._writing = threading.Lock()  # folds are trained in threads
        self._said_damage = False
        self.fingerprint = fingerprint(experiment, clips)
        self._model = experiment.model
        self._config = {
            "experiment": experiment.to_dict(),
            "fingerprint": self.fingerprint,
            "data": {
                "corpus": clips.corpus_name,
                "provenance": clips.provenance,
                "fingerprint": clips.fingerprint,
                "clips": len(clips),
                "subjects": clips.num_subjects,
            },
        }

    @property
    def history_path(self) -> Path:
        """One JSON object a line: protocol, fold, seed, epoch, losses, accuracies, seconds."""
        return self.path / "history.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints of all folds."""
        return self.path / CHECKPOINTS

    def checkpoint_folder(self, protocol: str, seed: int, fold: int) -> Path:
        """Folder of the checkpoints of one fold."""
        return checkpoint_folder(self.checkpoints, protocol, seed, fold)

    def open(self, argv: Sequence[str]) -> dict[str, Any]:
        """Starts or continues the run.

        Args:
            argv: the command, to be written down.

        Returns:
            What config.json holds.

        Raises:
            ConfigError: the folder belongs to another experiment.
        """
        config_path = self.path / "config.json"
        config = {**self._config, "environment": describe_environment(self._model), "command": shlex.join(argv)}
        if jax.process_index() != 0:  # the first process keeps the folder
            return config
        if config_path.exists():
            config = read_config(self.path)
            if config["fingerprint"] != self.fingerprint:
                raise _hold_another(self.path, _first_difference(config, self._config))
            return self._go_on(config_path, config, argv)
        self.path.mkdir(parents=True, exist_ok=True)
        config["started"] = _now()
        _write_config(config_path, config)
        return config

    def _go_on(self, config_path: Path, config: dict[str, Any], argv: Sequence[str]) -> dict[str, Any]:
        """Writes down where a run goes on under other versions, on another commit or device."""
        now, first = describe_environment(self._model), config["environment"]
        differs = sorted(key for key in {*now, *first} if now.get(key) != first.get(key))
        if differs:
            entry = {"time": _now(), "command": shlex.join(argv), "environment": now, "differs": differs}
            config["resumed"] = [*config.get("resumed", []), entry]
            _write_config(config_path, config)
        return config

    def append_history(self, rows: Sequence[dict[str, Any]]) -> None:
        """Adds lines, and returns when they are on disk."""
        if jax.process_index() != 0:
            return
        with self._writing, self.history_path.open("a") as file:
            file.writelines(json.dumps(seal(_finite(row)), allow_nan=False) + "\n" for row in rows)
            file.flush()
            os.fsync(file.fileno())

    def read_history(self, *fold: str | int) -> list[dict[str, Any]]:
        """All whole lines, or those of one fold, named by protocol, seed and its number.

        The last line may have been cut short by a kill; damage elsewhere is said once on stderr.
        """
        content = self.history_path.read_bytes() if self.history_path.exists() else b""
        *lines, last = content.split(b"\n")
        rows = [_read_row(line) for line in (*lines, *([last] if last else []))]
        damaged = rows[: len(lines)].count(None)
        if damaged and not self._said_damage:
            self._said_damage = True
            print(
                f"{self.history_path}: {damaged} damaged lines are left out of curves and times; results do not depend "
                "on them",
                file=sys.stderr,
            )
        return [row for row in rows if row is not None and (not fold or _fold_of(row) == fold)]

    def forget_history(self, *fold: str | int, after_epoch: int) -> None:
        """Drops what one fold trained after its newest checkpoint: it will be trained again."""
        if jax.process_index() != 0:
            return
        with self._writing:
            rows = self.read_history()
            kept = [row for row in rows if _fold_of(row) != fold or row["epoch"] <= after_epoch]
            if len(kept) == len(rows) and self._ends_with_a_line():
                return
            write_atomically(self.history_path, "".join(json.dumps(seal(row)) + "\n" for row in kept))

    def _ends_with_a_line(self) -> bool:
        """Whether no kill cut the last line of the history short: the next one would be glued to it."""
        return self.history_path.exists() and self.history_path.read_bytes()[-1:] in (b"\n", b"")


def read_config(run: Path) -> dict[str, Any]:
    """Reads the config.json of a run folder.

    Raises:
        ConfigError: There is none, or it is not as it was written.
    """
    path = run / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{run} is not a run folder: {error.strerror}: {path}; expected its config.json") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is damaged: {error}; restore it, or choose another folder") from error
    if not is_sealed(config):
        raise ConfigError(
            f"{path} is damaged, or was changed by hand, or is of an earlier version: its checksum does not hold; "
            "restore it, or choose another folder"
        )
    return config


def _write_config(path: Path, config: dict[str, Any]) -> None:
    config.pop("checksum", None)
    write_atomically(path, json.dumps(seal(config), indent=2) + "\n")


def _read_row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not is_sealed(row):
        return None
    del row["checksum"]
    return row


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keeps a second process out of a run folder; a killed process leaves no lock.

    Raises:
        ConfigError: another process is running there.
    """
    if jax.process_index() != 0:  # the first process holds it for all
        yield
        return
    path.mkdir(parents=True, exist_ok=True)
    with (path / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"another process is running in {path}; wait for it, or choose another --workdir"
            ) from error
        yield


def check_workdir(workdir: Path, resume: bool, experiment: Experiment) -> None:
    """Refuses a `--workdir` that cannot be used, before anything is computed.

    Args:
        workdir: as given by the user.
        resume: whether a run in it may be continued.
        experiment: that is to be run.

    Raises:
        ConfigError: it is a file, or holds a run and `resume` is False, or holds one of another experiment.
    """
    output_folder(workdir, "--workdir")
    if not (workdir / "config.json").exists():
        return
    if not resume:
        state = "a finished" if (workdir / FINISHED).exists() else "an unfinished"
        raise ConfigError(f"{workdir} holds {state} run; add --resume to continue it, or choose another --workdir")
    # The name decides nothing; checksum and clips of a pretrained model are known when it is loaded.
    known = {key: value for key, value in experiment.to_dict().items() if key not in ("name", "pretraining")}
    if difference := _first_difference(read_config(workdir), {"experiment": known}):
        raise _hold_another(workdir, difference)


def choose_workdir(experiment: Experiment, identity: str, resume: bool) -> Path:
    """A folder under `runs/` where the user named none.

    Args:
        experiment: named and fed like the run.
        identity: fingerprint of experiment and data.
        resume: take the newest unfinished run of the same fingerprint, commit, versions
            and device, if there is one.
    """
    if resume:
        for path in sorted(Path("runs").glob(f"{experiment.name}-*"), reverse=True):
            with contextlib.suppress(ConfigError):
                config = read_config(path)
                same = config["fingerprint"] == identity and config["environment"] == describe_environment(
                    experiment.model
                )
                if same and not (path / FINISHED).exists():
                    return path
    return Path("runs") / f"{experiment.name}-{datetime.datetime.now():%Y%m%d-%H%M%S}"


def describe_environment(model: Any) -> dict[str, Any]:
    """Versions, commit and device: what else a result may depend on.

    Args:
        model: Network or baseline; what it chooses on this machine is recorded, see `describe_model`.
    """
    device = jax.devices()[0]
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "mer_jax": mer_jax.__version__,
        "commit": _git_commit(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": f"{device.platform}: {device.device_kind} x {jax.device_count()}, {os.cpu_count()} processors",
        **describe_model(model),
        "versions": versions,
    }


def _fold_of(row: dict[str, Any]) -> tuple[str, int, int]:
    return row["protocol"], row["seed"], row["fold"]


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no NaN."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


def _git_commit() -> str:
    root = Path(mer_jax.__file__).parents[1]
    try:
        run = [
            subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True)
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        ]
    except (OSError, subprocess.SubprocessError):
        return "unknown: git tells none"
    commit, status = (each.stdout.strip() for each in run)
    return f"{commit}, with uncommitted changes" if status else commit


def _hold_another(path: Path, difference: str) -> ConfigError:
    return ConfigError(f"{path} holds another experiment: {difference}; choose another --workdir")


def _first_difference(got: dict, expected: dict, prefix: str = "") -> str:
    for key in expected:
        a, b = got.get(key), expected[key]
        if isinstance(a, dict) and isinstance(b, dict):
            if difference := _first_difference(a, b, f"{prefix}{key}."):
                return difference
        elif a != b and f"{prefix}{key}" != "fingerprint":
            return f"{prefix}{key} is {a!r} there and {b!r} here"
    return ""
