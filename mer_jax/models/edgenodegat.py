"""EdgeNodeGAT, the edge-node graph attention network of Kumar and Bhanu."""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from mer_jax.blocks.dropout import Dropout
from mer_jax.blocks.graph import (
    EdgeAttention,
    jaccard_similarity,
    nearest_neighbours,
    squared_distances,
    take_edges,
    take_nodes,
    top_nodes,
)
from mer_jax.data.views import check_inputs
from mer_jax.errors import ConfigError
from mer_jax.typing import Logits

_RADIUS = 0.25  # of the radial basis function, in halves of the face's width


class EdgeNodeGAT(nn.Module):
    """Graph attention over landmarks in three frames, with two streams: where a landmark is, and what moves there.

    Edges connect a landmark with its nearest neighbours in the same frame, and with itself in the other frames. An edge
    has two features: the Jaccard similarity of the neighbours of its two nodes, and a radial basis function of their
    distance. Each stream: attention with these features, top-k pooling by self-attention, the same again, then mean and
    maximum over the nodes that are left. Then: concatenate both streams, dense + ReLU, dropout, logits.

    Built with own choices (B): the paper was read as an abstract. Ours are the 51 landmarks, the three frames evenly
    spaced from onset to offset, neighbours, widths, heads, the share that pooling keeps, the head, and dropout.

    Parameters: 75,583 with 3 classes.
    Collections: `params`. Rngs: `dropout` when training.

    Attributes:
        num_classes: Number of classes k.
        patch_points: Landmarks, see the view.
        patch_frames: Frames with patches.
        patch_values: What patches hold, `flow` or `difference`, see the view.
        neighbours: Nearest landmarks that a landmark is connected with.
        heads: Heads of each attention.
        head_dim: Width of each head.
        keep: Share of the nodes that each pooling keeps, above 0 to 1.
        dense: Width of the dense layer.
        dropout: Share of its features set to zero while training.
        dtype: Of the arithmetic; None takes that of the input. Parameters and logits are float32.

    Source: Kumar and Bhanu, "Relational edge-node graph attention network for classification of micro-expressions",
    CVPRW 2023 (abstract): high-intensity frames, nodes of coordinates and flow patches, edges of Jaccard similarity and
    radial basis function, self-attention graph pooling with top-k, two streams. It is what the paper cites as [14].
    Differs: frames are not chosen by the intensity of the flow.
    """

    view: ClassVar[str] = "patches"

    num_classes: int = 3
    patch_points: str = "inner"
    patch_frames: int = 3
    patch_values: str = "flow"
    neighbours: int = 8
    heads: int = 4
    head_dim: int = 32
    keep: float = 0.5
    dense: int = 64
    dropout: float = 0.5
    dtype: Any = None

    @nn.compact
    def __call__(self, patches: Num[Array, "..."], positions: Num[Array, "..."], *, is_training: bool) -> Logits:
        """Maps the patches of each clip to logits.

        Args:
            patches: [*b, p, 7, 7, 1], from -1 to 1, frame by frame.
            positions: Of the landmarks [*b, p, 2], from -1 to 1.
            is_training: Whether dropout is on.

        Raises:
            ConfigError: Pooling that keeps no node, or more than all.
            ShapeError: Inputs of another size, or integers.
        """
        check_inputs(self, patches, positions)
        if not 0 < self.keep <= 1:
            raise ConfigError(f"got keep={self.keep}, expected a share of the nodes, above 0 to 1")
        adjacency = self._connect(positions)
        nearness = jnp.exp(-squared_distances(positions) / (2 * _RADIUS**2))
        edges = jnp.stack([jaccard_similarity(adjacency), nearness], axis=-1)
        frame = np.repeat(np.linspace(-1, 1, self.patch_frames), positions.shape[-2] // self.patch_frames)
        frame = jnp.broadcast_to(jnp.asarray(frame, positions.dtype)[:, None], (*positions.shape[:-1], 1))
        streams = {
            "place": jnp.concatenate([positions, frame], axis=-1),
            "motion": patches.reshape(*patches.shape[:-3], -1),
        }
        x = jnp.concatenate([self._stream(name, x, edges, adjacency) for name, x in streams.items()], axis=-1)
        x = nn.relu(nn.Dense(self.dense, dtype=self.dtype, name="dense")(x))
        x = Dropout(self.dropout)(x, is_training=is_training)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="logits")(x).astype(jnp.float32)

    def _connect(self, positions: Float[Array, "*b p 2"]) -> Float[Array, "*b p p"]:
        """Edges within a frame between near landmarks, and between frames from each landmark to itself."""
        lead, frames = positions.shape[:-2], self.patch_frames
        landmarks = positions.shape[-2] // frames
        near = nearest_neighbours(positions.reshape(*lead, frames, landmarks, 2), self.neighbours)
        same_frame = jnp.eye(frames, dtype=near.dtype)[:, None, :, None]
        same_landmark = jnp.eye(landmarks, dtype=near.dtype)[:, None, :]
        edges = jnp.maximum(near[..., None, :] * same_frame, same_landmark)  # *b frame landmark frame landmark
        return edges.reshape(*lead, frames * landmarks, frames * landmarks)

    def _stream(self, name: str, x: Array, edges: Array, adjacency: Array) -> Float[Array, "*b _d"]:
        for number in (1, 2):
            attention = EdgeAttention(self.heads, self.head_dim, self.dtype, name=f"{name}_{number}")
            x = attention(x, edges, adjacency)
            scores = EdgeAttention(1, 1, self.dtype, name=f"{name}_score_{number}")(x, edges, adjacency)
            nodes = top_nodes(scores[..., 0], max(1, round(self.keep * x.shape[-2])))
            x = take_nodes(x * nn.tanh(scores), nodes)
            edges, adjacency = take_edges(edges, nodes), take_edges(adjacency[..., None], nodes)[..., 0]
        return jnp.concatenate([x.mean(-2), x.max(-2)], axis=-1)
