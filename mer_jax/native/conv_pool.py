"""Convolution, ReLU and pool in C++, called through JAX's foreign function interface.

`load` makes it available, once a process; the four functions below are what
`mer_jax.blocks.conv_pool` differentiates and batches. float32 on a CPU.

Environment: `MER_NATIVE=0` switches it off; `CXX` names the compiler.
"""

import ctypes
import functools
import os
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from mer_jax.native.build import BuildError, build_library, start_building

ENVIRONMENT_VARIABLE = "MER_NATIVE"
_PLATFORMS = ("linux", "darwin")
_SWITCHED_OFF = f"{ENVIRONMENT_VARIABLE}=0 switches it off"
_TARGETS = (
    *(f"conv_pool_{name}" for name in ("infer", "forward", "kernel_gradient", "input_gradient")),
    *(f"small_conv_{name}" for name in ("forward", "weight_gradient", "input_gradient")),
    "load_faces",
    "adam_step",
)

Window = tuple[tuple[int, int, int], tuple[int, int, int]]  # size and stride of the pool, in t, h, w

_loading = threading.Lock()


def load() -> str:
    """Builds, loads and registers the library, at the first call.

    Returns:
        "" where it can be used, else the reason why not, in one line.
    """
    if os.environ.get(ENVIRONMENT_VARIABLE) == "0":
        return _SWITCHED_OFF
    with _loading:
        return _library()[1]


def start_loading() -> None:
    """Begins to build the library in the background, where `load` would build it."""
    if os.environ.get(ENVIRONMENT_VARIABLE) != "0" and sys.platform in _PLATFORMS:
        start_building()


@functools.cache
def note_absence(reason: str) -> None:
    """Prints once that pure JAX is the fallback, unless the user switched the library off."""
    if reason == _SWITCHED_OFF:
        return
    # Not by logging: the level that quiets orbax would swallow it, and a run would be slow for no reason that shows.
    message = f"the convolution runs in pure JAX, which is slower: {reason}"
    print(f"note: {message} ({ENVIRONMENT_VARIABLE}=0 silences this)", file=sys.stderr, flush=True)


def instruction_sets() -> tuple[str, ...]:
    """Those that the library has code for and this processor can run, the fastest first."""
    library = _loaded()
    names = []
    while name := library.mer_conv_pool_isa(len(names)):
        names.append(name.decode())
    return tuple(names)


def choose_instruction_set(name: str) -> None:
    """Makes all calls from now on use one of `instruction_sets()`; the first is the default. For tests and timings."""
    _loaded().mer_conv_pool_choose(instruction_sets().index(name))


def infer(
    x: Float[Array, "b t h w c"], kernel: Float[Array, "kt kh kw c d"], bias: Float[Array, " d"], size, window: Window
) -> Float[Array, "b t2 h2 w2 d"]:
    """Pooled features; `size` is (t2, h2, w2)."""
    out = jax.ShapeDtypeStruct((x.shape[0], *size, kernel.shape[-1]), jnp.float32)
    return _call("infer", out, window)(x, kernel, bias)


def forward(
    x: Float[Array, "b t h w c"], kernel: Float[Array, "kt kh kw c d"], bias: Float[Array, " d"], size, window: Window
) -> tuple[Float[Array, "b t2 h2 w2 d"], Integer[Array, "b t2 h2 w2 d"]]:
    """Pooled features, and the index of each maximum in its window (order t, h, w)."""
    shape = (x.shape[0], *size, kernel.shape[-1])
    index = jnp.uint8 if np.prod(window[0]) <= 256 else jnp.int32
    out = jax.ShapeDtypeStruct(shape, jnp.float32), jax.ShapeDtypeStruct(shape, index)
    pooled, place = _call("forward", out, window)(x, kernel, bias)
    return pooled, place


def kernel_gradient(x, out, cotangent, place, kernel_shape, window: Window) -> tuple[Array, Array]:
    """Gradients of kernel and bias; the ReLU's share of the cotangent is taken care of."""
    shapes = jax.ShapeDtypeStruct(kernel_shape, jnp.float32), jax.ShapeDtypeStruct(kernel_shape[-1:], jnp.float32)
    kernel_bar, bias_bar = _call("kernel_gradient", shapes, window)(x, out, cotangent, place)
    return kernel_bar, bias_bar


def input_gradient(kernel, out, cotangent, place, x_shape, window: Window) -> Array:
    """Gradient of the clips."""
    return _call("input_gradient", jax.ShapeDtypeStruct(x_shape, jnp.float32), window)(kernel, out, cotangent, place)


def _call(target, result, window: Window):
    size, stride = (np.asarray(axes, np.int64) for axes in window)
    # Batched weights are several problems, which a CPU is best given one after another.
    call = jax.ffi.ffi_call(target_name(f"conv_pool_{target}"), result, vmap_method="sequential")
    return functools.partial(call, pool_size=size, pool_stride=stride)


def target_name(target: str) -> str:
    """Name by which a function of the library is registered; `load` has to have succeeded."""
    # A program in the compilation cache knows the target by name: other sources, another name.
    return f"mer_{_library()[2]}_{target}"


def _loaded() -> ctypes.CDLL:
    reason, library = load(), _library()[0]
    if reason or library is None:
        raise RuntimeError(f"the native library is not available: {reason}")
    return library


@functools.cache
def _library() -> tuple[ctypes.CDLL | None, str, str]:
    """The library, the reason why there is none, and its name."""
    if sys.platform not in _PLATFORMS:
        return None, f"there is none for {sys.platform}", ""
    try:
        path = build_library()
        try:
            library = ctypes.CDLL(str(path))
        except OSError:  # made on a machine with another C library, say
            path = build_library(again=True)
            library = ctypes.CDLL(str(path))
        library.mer_conv_pool_isa.restype = ctypes.c_char_p
        library.mer_conv_pool_isa.argtypes = library.mer_conv_pool_choose.argtypes = [ctypes.c_size_t]
        handlers = {target: jax.ffi.pycapsule(getattr(library, f"mer_{target}")) for target in _TARGETS}
    except BuildError as error:
        return None, str(error), ""
    except (OSError, AttributeError) as error:
        return None, f"its library cannot be loaded ({error})", ""
    name = path.stem.replace("-", "_")
    for target, handler in handlers.items():
        jax.ffi.register_ffi_target(f"mer_{name}_{target}", handler, platform="cpu")
    return library, "", name
