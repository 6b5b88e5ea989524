"""AU-GCN."""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from flax.linen.dtypes import promote_dtype
from jaxtyping import Array, Float, Num

from mer_jax.blocks.dropout import Dropout
from mer_jax.blocks.graph import GraphConvolution, normalize_adjacency
from mer_jax.blocks.transformer import TransformerLayer
from mer_jax.data.action_units import columns_of
from mer_jax.data.targets import Targets
from mer_jax.data.views import check_inputs
from mer_jax.errors import ConfigError
from mer_jax.sizes import PATCH_SIZE
from mer_jax.typing import Logits

UNITS = (1, 2, 4, 10, 12, 14, 15, 17, 25)  # action units of the graph: 3 of the brows, 6 of the mouth
_BROW_UNITS, _BROW_POINTS = 3, 10
# Units of prototypic surprise, fear, happiness, sadness, disgust (2), anger (2) and contempt, as far as in the graph.
_PROTOTYPES = ((1, 2), (1, 2, 4, 25), (12,), (1, 4, 15), (10, 17), (10, 25), (4, 10, 25), (4, 17), (12, 14))


class AUGCN(nn.Module):
    """Transformers over patches around landmarks, weighed by a graph of action units.

    Each frame: depthwise convolution 3x3 of every patch, batch normalisation, ReLU; brows and mouth each through
    transformer layers; joined, one layer more, dense 980, 320 and 160. The graph of a frame: an embedding of 9 units,
    two graph convolutions. Their product is a number for each unit and frame; layer normalisation, logits.

    Edges are weighed by how often one unit comes with another: over the training clips (counts in `class_stats`), or
    over prototypes of emotions where no clip has units, as on SMIC. (There, the authors count over two other corpora.)

    `patch_frames=1, joined=False` is the network that it descends from (1,047,176 parameters): brows and mouth go
    apart through dense 320 and 160, and meet their own units.

    Parameters: 2,499,001 with 3 classes.
    Collections: `params`, `batch_stats`, `class_stats` (counts of pairs of units). Rngs: `dropout` when training.

    Attributes:
        num_classes: Number of classes k.
        patch_frames: Frames with patches, evenly spaced from onset to offset; 1 is the apex.
        patch_values: What patches hold, `flow` or `difference`, see the view.
        layers: Transformer layers of brows and of mouth.
        joined: Whether one more layer is over both; False is for one frame.
        dropout: Share of features set to zero after the first dense layer while training.
        attention_dropout: Share of features set to zero in transformer layers while training.
        dtype: Of the arithmetic; None takes that of the input. Parameters and logits are float32.

    Source: Huang et al., "Micro-expression recognition with layered relations and more input frames", ICIP 2023, and
    its code; for the graph Lei et al., CVPRW 2021, and a re-implementation. Section 2 of the paper describes this
    network and cites another, `EdgeNodeGAT`.
    Differs: patches hold the magnitude of the flow in sampled frames, without learnt magnifier and interpolation. The
    code of 2023 computes the weights of the edges without using them; here they are used, as in 2021. The first
    normalisation is over all frames at once. The prototypes of emotions are ours, from memory of the guide to FACS.
    """

    view: ClassVar[str] = "patches"
    unused_inputs: ClassVar[tuple[int, ...]] = (1,)  # the positions

    num_classes: int = 3
    patch_frames: int = 12
    patch_values: str = "flow"
    layers: int = 6
    joined: bool = True
    dropout: float = 0.5
    attention_dropout: float = 0.1
    dtype: Any = None

    @nn.compact
    def __call__(
        self,
        patches: Num[Array, "..."],
        positions: Num[Array, "..."],
        *,
        is_training: bool,
        targets: Targets | None = None,
    ) -> Logits:
        """Maps the patches of each clip to logits.

        Args:
            patches: [*b, p, 7, 7, 1], from -1 to 1, frame by frame: 10 of the brows, then 20 of the mouth.
            positions: Of the landmarks [*b, p, 2]; not used.
            is_training: Whether dropout is on, and statistics are those of the batch.
            targets: In a training step; their action units are counted.

        Raises:
            ConfigError: More than one frame where brows and mouth are not joined.
            ShapeError: Inputs of another size, or integers.
        """
        check_inputs(self, patches, positions)
        if not self.joined and self.patch_frames > 1:
            raise ConfigError(f"got joined=False, patch_frames={self.patch_frames}; expected patch_frames=1 with it")
        x = patches[..., 0].reshape(*patches.shape[:-4], self.patch_frames, -1, PATCH_SIZE, PATCH_SIZE)
        x = self._depthwise(x).reshape(*x.shape[:-2], -1)  # *b f p n: frames, patches, pixels
        x = nn.relu(nn.BatchNorm(not is_training, axis=-2, momentum=0.9, dtype=self.dtype, name="normalize")(x))
        brows = self._encode(x[..., :_BROW_POINTS, :], "brows", self.layers, is_training)
        mouth = self._encode(x[..., _BROW_POINTS:, :], "mouth", self.layers, is_training)
        units = self._embed_units(targets)  # f u d
        if self.joined:
            x = self._encode(jnp.concatenate([brows, mouth], axis=-2), "joint", 1, is_training)
            x = jnp.einsum("...fd,fud->...fu", self._reduce(x, "joint", (980, 320, 160), is_training), units)
        else:
            sides = (("brows", brows, units[:, :_BROW_UNITS]), ("mouth", mouth, units[:, _BROW_UNITS:]))
            reduced = [(self._reduce(x, name, (320, 160), is_training), own) for name, x, own in sides]
            x = jnp.concatenate([jnp.einsum("...fd,fud->...fu", *pair) for pair in reduced], axis=-1)
        x = nn.LayerNorm(1e-6, feature_axes=(-2, -1), dtype=self.dtype, name="norm_units")(x).reshape(*x.shape[:-2], -1)
        x = nn.LayerNorm(1e-5, dtype=self.dtype, name="norm")(x) if self.joined else x
        return nn.Dense(self.num_classes, dtype=self.dtype, name="logits")(x).astype(jnp.float32)

    def _depthwise(self, x: Float[Array, "*b p h w"]) -> Float[Array, "*b p h w"]:
        p, h, w = x.shape[-3:]
        kernel = self.param("kernel", nn.initializers.normal(1 / 3), (3, 3, p))
        bias = self.param("bias", nn.initializers.zeros_init(), (p,))
        x, kernel, bias = promote_dtype(x, kernel[..., None, None], bias[:, None, None], dtype=self.dtype)
        padded = jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(1, 1), (1, 1)])
        for i, j in np.ndindex(3, 3):
            bias += padded[..., i : i + h, j : j + w] * kernel[i, j]
        return bias

    def _encode(self, x: Float[Array, "*b p n"], name: str, layers: int, is_training: bool) -> Float[Array, "*b p n"]:
        options: Any = {"epsilon": 1e-6, "norm_first": False, "dropout": self.attention_dropout, "dtype": self.dtype}
        for number in range(1, layers + 1):
            x = TransformerLayer(8, 16, 128, **options, name=f"{name}_{number}")(x, is_training=is_training)
        return x

    def _reduce(self, x: Float[Array, "*b p n"], name: str, widths: tuple[int, ...], is_training: bool) -> Array:
        x = x.reshape(*x.shape[:-2], -1)
        for number, width in enumerate(widths, start=1):
            x = nn.relu(nn.Dense(width, dtype=self.dtype, name=f"{name}_dense_{number}")(x))
            x = Dropout(self.dropout)(x, is_training=is_training) if number == 1 else x
        return x

    def _embed_units(self, targets: Targets | None) -> Float[Array, "f u d"]:
        pairs = self.variable("class_stats", "pairs", jnp.zeros, (len(UNITS), len(UNITS)), jnp.float32)
        if targets is not None:
            coded = (targets.action_units[:, np.array(columns_of(UNITS))] > 0) & targets.real[:, None]
            pairs.value += coded.astype(jnp.float32).T @ coded.astype(jnp.float32)
        prior = [[sum({i, j} <= {*each} for each in _PROTOTYPES) for i in UNITS] for j in UNITS]
        counts = jnp.where(pairs.value.any(), pairs.value, jnp.array(prior, jnp.float32))
        seen = jnp.diag(counts)  # how often each unit was seen
        adjacency = normalize_adjacency((counts - jnp.diag(seen)) / jnp.maximum(seen, 1)[:, None])
        graph = nn.vmap(GraphConvolution, in_axes=0, variable_axes={"params": 0}, split_rngs={"params": True})
        x = self.param("embedding", nn.initializers.normal(1.0), (self.patch_frames, len(UNITS), 40))
        for number, width in enumerate((80, 160), start=1):
            x = graph(width, dtype=self.dtype, name=f"graph_{number}")(x, jnp.stack([adjacency] * self.patch_frames))
        return x
