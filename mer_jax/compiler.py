"""`jax.jit` with what XLA is to know of a processor."""

import functools
from collections.abc import Callable
from typing import Any

import jax


class wide_jit:  # noqa: N801 - used as a function
    """As `jax.jit`, for a program that is called and is no part of another; on CPUs it computes in wide vectors.

    XLA has LLVM use vectors of 256 bits, also on processors that compute on 512 at once. Loops of arithmetic, such as
    the convolution `fused`, are nearly twice as fast in these. A processor that has none is asked for what it has.

    Devices are looked for at the first call, as `jax.jit` does. All that a jitted function has, such as `lower`, is
    there.

    Args:
        function: what is compiled.
        how: as for `jax.jit`.
    """

    def __init__(self, function: Callable[..., Any], **how: Any):
        functools.update_wrapper(self, function)
        self._how = how

    @functools.cached_property
    def _jitted(self) -> Any:
        options = {"xla_cpu_prefer_vector_width": 512} if jax.default_backend() == "cpu" else None
        return jax.jit(self.__wrapped__, compiler_options=options, **self._how)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Compiles and runs it, as `jax.jit` does."""
        return self._jitted(*arguments, **keywords)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._jitted, name)
