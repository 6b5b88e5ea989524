"""Checkpoints of one fold: the one file that knows orbax."""

import logging
import shutil
import threading
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from mer_jax.errors import CheckpointError

SCHEMA_VERSION = 1
ROOM_FOR_METADATA = 2**20  # bytes
_LOG = logging.getLogger(__name__)
# Orbax numbers its operations by process: two saves at once wait for each other's signals, until they time out.
_TURN = threading.Lock()


class FoldCheckpoints:
    """The newest states of one fold, in a folder of their own.

    Writing is atomic: a killed process leaves the checkpoint before, never half of one.
    The state carries the weights of the best epoch, so the newest two are all that is
    kept. Folds in several threads of one process take turns.

    Attributes:
        folder: where they are.

    Args:
        folder: made if missing.
        fingerprint: of the experiment and its data; a checkpoint that carries another
            one is refused.
    """

    def __init__(self, folder: Path, fingerprint: str):
        self.folder = Path(folder).absolute()
        self._meta = {"schema": SCHEMA_VERSION, "fingerprint": fingerprint}
        options = ocp.CheckpointManagerOptions(
            preservation_policy=checkpoint_managers.LatestN(2),
            enable_async_checkpointing=False,
            cleanup_tmp_directories=True,
        )
        with _TURN:
            self._manager = ocp.CheckpointManager(self.folder, options=options)

    def save(self, epoch: int, state: Any) -> None:
        """Writes the state after `epoch` epochs.

        Raises:
            CheckpointError: there is no room, or the folder cannot be written to. The
                checkpoints before stay as they are.
        """
        # Asked before: orbax fails late on a full disk, and from several threads at once.
        needed = int(1.2 * sum(leaf.nbytes for leaf in jax.tree.leaves(state))) + ROOM_FOR_METADATA
        if (free := shutil.disk_usage(self.folder).free) < needed:
            raise CheckpointError(
                f"no room for a checkpoint in {self.folder}: {free / 1e6:.0f} MB are free, {needed / 1e6:.0f} MB are "
                "needed; make room, then the same command with --resume goes on"
            )
        meta = {**self._meta, "arrays": _describe(state)}
        args = ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta))
        try:
            with _TURN:
                saved = self._manager.save(epoch, args=args)
        except Exception as error:  # orbax has no common class for what a file system can do
            raise CheckpointError(
                f"cannot write a checkpoint in {self.folder}: {_reason(error)}; see to the folder, then the same "
                "command with --resume goes on"
            ) from error
        if not saved:  # orbax passes over an epoch that it believes to have
            raise CheckpointError(f"{self.folder} holds epoch {epoch} or a later one already; remove that folder")

    def __enter__(self) -> "FoldCheckpoints":
        return self

    def __exit__(self, *_) -> None:
        with _TURN:
            self._manager.close()

    def restore_newest(self, template: Any) -> Any | None:
        """The newest state that can be read, or None where there is none.

        Args:
            template: a state of the shapes that are expected.

        Raises:
            CheckpointError: the checkpoint belongs to another experiment or version, or
                its arrays have other shapes.
        """
        for epoch in sorted(self._manager.all_steps(), reverse=True):
            try:
                with _TURN:
                    meta = self._restore(epoch, meta=ocp.args.JsonRestore())
                self._check(epoch, meta, template)
                with _TURN:
                    state = self._restore(epoch, state=ocp.args.StandardRestore(template))
            except CheckpointError:
                raise
            except Exception as error:  # a damaged checkpoint fails in many ways, with no common class
                _LOG.warning("checkpoint %s/%d is damaged, trying an older one: %s", self.folder, epoch, _reason(error))
                with _TURN:
                    self._manager.delete(epoch)  # or it would count as the newest, and nothing be saved again
                continue
            # Buffers of our own, bound to no device: as a fresh state's, so that one compiled program takes both.
            return jax.tree.map(lambda leaf: jnp.array(np.asarray(leaf)), state)
        return None

    def _restore(self, epoch: int, **item: Any) -> Any:
        (name,) = item
        return self._manager.restore(epoch, args=ocp.args.Composite(**item))[name]

    def _check(self, epoch: int, meta: dict[str, Any], template: Any) -> None:
        for name, expected in {**self._meta, "arrays": _describe(template)}.items():
            if (got := meta.get(name)) == expected:
                continue
            if name == "arrays":
                differ = sorted(path for path in {*got, *expected} if got.get(path) != expected.get(path))
                name, got, expected = differ[0], got.get(differ[0], "missing"), expected.get(differ[0], "nothing")
            raise CheckpointError(
                f"{self.folder}/{epoch} is of another experiment or version: {name} is {got}, expected {expected}; "
                "use another --workdir, or the config that the checkpoint was made with"
            )


def _reason(error: Exception) -> str:
    return str(error).partition("[tensorstore_spec")[0].strip() or type(error).__name__


def _describe(state: Any) -> dict[str, str]:
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves}
