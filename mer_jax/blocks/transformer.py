"""Transformer layers over a few tokens, such as facial areas or landmarks."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from mer_jax.blocks.dropout import Dropout


class SelfAttention(nn.Module):
    """Multi-head self-attention with scaled dot products, and a projection back to the width of the tokens.

    Parameters: `query`, `key`, `value` [d, e] without biases, `out` [e, d] and [d], where e = `heads * head_dim`;
    `4*d*e + d` in all.
    Collections: `params`. Rngs: none beyond `params` at initialisation.

    Attributes:
        heads: Number of heads.
        head_dim: Width of each head.
        dtype: Of the arithmetic; None takes that of the input. Parameters are float32.

    Source: Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.2.
    """

    heads: int
    head_dim: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "*b n d"]) -> Float[Array, "*b n d"]:
        """Returns tokens that are mixed with each other."""

        def project(name):
            y = nn.Dense(self.heads * self.head_dim, use_bias=False, dtype=self.dtype, name=name)(x)
            return y.reshape(*y.shape[:-1], self.heads, self.head_dim)

        query, key, value = project("query"), project("key"), project("value")
        scores = jnp.einsum("...qhd,...khd->...hqk", query, key) / self.head_dim**0.5
        mixed = jnp.einsum("...hqk,...khd->...qhd", nn.softmax(scores), value)
        mixed = mixed.reshape(*x.shape[:-1], self.heads * self.head_dim)
        return nn.Dense(x.shape[-1], dtype=self.dtype, name="out")(mixed)


class TransformerLayer(nn.Module):
    """Self-attention and a two-layer perceptron, each with a residual connection and layer normalisation.

    Parameters: those of `SelfAttention`; dense [d, r] + [r] and [r, d] + [d] with r = `hidden`; two norms of `2*d`.
    Collections: `params`. Rngs: `dropout` when training.

    Attributes:
        heads: Number of heads.
        head_dim: Width of each head.
        hidden: Width r of the perceptron.
        norm_first: True normalises the input of attention and perceptron (pre-norm, with GELU); False their sum with
            the input (post-norm, with ReLU).
        dropout: Share of the outputs of attention and perceptron set to zero while training.
        epsilon: Added to the variance in both norms.
        dtype: Of the arithmetic; None takes that of the input. Parameters are float32.

    Source: post-norm: Vaswani et al., NeurIPS 2017; pre-norm with GELU: Dosovitskiy et al., "An image is worth 16x16
    words", ICLR 2021.
    """

    heads: int
    head_dim: int
    hidden: int
    norm_first: bool = True
    dropout: float = 0.0
    epsilon: float = 1e-5
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "*b n d"], *, is_training: bool = False) -> Float[Array, "*b n d"]:
        """Returns tokens of the same shape.

        Args:
            x: Tokens.
            is_training: Whether dropout is on.
        """
        drop = Dropout(self.dropout)

        def attend(x):
            attention = SelfAttention(self.heads, self.head_dim, self.dtype, name="attention")
            return drop(attention(x), is_training=is_training)

        def perceive(x):
            y = nn.Dense(self.hidden, dtype=self.dtype, name="hidden")(x)
            y = nn.gelu(y, approximate=False) if self.norm_first else nn.relu(y)
            return drop(nn.Dense(x.shape[-1], dtype=self.dtype, name="out")(y), is_training=is_training)

        norms = [nn.LayerNorm(self.epsilon, dtype=self.dtype, name=f"norm_{number}") for number in (1, 2)]
        for norm, step in zip(norms, (attend, perceive), strict=True):
            x = x + step(norm(x)) if self.norm_first else norm(x + step(x))
        return x
