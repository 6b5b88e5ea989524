"""Residual blocks of 2D convolutions."""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from mer_jax.blocks.patch_conv import PatchConv


class ResidualBlock2D(nn.Module):
    """Two 3x3 convolutions with batch normalisation and ReLU, and a shortcut around them.

    Where the width or the size changes, the shortcut is a 1x1 convolution with batch normalisation.

    Parameters: `conv_1` [3, 3, c, d], `conv_2` [3, 3, d, d], `shortcut` [1, 1, c, d] where there is one, without
    biases; a norm of `2*d` for each.
    Collections: `params`, `batch_stats`. Rngs: none beyond `params` at initialisation.

    Attributes:
        features: Filters d.
        stride: Step of the first convolution along both axes.
        dtype: Of the arithmetic; None takes that of the input. Parameters are float32.

    Source: He et al., "Deep residual learning for image recognition", CVPR 2016, figure 2 and section 3.3; `BasicBlock`
    of torchvision.
    """

    features: int
    stride: int = 1
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "*b h w c"], *, is_training: bool) -> Float[Array, "*b h2 w2 d"]:
        """Returns the features of a block.

        Args:
            x: Pictures.
            is_training: Whether statistics are those of the batch, and update the running averages.
        """

        def conv(x, name, size, stride):
            layer = PatchConv(
                self.features, (size, size), (stride, stride), use_bias=False, dtype=self.dtype, name=f"conv_{name}"
            )
            norm = nn.BatchNorm(not is_training, momentum=0.9, dtype=self.dtype, name=f"norm_{name}")
            return norm(layer(x))

        y = nn.relu(conv(x, "1", 3, self.stride))
        y = conv(y, "2", 3, 1)
        if x.shape[-1] != self.features or self.stride > 1:
            x = conv(x, "shortcut", 1, self.stride)
        return nn.relu(x + y)
