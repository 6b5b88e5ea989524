"""Curves for TensorBoard, beside history.jsonl: the extra `tensorboard`."""

from pathlib import Path

from mer_jax.data.provenance import surrogate_mark
from mer_jax.errors import ConfigError


class Curves:
    """Event files of one run, in `<run folder>/tensorboard/<protocol>/seed_<s>/fold_<i>`.

    Args:
        folder: Run folder.
        provenance: Of the corpus; with "surrogate", every name begins with SURROGATE.

    Raises:
        ConfigError: The package tensorboardX is not installed.
    """

    def __init__(self, folder: Path, provenance: str):
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ConfigError(
                "got --tensorboard, and tensorboardX is not installed; `.venv/bin/python -m pip install tensorboardX`, "
                "or go without: history.jsonl holds the same"
            ) from error
        self._make = SummaryWriter
        self._folder = folder / "tensorboard"
        self._prefix = surrogate_mark(provenance, after=" ")
        self._writers = {}

    def restore(self, protocol: str, seed: int, fold: int, epoch: int) -> None:
        """Starts a fold after `epoch` epochs; later points of an interrupted run are dropped."""
        folder = self._folder / protocol / f"seed_{seed}" / f"fold_{fold:02d}"
        if writer := self._writers.get((protocol, seed, fold)):
            writer.close()
        self._writers[protocol, seed, fold] = self._make(str(folder), purge_step=epoch + 1)

    def add(self, protocol: str, seed: int, fold: int, rows: list[dict[str, float]]) -> None:
        """Adds the epochs of a chunk."""
        writer = self._writers[protocol, seed, fold]
        for row in rows:
            for name, value in row.items():
                if name != "epoch":
                    writer.add_scalar(self._prefix + name, value, int(row["epoch"]))
        writer.flush()

    def finish(self, protocol: str, seed: int, fold: int) -> None:
        """Closes the event file of a fold."""
        self._writers.pop((protocol, seed, fold)).close()
