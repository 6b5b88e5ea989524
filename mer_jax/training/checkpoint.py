"""Checkpoints of one fold: the one file that knows orbax.

Orbax numbers its operations by process: two at once, of different folds, wait for each
other's signals until they time out. So all of them go through one thread, in turn. That
thread is also what makes saving asynchronous: training goes on while it writes.
"""

import logging
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from mer_jax.errors import CheckpointError
from mer_jax.system.files import checksum_array, is_sealed, seal

SCHEMA_VERSION = 3  # 3: checksums
ROOM_FOR_METADATA = 2**20  # bytes
_LOG = logging.getLogger(__name__)
_WRITER = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")


class FoldCheckpoints:
    """The newest states of one fold, in a folder of their own.

    Writing is atomic: a killed process leaves the checkpoint before, never half of one.
    The state carries the weights of the best epoch, so the newest two are all that is
    kept. Of several processes that train together, the first one writes and all read.

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
        self._saving: Future | None = None
        self._closed = False
        self._manager: ocp.CheckpointManager = _in_turn(self._open)

    def _open(self) -> ocp.CheckpointManager:
        # Each process for itself: orbax would have all of them write their shares, and wait for each other.
        alone = ocp.options.MultiprocessingOptions(
            primary_host=jax.process_index(),
            active_processes={jax.process_index()},
            barrier_sync_key_prefix=f"process{jax.process_index()}",
        )
        options = ocp.CheckpointManagerOptions(
            preservation_policy=checkpoint_managers.LatestN(2),
            enable_async_checkpointing=False,
            cleanup_tmp_directories=jax.process_index() == 0,
            multiprocessing_options=alone,
            create=False,
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        return ocp.CheckpointManager(self.folder, options=options)

    def save(self, epoch: int, state: Any) -> None:
        """Takes a copy of the state after `epoch` epochs, which is written while training goes on.

        The write before has been finished when this returns. `close` waits for the last one.

        Raises:
            CheckpointError: there is no room, or this or the write before failed. The
                checkpoints before stay as they are.
        """
        if jax.process_index() != 0:
            return
        # Asked before: orbax fails late on a full disk.
        needed = int(1.2 * sum(leaf.nbytes for leaf in jax.tree.leaves(state))) + ROOM_FOR_METADATA
        if (free := shutil.disk_usage(self.folder).free) < needed:
            raise CheckpointError(
                f"no room for a checkpoint in {self.folder}: {free / 1e6:.0f} MB are free, {needed / 1e6:.0f} MB are "
                "needed; make room, then the same command with --resume continues"
            )
        # Copied: the caller may give the buffers away.
        copy = jax.tree.map(lambda leaf: np.array(leaf, copy=True), state)
        self._wait()
        self._saving = _WRITER.submit(self._write, epoch, copy)

    def _write(self, epoch: int, state: Any) -> None:
        meta = seal({**self._meta, "arrays": _describe(state), "checksums": _checksums(state)})
        args = ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta))
        try:
            saved = self._manager.save(epoch, args=args)
        except Exception as error:  # orbax has no common class for what a file system can do
            raise CheckpointError(
                f"cannot write a checkpoint in {self.folder}: {_reason(error)}; see to the folder, then the same "
                "command with --resume continues"
            ) from error
        if not saved:  # orbax passes over an epoch that it believes to have
            raise CheckpointError(f"{self.folder} holds epoch {epoch} or a later one already; remove that folder")

    def _wait(self) -> None:
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.result()

    def close(self) -> None:
        """Waits until all is written.

        Raises:
            CheckpointError: the last write failed.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._wait()
        finally:
            _in_turn(self._manager.close)

    def __enter__(self) -> "FoldCheckpoints":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def restore_newest(self, template: Any) -> Any | None:
        """The newest state that can be read, as NumPy arrays, or None where there is none.

        Args:
            template: a state of the shapes that are expected.

        Raises:
            CheckpointError: the checkpoint belongs to another experiment or version, or
                its arrays have other shapes.
        """
        self._wait()
        return _in_turn(lambda: self._restore_newest(template))

    def _restore_newest(self, template: Any) -> Any | None:
        as_numpy = jax.tree.map(np.asarray, template)
        for epoch in sorted(self._manager.all_steps(), reverse=True):
            try:
                meta = self._restore(epoch, meta=ocp.args.JsonRestore())
                _check_meta(meta)
                self._check(epoch, meta, template)
                state = self._restore(epoch, state=ocp.args.StandardRestore(as_numpy))
                _check_state(state, meta)
                return state
            except CheckpointError:
                raise
            except Exception as error:  # a damaged checkpoint fails in many ways, with no common class
                # What the system refuses, or has no memory for, says nothing of the checkpoint.
                if isinstance(error, MemoryError | OSError) and not isinstance(error, FileNotFoundError):
                    raise CheckpointError(
                        f"cannot read the checkpoint {self.folder}/{epoch}: {_reason(error)}; nothing was removed: see "
                        "to the folder, then the same command with --resume continues"
                    ) from error
                _LOG.warning("checkpoint %s/%d is damaged, trying an older one: %s", self.folder, epoch, _reason(error))
                if jax.process_index() == 0:
                    self._set_aside(epoch)
        return None

    def _set_aside(self, epoch: int) -> None:
        """Renames a damaged checkpoint, or it would count as the newest, and nothing be saved again."""
        aside = self.folder / f"damaged_{epoch}"
        shutil.rmtree(aside, ignore_errors=True)
        (self.folder / str(epoch)).rename(aside)
        self._manager.reload()

    def _read_weights(self) -> dict[str, Any] | None:
        try:
            epoch = self._manager.latest_step()
            if epoch is None:
                return None
            meta = self._restore(epoch, meta=ocp.args.JsonRestore())
            _check_meta(meta)
            state = self._restore(epoch, state=ocp.args.StandardRestore())
            _check_state(state, meta)
            return {"params": state["best_params"], **state["best_model_state"]}
        except Exception as error:  # a damaged checkpoint fails in many ways, with no common class
            _LOG.warning("the weights in %s cannot be read: %s", self.folder, _reason(error))
            return None

    def _restore(self, epoch: int, **item: Any) -> Any:
        (name,) = item
        restored: Any = self._manager.restore(epoch, args=ocp.args.Composite(**item))
        return restored[name]

    def _check(self, epoch: int, meta: dict[str, Any], template: Any) -> None:
        for name, expected in {**self._meta, "arrays": _describe(template)}.items():
            if (got := meta.get(name)) == expected:
                continue
            if name == "arrays" and isinstance(got, dict) and isinstance(expected, dict):
                differ = min(path for path in {*got, *expected} if got.get(path) != expected.get(path))
                name, got, expected = differ, got.get(differ, "missing"), expected.get(differ, "nothing")
            raise CheckpointError(
                f"{self.folder}/{epoch} is of another experiment or version: {name} is {got}, expected {expected}; "
                "use another --workdir, or the config that the checkpoint was made with"
            )


