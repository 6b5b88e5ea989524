"""Graphs of facial landmarks and action units: convolution, attention with features of edges, and pooling of nodes."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jaxtyping import Array, Float, Int

_NO_EDGE = -1e9  # score of an edge that is not there


class GraphConvolution(nn.Module):
    """Mixes the features of neighbours: leaky ReLU of `A x W`.

    Parameters: `kernel` [d, e].
    Collections: `params`. Rngs: none beyond `params` at initialisation.

    Attributes:
        features: Width e of the result.
        negative_slope: Slope of the leaky ReLU below 0.
        dtype: Of the arithmetic; None takes that of the input. Parameters are float32.

    Source: Kipf and Welling, "Semi-supervised classification with graph convolutional networks", ICLR 2017, equation 2,
    with leaky ReLU, and first weights uniform within 1 / sqrt(e), as in the code of AU-GCN.
    """

    features: int
    negative_slope: float = 0.2
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "*b n d"], adjacency: Float[Array, "*b n n"]) -> Float[Array, "*b n e"]:
        """Returns the features of each node.

        Args:
            x: Features of the nodes.
            adjacency: Weights A, normalised, such as by `normalize_adjacency`; row i weighs what node i receives.
        """

        def uniform(key, shape, dtype=jnp.float32):
            bound = self.features**-0.5
            return jax.random.uniform(key, shape, dtype, -bound, bound)

        kernel = self.param("kernel", uniform, (x.shape[-1], self.features))
        x, adjacency, kernel = promote_dtype(x, adjacency, kernel, dtype=self.dtype)
        return nn.leaky_relu(adjacency @ (x @ kernel), self.negative_slope)


class EdgeAttention(nn.Module):
    """Multi-head attention over neighbours, whose scores and messages know the features of the edge between two nodes.

    Score of node j for node i: leaky ReLU of `a x_i + b x_j + c e_ij`; softmax over the neighbours j of i. What i
    receives: the mean of `W x_j + V e_ij` with these weights, for each head; then all heads side by side, ELU.

    Parameters: `node` [d, r] + [r], `edge` [e, r], with r = `heads * head_dim`; `receiver` and `sender` [heads,
    head_dim] for a and b; `relation` [e, heads] for c.
    Collections: `params`. Rngs: none beyond `params` at initialisation.

    Attributes:
        heads: Number of heads.
        head_dim: Width of each head.
        dtype: Of the arithmetic; None takes that of the input. Parameters are float32.

    Source: Velickovic et al., "Graph attention networks", ICLR 2018, equations 1 to 5.
    Differs: the terms of the edges, in scores and messages, are ours.
    """

    heads: int
    head_dim: int
    dtype: Any = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "*b n d"], edges: Float[Array, "*b n n e"], adjacency: Float[Array, "*b n n"]
    ) -> Float[Array, "*b n r"]:
        """Returns the features of each node.

        Args:
            x: Features of the nodes.
            edges: Features of the edge from j (second axis) to i (first axis).
            adjacency: Above 0 where there is an edge; a node should have one to itself.
        """
        size = (self.heads, self.head_dim)
        init = nn.initializers.lecun_normal()
        receiver, sender = (self.param(name, init, size) for name in ("receiver", "sender"))
        nodes = nn.Dense(self.heads * self.head_dim, dtype=self.dtype, name="node")(x)
        nodes = nodes.reshape(*nodes.shape[:-1], *size)
        nodes, receiver, sender = promote_dtype(nodes, receiver, sender, dtype=self.dtype)
        relation = nn.Dense(self.heads, use_bias=False, dtype=self.dtype, name="relation")(edges)
        scores = (nodes * receiver).sum(-1)[..., :, None, :] + (nodes * sender).sum(-1)[..., None, :, :] + relation
        scores = jnp.where(adjacency[..., None] > 0, nn.leaky_relu(scores, 0.2), _NO_EDGE)
        weights = nn.softmax(scores, axis=-2)  # *b n n heads
        received = jnp.einsum("...ijh,...jhd->...ihd", weights, nodes)
        # The edges are averaged before they are projected: the same sum, of fewer numbers.
        about = jnp.einsum("...ijh,...ije->...ihe", weights, edges.astype(weights.dtype))
        kernel = self.param("edge", init, (edges.shape[-1], *size))
        received += jnp.einsum("...ihe,ehd->...ihd", about, kernel.astype(about.dtype))
        return nn.elu(received.reshape(*x.shape[:-1], self.heads * self.head_dim))


def normalize_adjacency(adjacency: Float[Array, "*b n n"]) -> Float[Array, "*b n n"]:
    """Adds the identity and divides by the square roots of the numbers of neighbours: `D^-1/2 (A + I)' D^-1/2`.

    Args:
        adjacency: Weights A, at least 0.

    Source: Kipf and Welling, ICLR 2017, section 2. As in the code of AU-GCN, D counts entries that are not 0 instead of
    summing them, and A is transposed.

    Example:
        >>> normalize_adjacency(jnp.array([[0.0, 1.0], [0.0, 0.0]])).round(3).tolist()
        [[0.5, 0.0], [0.7070000171661377, 1.0]]
    """
    adjacency = adjacency + jnp.eye(adjacency.shape[-1], dtype=adjacency.dtype)
    scale = jnp.maximum((adjacency != 0).sum(-1), 1) ** -0.5
    return jnp.swapaxes(adjacency * scale[..., None, :], -1, -2) * scale[..., None, :]


def nearest_neighbours(positions: Float[Array, "*b n p"], number: int) -> Float[Array, "*b n n"]:
    """Connects each node with the nearest ones, itself included, and these with it: 1 where there is an edge, else 0.

    Args:
        positions: Of the nodes.
        number: Neighbours of each node, itself not counted; fewer where there are fewer nodes.
    """
    squares = squared_distances(positions)
    last = min(number, squares.shape[-1] - 1)
    near = squares <= jnp.sort(squares, axis=-1)[..., last : last + 1]
    return (near | jnp.swapaxes(near, -1, -2)).astype(positions.dtype)


def squared_distances(positions: Float[Array, "*b n p"]) -> Float[Array, "*b n n"]:
    """Squared Euclidean distances between all nodes."""
    return ((positions[..., :, None, :] - positions[..., None, :, :]) ** 2).sum(-1)


def jaccard_similarity(adjacency: Float[Array, "*b n n"]) -> Float[Array, "*b n n"]:
    """Share of the neighbours of either of two nodes that are neighbours of both.

    Args:
        adjacency: 1 where there is an edge, else 0.

    Example:
        >>> adjacency = jnp.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
        >>> [round(x, 2) for x in jaccard_similarity(adjacency)[0].tolist()]
        [1.0, 0.67, 0.33]
    """
    both = adjacency @ jnp.swapaxes(adjacency, -1, -2)
    degree = adjacency.sum(-1)
    return both / jnp.maximum(degree[..., :, None] + degree[..., None, :] - both, 1)


def top_nodes(scores: Float[Array, "*b n"], number: int) -> Int[Array, "*b m"]:
    """Indices of the nodes with the highest scores, highest first.

    Args:
        scores: Of the nodes.
        number: How many are kept, at most n.

    Source: Lee et al., "Self-attention graph pooling", ICML 2019, equation 4.
    """
    return jax.lax.top_k(scores, number)[1]


def take_nodes(x: Float[Array, "*b n d"], nodes: Int[Array, "*b m"]) -> Float[Array, "*b m d"]:
    """The features of some nodes."""
    return jnp.take_along_axis(x, nodes[..., None], axis=-2)


def take_edges(edges: Float[Array, "*b n n e"], nodes: Int[Array, "*b m"]) -> Float[Array, "*b m m e"]:
    """The features of the edges between some nodes."""
    edges = jnp.take_along_axis(edges, nodes[..., :, None, None], axis=-3)
    return jnp.take_along_axis(edges, nodes[..., None, :, None], axis=-2)
