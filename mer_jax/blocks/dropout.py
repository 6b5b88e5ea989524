"""Dropout whose random bits cost little."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mer_jax.errors import ConfigError
from mer_jax.typing import PRNGKey

_WIDTHS = (1, 2, 4, 8, 16)  # bits of one decision; all divide 32


class Dropout(nn.Module):
    """Inverted dropout that draws as few random bits as the rate needs.

    `nn.Dropout` draws 32 bits for every feature, which takes as long on a CPU as the convolutions of a small network.
    A rate of 0.5 needs one bit. Rates that are not a multiple of 1 / 65,536 are rounded to one.

    Parameters: none.
    Collections: none. Rngs: `dropout` when training.

    Attributes:
        rate: Share of features set to zero while training, from 0 to below 1.

    Raises:
        ConfigError: A rate out of range.

    Source: Srivastava et al., "Dropout", JMLR 2014; `nn.Dropout`.
    Differs: features that are kept are multiplied by 1 / (1 - rate) while training, instead of by 1 - rate afterwards.
    """

    rate: float = 0.5

    @nn.compact
    def __call__(self, x: Float[Array, "*b _d"], *, is_training: bool) -> Float[Array, "*b _d"]:
        """Returns features, in training with some of them set to zero.

        Args:
            x: Features of any shape.
            is_training: Whether dropout is on.
        """
        if not 0 <= self.rate < 1:
            raise ConfigError(f"got a dropout rate of {self.rate}, expected from 0 to below 1")
        if not is_training or self.rate == 0:
            return x
        return jnp.where(draw_mask(self.make_rng("dropout"), self.rate, x.shape), 0, x / (1 - self.rate))


def draw_mask(key: PRNGKey, rate: float, shape: tuple[int, ...]) -> Bool[Array, "..."]:
    """Draws which elements are dropped, each on its own with probability `rate`.

    Args:
        key: Random key.
        rate: From 0 to below 1; rounded to a multiple of 1 / 65,536.
        shape: Of the mask.

    Example:
        >>> round(float(draw_mask(jax.random.key(0), 0.5, (64, 64)).mean()), 1)
        0.5
    """
    width = next((width for width in _WIDTHS if (rate * 2**width).is_integer()), _WIDTHS[-1])
    *axes, last = shape or (1,)
    first, *others = axes or (1,)
    in_word = 32 // width
    # The decisions of a word belong to different examples, so that neighbours in memory need the same shift.
    words = jax.random.bits(key, (-(-first // in_word), 1, *others, last), jnp.uint32)
    shifts = jnp.arange(0, 32, width, dtype=jnp.uint32).reshape(-1, *(1 for _ in others), 1)
    values = (words >> shifts) & jnp.uint32(2**width - 1)
    threshold = min(round(rate * 2**width), 2**width - 1)
    return (values.reshape(-1, *others, last)[:first] < threshold).reshape(shape)
