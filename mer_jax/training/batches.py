"""A corpus on the device, and batches out of it.

Clips live on the device in 8 bits, whole faces or another kind of pictures. A batch is
gathered by index inside the compiled program; there clips are augmented and made into
the inputs of the network by its view. Each device loads its own share.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax
from jaxtyping import Array, Bool

from mer_jax.config import Augmentation
from mer_jax.data.augment import draw_change
from mer_jax.data.view import View
from mer_jax.native import conv_pool as native
from mer_jax.native.faces import COLUMNS, load_faces
from mer_jax.protocols import Plan
from mer_jax.system.devices import over_data
from mer_jax.typing import Mask, PRNGKey

_NATIVE_VIEWS = {"halves": 2, "face": 1}  # those that C++ makes: into how many parts a face is cut

# The fields of these two are checked by nobody: jax.tree puts placeholders of its own into them.


@struct.dataclass
class Data:
    """A corpus on the device: stored pictures, see `mer_jax.data.stored`, labels and action units."""

    pictures: Any  # UInt8[Array, "n ..."]
    label: Any  # Int[Array, " n"]
    action_units: Any = None  # Int8[Array, "n u"], see `mer_jax.data.action_units`; None where nobody needs them


@struct.dataclass
class Items:
    """Padded list of items: which clip, which augmented copy of it, whether real.

    `copy` 0 is the clip itself. Padding repeats an item of the same side of the same fold. It has no weight in the
    loss, but counts in what a network gathers over a batch: with batch normalisation, numbers depend a little on how
    many devices share a batch.
    """

    clip: Any  # Int[Array, "*m"]
    copy: Any  # Int[Array, "*m"]
    real: Any  # Bool[Array, "*m"]


def load_batch(
    data: Data, items: Items, keys: PRNGKey, augmented: Mask, *, view: View, augment: Augmentation, normalization: str
) -> tuple[Array, ...]:
    """Gathers clips by index and makes them into what the network takes.

    Args:
        data: the corpus.
        items: b of them.
        keys: one for each item.
        augmented: which items are augmented.
        view: of the model.
        augment: amounts of augmentation.
        normalization: see `mer_jax.data.views`.

    Returns:
        The inputs of the model, with a leading axis b.
    """
    if not view.is_augmented:
        return view.make(data.pictures[items.clip], normalization)

    def load_natively(clip, keys, augmented, faces):
        change = jax.vmap(lambda key: draw_change(key, augment, faces.shape[-2:]))(keys)
        changes = change.position, change.gain, change.offset
        parts = load_faces(faces, clip, augmented, *changes, parts=_NATIVE_VIEWS[view.name])
        return tuple(part[..., None] for part in parts)

    def load(clip, keys, augmented, pictures):
        def one(item):
            clip, key, is_augmented = item
            picture = pictures[clip].astype(jnp.float32)
            picture = lax.cond(is_augmented, lambda: view.augment(key, picture, augment), lambda: picture)
            return view.make(picture, normalization)

        # One clip at a time stays in a CPU's cache; an accelerator wants the whole batch.
        batch_size = None if jax.default_backend() == "cpu" else clip.shape[0]
        return lax.map(one, (clip, keys, augmented), batch_size=batch_size)

    is_native = (
        jax.default_backend() == "cpu"
        and view.name in _NATIVE_VIEWS
        and normalization == "difference"
        and not augment.speed
        and data.pictures.shape[-1] % COLUMNS == 0
        and not native.load()
    )
    return over_data(load_natively if is_native else load, num_batched=3)(items.clip, keys, augmented, data.pictures)


def copy_keys(key: PRNGKey, items: Items) -> PRNGKey:
    """The key of each augmented copy: a function of clip and copy alone, in all folds and epochs."""
    return jax.vmap(lambda clip, copy: jax.random.fold_in(jax.random.fold_in(key, clip), copy))(items.clip, items.copy)


def in_batches(items: Items, batch_size: int) -> Items:
    """[m] -> [ceil(m / batch_size), batch_size], padded with items that are not real."""
    return jax.tree.map(lambda a: a.reshape(-1, batch_size), _pad(items, -items.clip.shape[0] % batch_size))


def deal_batches(items: Items, steps: int, batch_size: int) -> Items:
    """[m] -> [steps, batch_size], item i in batch i % steps, then padding."""
    padded = _pad(items, steps * batch_size - items.clip.shape[0])
    return jax.tree.map(lambda a: a.reshape(batch_size, steps).T, padded)


def _pad(items: Items, number: int) -> Items:
    return Items(
        clip=jnp.pad(items.clip, (0, number), mode="edge"),
        copy=jnp.pad(items.copy, (0, number), mode="edge"),
        real=jnp.pad(items.real, (0, number)),
    )


def pad_items(plan: Plan, side: Bool[np.ndarray, " m"], length: int) -> Items:
    """One side of a fold as a list of `length` items on the host, the surplus not real."""
    item = np.flatnonzero(side)
    pad = (0, length - len(item))
    return Items(
        clip=np.pad(plan.clip[item], pad, mode="edge").astype(np.int32),
        copy=np.pad(plan.copy[item], pad, mode="edge").astype(np.int32),
        real=np.arange(length) < len(item),
    )