def read_weights(folder: Path) -> dict[str, Any] | None:
    """The weights that were tested, from the newest checkpoint of a fold.

    Args:
        folder: of the fold.

    Returns:
        What the model's `apply` takes, as NumPy arrays; None where nothing can be read,
        such as of a baseline, which has no checkpoints.
    """
    if not Path(folder).is_dir():  # orbax would make it
        return None
    with FoldCheckpoints(folder, "") as checkpoints:
        return _in_turn(checkpoints._read_weights)


def _in_turn(work: Callable[[], Any]) -> Any:
    return _WRITER.submit(work).result()


def _reason(error: Exception) -> str:
    return str(error).partition("[tensorstore_spec")[0].strip() or type(error).__name__


class _DamagedError(Exception):
    """What was read is not what was written."""


def _checksums(state: Any) -> dict[str, str]:
    """Checksum of each array, over its content, type and shape."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): checksum_array(leaf) for path, leaf in leaves}


def _check_meta(meta: Any) -> None:
    is_older = isinstance(meta, dict) and meta.get("schema") in range(1, SCHEMA_VERSION) and "checksum" not in meta
    if not is_older and not is_sealed(meta):
        raise _DamagedError("its description is not what was written")


def _check_state(state: Any, meta: dict[str, Any]) -> None:
    differ = [name for name, checksum in _checksums(state).items() if meta["checksums"].get(name) != checksum]
    if differ or len(_checksums(state)) != len(meta["checksums"]):
        raise _DamagedError(f"{', '.join(differ[:3]) or 'an array'} is not what was written")


def _describe(state: Any) -> dict[str, str]:
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves}
