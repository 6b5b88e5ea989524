"""Derivatives of every order, forward and reverse, of convolution, ReLU and max pool.

Where the maxima stand is constant almost everywhere, and with it the function is multilinear in clips x, filters k
and bias b. All its derivatives are made of four maps, of which each is the derivative or the transpose of another:

    along_input       A(x, k) -> g       the convolution, read where the maxima stand and the ReLU is on
    along_weights     P(k, b, x) -> g    the same with a bias
    kernel_gradient   K(x, g) -> k, b    transpose of P in k and b
    input_gradient    X(k, g) -> x       transpose of A in x

Each is a JAX primitive with rules that name the others. An implementation of the convolution supplies K and X, which
training needs fast; A and P are written here in XLA's own operations.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import ShapedArray
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float, Integer

Size3 = tuple[int, int, int]


@runtime_checkable
class Implementation(Protocol):
    """An implementation of the convolution and its gradients; hashable.

    Positions are indices of the first maximum in its window, in the order t, h, w. Cotangents come before the ReLU is
    taken into account; it is on where `out` is above 0.
    """

    pool_size: Size3
    pool_stride: Size3

    def infer(self, x: Array, kernel: Array, bias: Array) -> Array:
        """Returns pooled features [b t2 h2 w2 d] of clips [b t h w c]."""
        ...

    def forward(self, x: Array, kernel: Array, bias: Array) -> tuple[Array, Array]:
        """Returns pooled features and the positions of the maxima."""
        ...

    def kernel_gradient(
        self, x: Array, cotangent: Array, out: Array, position: Array, kernel: jax.ShapeDtypeStruct
    ) -> tuple[Array, Array]:
        """Returns the gradients of filters, whose shape and dtype are given, and bias."""
        ...

    def input_gradient(
        self, kernel: Array, cotangent: Array, out: Array, position: Array, x: jax.ShapeDtypeStruct
    ) -> Array:
        """Returns the gradient of clips, whose shape and dtype are given."""
        ...


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def differentiable(implementation: Implementation, x: Array, kernel: Array, bias: Array) -> Array:
    """Pooled features [b t2 h2 w2 d] of clips [b t h w c] that the windows use up exactly."""
    return implementation.infer(x, kernel, bias)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _with_position(implementation, x, kernel, bias):
    return implementation.forward(x, kernel, bias)


@functools.partial(differentiable.defjvp, symbolic_zeros=True)
def _differentiable_jvp(implementation, primals, tangents):
    out, position = _with_position(implementation, *primals)
    return out, _tangent(implementation, primals, tangents, out, position)


@functools.partial(_with_position.defjvp, symbolic_zeros=True)
def _with_position_jvp(implementation, primals, tangents):
    out, position = _with_position(implementation, *primals)
    no_tangent = np.zeros(position.shape, jax.dtypes.float0)
    return (out, position), (_tangent(implementation, primals, tangents, out, position), no_tangent)


def _tangent(implementation, primals, tangents, out, position):
    x, kernel, bias = primals
    x_dot, kernel_dot, bias_dot = (None if isinstance(each, SymbolicZero) else each for each in tangents)
    rule = _Rule(implementation, _like(x), _like(kernel))
    terms = []
    if kernel_dot is not None or bias_dot is not None:
        kernel_dot = jnp.zeros_like(kernel) if kernel_dot is None else kernel_dot
        bias_dot = jnp.zeros_like(bias) if bias_dot is None else bias_dot
        terms += _bind("along_weights", rule, k=kernel_dot, b=bias_dot, x=x, out=out, position=position)
    if x_dot is not None:
        terms += _bind("along_input", rule, x=x_dot, k=kernel, out=out, position=position)
    return sum(terms[1:], terms[0]) if terms else jnp.zeros_like(out)


def _like(array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


@dataclasses.dataclass(frozen=True)
class _Rule:
    """The static parameters of the four primitives.

    Attributes:
        implementation: Of the convolution.
        x: Shape and dtype of clips, without mapped axes.
        kernel: The same of filters.
        mapped: Names of the operands that have an axis of `vmap`, for each such axis, the innermost first. They are the
            leading axes of the operands.
    """

    implementation: Implementation
    x: jax.ShapeDtypeStruct
    kernel: jax.ShapeDtypeStruct
    mapped: tuple[frozenset[str], ...] = ()

    def along_input(self, x, k, out, position):
        y = lax.conv_general_dilated(x, k, (1, 1, 1), "VALID", dimension_numbers=("NDHWC", "DHWIO", "NDHWC"))
        picked = _pick(y, position, self.implementation.pool_size, self.implementation.pool_stride)
        return (jnp.where(out > 0, picked, 0).astype(out.dtype),)

    def along_weights(self, k, b, x, out, position):
        (along,) = self.along_input(x, k, out, position)
        return (along + jnp.where(out > 0, b, 0).astype(out.dtype),)

    def kernel_gradient(self, x, g, out, position):
        return tuple(self.implementation.kernel_gradient(x, g, out, position, self.kernel))

    def input_gradient(self, k, g, out, position):
        return (self.implementation.input_gradient(k, g, out, position, self.x),)


def _pick(
    y: Float[Array, "b t h w d"], position: Integer[Array, "b t2 h2 w2 d"], pool_size: Size3, pool_stride: Size3
) -> Float[Array, "b t2 h2 w2 d"]:
    """Reads the convolution where the maxima stand."""
    b, _, height, width, d = y.shape
    (_, ph, pw), (st, sh, sw) = pool_size, pool_stride
    t_out, h_out, w_out = (lax.broadcasted_iota(jnp.int32, position.shape, axis) for axis in (1, 2, 3))
    k = position.astype(jnp.int32)
    frame, row, column = t_out * st + k // (ph * pw), h_out * sh + k // pw % ph, w_out * sw + k % pw
    index = ((frame * height + row) * width + column).reshape(b, -1, d)
    return jnp.take_along_axis(y.reshape(b, -1, d), index, axis=1).reshape(position.shape)


# Operands and results by name. `out` and `position` say where the maxima stand and have no derivative.
_OPERANDS = {
    "along_input": ("x", "k", "out", "position"),
    "along_weights": ("k", "b", "x", "out", "position"),
    "kernel_gradient": ("x", "g", "out", "position"),
    "input_gradient": ("k", "g", "out", "position"),
}
_RESULTS = {"along_input": ("g",), "along_weights": ("g",), "kernel_gradient": ("k", "b"), "input_gradient": ("x",)}
_PRIMITIVES = {name: Primitive(f"conv_pool_{name}") for name in _OPERANDS}


def _bind(name: str, rule: _Rule, **operands: Any) -> list[Any]:
    names = _OPERANDS[name]
    mapped = tuple(level for each in rule.mapped if (level := each & {*names}))
    rule = dataclasses.replace(rule, mapped=mapped)
    return list(_PRIMITIVES[name].bind(*(operands[each] for each in names), rule=rule))


def _run(name: str, *operands: Array, rule: _Rule) -> tuple[Array, ...]:
    function = getattr(rule, name)
    for level in rule.mapped:
        function = jax.vmap(function, in_axes=tuple(0 if each in level else None for each in _OPERANDS[name]))
    return function(*operands)


def _jvp(name: str, primals: Sequence[Any], tangents: Sequence[Any], *, rule: _Rule) -> tuple[Any, Any]:
    """Differentiates each map along its operands; along k and b together, as only their sum is one map."""
    known = dict(zip(_OPERANDS[name], primals, strict=True))
    dots = {
        each: dot
        for each, dot in zip(_OPERANDS[name], tangents, strict=True)
        if each not in ("out", "position") and not isinstance(dot, ad.Zero)
    }
    outs = _bind(name, rule, **known)
    terms: list[list[Any]] = [[] for _ in outs]

    def add(which: str, changed: dict[str, Any]) -> None:
        # A map without the operand that has a mapped axis lacks that axis in its result.
        names = {*_OPERANDS[which]}
        levels = rule.mapped[::-1]
        missing = [axis for axis, level in enumerate(levels) if not level & names]
        for terms_of_one, out, term in zip(terms, outs, _bind(which, rule, **{**known, **changed}), strict=False):
            terms_of_one.append(jnp.broadcast_to(jnp.expand_dims(term, missing), out.shape))

    if name == "along_weights":
        if "k" in dots or "b" in dots:
            add(name, {each: dots[each] if each in dots else jnp.zeros_like(known[each]) for each in ("k", "b")})
        if "x" in dots:
            add("along_input", {"x": dots["x"]})
    else:
        for each, dot in dots.items():
            add(name, {each: dot})
            if name == "kernel_gradient" and each == "x":
                terms[1].pop()  # the gradient of the bias does not depend on x
    zeros = [jnp.zeros_like(out) for out in outs]
    return outs, [sum(each[1:], each[0]) if each else zero for each, zero in zip(terms, zeros, strict=True)]


def _transpose(name: str, cotangents: Sequence[Any], *operands: Any, rule: _Rule) -> list[Any]:
    """Transposes each map in the operand that is undefined."""
    known = dict(zip(_OPERANDS[name], operands, strict=True))
    wanted = [each for each, value in known.items() if ad.is_undefined_primal(value)]
    known.update(zip(_RESULTS[name], map(ad.instantiate_zeros, cotangents), strict=True))
    rule = dataclasses.replace(rule, mapped=tuple(level | {*_RESULTS[name]} for level in rule.mapped))
    if "x" in wanted:
        which = "input_gradient"
    elif "g" in wanted:
        which = "along_weights" if name == "kernel_gradient" else "along_input"
    else:
        which = "kernel_gradient"
    results = dict(zip(_RESULTS[which], _bind(which, rule, **known), strict=True))
    gradients = []
    for each in _OPERANDS[name]:
        shared = [axis for axis, level in enumerate(rule.mapped[::-1]) if each not in level]
        gradients.append(jnp.sum(results[each], tuple(shared)) if each in wanted else None)
    return gradients


def _batch(name: str, operands: Sequence[Any], axes: Sequence[Any], *, rule: _Rule) -> tuple[Any, Any]:
    moved = [a if axis is None else jnp.moveaxis(a, axis, 0) for a, axis in zip(operands, axes, strict=True)]
    level = frozenset(each for each, axis in zip(_OPERANDS[name], axes, strict=True) if axis is not None)
    outs = _PRIMITIVES[name].bind(*moved, rule=dataclasses.replace(rule, mapped=(*rule.mapped, level)))
    return outs, [0] * len(outs)


def _abstract(name: str, *operands: Any, rule: _Rule) -> list[Any]:
    shapes = [jax.ShapeDtypeStruct(each.shape, each.dtype) for each in operands]
    results = jax.eval_shape(functools.partial(_run, name, rule=rule), *shapes)
    return [ShapedArray(each.shape, each.dtype) for each in results]


def _register(name: str, primitive: Primitive) -> None:
    primitive.multiple_results = True
    primitive.def_impl(jax.jit(functools.partial(_run, name), static_argnames="rule"))
    primitive.def_abstract_eval(functools.partial(_abstract, name))
    mlir.register_lowering(primitive, mlir.lower_fun(functools.partial(_run, name), multiple_results=True))
    ad.primitive_jvps[primitive] = functools.partial(_jvp, name)
    ad.primitive_transposes[primitive] = functools.partial(_transpose, name)
    batching.primitive_batchers[primitive] = functools.partial(_batch, name)


for _name, _primitive in _PRIMITIVES.items():
    _register(_name, _primitive)
