"""One step of Adam in C++: all weights of a network in one call, in place, in one pass over the memory.

What `optax.adam` and `optax.adamw` compute, to rounding; once `conv_pool.load` has found the library. float32 on a CPU.
XLA makes three loops for every array, each of which has to be compiled and reads again what another one has read.
"""

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Array, Float

from mer_jax.native.conv_pool import target_name

B1, B2, EPSILON = 0.9, 0.999, 1e-8  # the defaults of optax


def step(
    numbers: Float[Array, "3"],
    gradients: Sequence[Float[Array, "..."]],
    weights: Sequence[Float[Array, "..."]],
    means: Sequence[Float[Array, "..."]],
    squares: Sequence[Float[Array, "..."]],
) -> tuple[list[Array], list[Array], list[Array]]:
    """Updates weights.

    Args:
        numbers: Learning rate over the bias correction of the means; one over that of the squares; learning rate times
            weight decay.
        gradients: Of every array of weights.
        weights: In the same order, as are the next two.
        means: Running means of the gradients.
        squares: Running means of their squares.

    Returns:
        New weights, means and squares.
    """
    number, state = len(weights), [*weights, *means, *squares]
    call = jax.ffi.ffi_call(
        target_name("adam_step"),
        tuple(jax.ShapeDtypeStruct(each.shape, each.dtype) for each in state),
        vmap_method="sequential",
        input_output_aliases={1 + number + index: index for index in range(len(state))},
    )
    new = call(numbers, *gradients, *state, b1=np.float64(B1), b2=np.float64(B2), epsilon=np.float64(EPSILON))
    return list(new[:number]), list(new[number : 2 * number]), list(new[2 * number :])
