"""Compilation of the programs that depend on an experiment's settings."""

import functools
import threading
from collections.abc import Callable
from typing import Any

import jax

from mer_jax.models import compiler_options


class Compiled:
    """`jax.jit` with static `settings`, and the XLA options that their model wants.

    XLA options belong to a `jax.jit`, not to a call of it, so there is one for each choice of options. Where threads
    make the first call for the same shapes together, one of them compiles and the others wait.

    Args:
        function: Of arrays and the keyword `settings`.
        seldom: Whether the program runs so seldom that on a CPU the time to compile counts more than the time to run:
            LLVM then optimises little. Results are the same.
        **jit_options: Of `jax.jit`.
    """

    def __init__(self, function: Callable[..., Any], *, seldom: bool = False, **jit_options: Any):
        functools.update_wrapper(self, function)
        self._function, self._seldom, self._jit_options = function, seldom, jit_options
        self._programs: dict[Any, Any] = {}
        self._locks: dict[Any, threading.Lock] = {}
        self._compiled: set[Any] = set()

    def __call__(self, *arguments: Any, settings: Any) -> Any:
        """Calls the compiled function."""
        program = self._program(settings)
        key = settings, tuple((leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(arguments))
        if key not in self._compiled:
            with self._locks.setdefault(key, threading.Lock()):
                if key not in self._compiled:
                    result = program(*arguments, settings=settings)
                    self._compiled.add(key)
                    return result
        return program(*arguments, settings=settings)

    def lower(self, *arguments: Any, settings: Any) -> jax.stages.Lowered:
        """Lowers the function, as `jax.jit` does."""
        return self._program(settings).lower(*arguments, settings=settings)

    def num_compiled(self) -> int:
        """Number of programs that were compiled."""
        return sum(program._cache_size() for program in self._programs.values())

    def _program(self, settings: Any) -> Any:
        options = compiler_options(settings.model)
        if self._seldom and jax.default_backend() == "cpu":
            options = {**options, "xla_backend_optimization_level": 1}
        key = tuple(sorted(options.items()))
        if key not in self._programs:
            program = jax.jit(self._function, static_argnames="settings", compiler_options=options, **self._jit_options)
            self._programs.setdefault(key, program)  # threads may come together
        return self._programs[key]
