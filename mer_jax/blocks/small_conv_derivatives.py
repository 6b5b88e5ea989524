"""Derivatives of the native convolution with ReLU, sums and max pool of small pictures.

The function and its gradients are calls of the C++ library. Each is a JAX primitive:

    value      pictures, filters, bias, sign -> pooled features, places of the maxima, sums
    along      the change of features and sums along a change of pictures, or of filters and bias; its transposes are
    weights    the gradient of filters and bias
    pictures   the gradient of pictures

Reverse mode of first order, which training needs, runs `value` and `weights` or `pictures`. Everything else, forward
mode and higher orders, differentiates the same mathematics in pure JAX, which `Implementation.reference` supplies.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

from mer_jax.native import small_conv as native


@dataclasses.dataclass(frozen=True)
class Implementation:
    """Sizes of the convolution, and the same function in pure JAX.

    Attributes:
        reference: From pictures [b h w c], filters [kh kw c d], bias [d] and sign [d] to pooled features [b h2 w2 d]
            and sums [s d]; differentiable.
        size: (h2, w2).
        window: Padding of pictures, and the pool.
        num_sums: s: 2 for sums of values and of their squares, or 0.
    """

    reference: Callable[[Array, Array, Array, Array], tuple[Array, Array]]
    size: tuple[int, int]
    window: native.Window
    num_sums: int


def differentiable(
    implementation: Implementation,
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "kh kw c d"],
    bias: Float[Array, " d"],
    sign: Float[Array, " d"],
) -> tuple[Float[Array, "b h2 w2 d"], Float[Array, "s d"]]:
    """Pooled features and sums, by the native library; `sign` has no derivative."""
    pooled, _, sums = _PRIMITIVES["value"].bind(x, kernel, bias, sign, rule=_Rule(implementation))
    return pooled, sums


@dataclasses.dataclass(frozen=True)
class _Rule:
    """Static parameters of the primitives.

    Attributes:
        implementation: What is computed.
        names: For `along`: which of x, k, b change.
        groups: Leading axes of all operands, one for each `vmap`.
    """

    implementation: Implementation
    names: tuple[str, ...] = ()
    groups: tuple[int, ...] = ()

    # The native functions, on operands whose leading axes are one, g.

    def value(self, x, k, b, sign):
        each = self.implementation
        return native.forward(x, k, b, sign, each.size, each.window, num_sums=each.num_sums)

    def weights(self, x, k, b, sign, place, pooled_bar, sums_bar):
        return native.weight_gradient(x, k, b, place, pooled_bar, sums_bar, self.implementation.window)

    def pictures(self, x, k, b, sign, place, pooled_bar, sums_bar):
        return (native.input_gradient(x, k, b, place, pooled_bar, sums_bar, self.implementation.window),)

    # The same in pure JAX, on operands without leading axes.

    def pure_along(self, x, k, b, sign, place, *dots):
        known = {"x": x, "k": k, "b": b}
        changed = tuple(known[name] for name in self.names)
        return jax.jvp(self._reference(known, sign, self.names), changed, dots)[1]

    def pure_weights(self, x, k, b, sign, place, *bars):
        return jax.vjp(self._reference({"x": x}, sign, ("k", "b")), k, b)[1](bars)

    def pure_pictures(self, x, k, b, sign, place, *bars):
        return jax.vjp(self._reference({"k": k, "b": b}, sign, ("x",)), x)[1](bars)

    def _reference(self, known: dict[str, Array], sign: Array, names: tuple[str, ...]) -> Callable[..., Any]:
        def function(*changed):
            operands = {**known, **dict(zip(names, changed, strict=True))}
            return self.implementation.reference(operands["x"], operands["k"], operands["b"], sign)

        return function

    def pure(self, name: str) -> Callable[..., Any]:
        function = getattr(self, f"pure_{name}")
        for _ in self.groups:
            function = jax.vmap(function)
        return function


_PRIMITIVES = {name: Primitive(f"small_conv_{name}") for name in ("value", "along", "weights", "pictures")}


def _run(name: str, *operands: Array, rule: _Rule) -> Sequence[Array]:
    if name == "along":
        return rule.pure(name)(*operands)
    axes = len(rule.groups)
    joined = [each.reshape(math.prod(rule.groups), *each.shape[axes:]) for each in operands]
    results = getattr(rule, name)(*joined)
    return tuple(each.reshape(*rule.groups, *each.shape[1:]) for each in results)


def _value_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, rule: _Rule) -> tuple[Any, Any]:
    pooled, place, sums = _PRIMITIVES["value"].bind(*primals, rule=rule)
    totals: list[Any] = [jnp.zeros_like(pooled), jnp.zeros_like(sums)]
    dots: dict[str, Any] = dict(zip(("x", "k", "b"), zip(primals[:3], tangents[:3], strict=True), strict=True))
    for group in (("x",), ("k", "b")):  # a linear map each
        if all(isinstance(dots[name][1], ad.Zero) for name in group):
            continue
        changes = [
            jnp.zeros_like(primal) if isinstance(dot, ad.Zero) else dot for primal, dot in (dots[n] for n in group)
        ]
        named = dataclasses.replace(rule, names=group)
        change = _PRIMITIVES["along"].bind(*primals, place, *changes, rule=named)
        totals = [total + each for total, each in zip(totals, change, strict=True)]
    no_tangent = np.zeros(place.shape, jax.dtypes.float0)
    return (pooled, place, sums), (totals[0], no_tangent, totals[1])


def _pure_jvp(name: str, primals: Sequence[Any], tangents: Sequence[Any], *, rule: _Rule) -> tuple[Any, Any]:
    """Of the other three: values by the primitive, changes by pure JAX. Places have no derivative."""
    results = _PRIMITIVES[name].bind(*primals, rule=rule)
    number = 4  # of the place
    floats = [*primals[:number], *primals[number + 1 :]]
    dots = [
        jnp.zeros_like(primal) if isinstance(dot, ad.Zero) else dot
        for primal, dot in zip(floats, [*tangents[:number], *tangents[number + 1 :]], strict=True)
    ]

    def function(*floats):
        return rule.pure(name)(*floats[:number], primals[number], *floats[number:])

    return results, list(jax.jvp(function, floats, dots)[1])


def _along_transpose(cotangents: Sequence[Any], *operands: Any, rule: _Rule) -> list[Any]:
    bars = [ad.instantiate_zeros(each) for each in cotangents]
    name = "pictures" if rule.names == ("x",) else "weights"
    gradients = _PRIMITIVES[name].bind(*operands[:5], *bars, rule=rule)
    return [None] * 5 + list(gradients)


def _batch(name: str, operands: Sequence[Any], axes: Sequence[Any], *, rule: _Rule) -> tuple[Any, Any]:
    size = next(a.shape[axis] for a, axis in zip(operands, axes, strict=True) if axis is not None)
    moved = [
        jnp.broadcast_to(a, (size, *a.shape)) if axis is None else jnp.moveaxis(a, axis, 0)
        for a, axis in zip(operands, axes, strict=True)
    ]
    results = _PRIMITIVES[name].bind(*moved, rule=dataclasses.replace(rule, groups=(size, *rule.groups)))
    return results, [0] * len(results)


def _abstract(name: str, *operands: Any, rule: _Rule) -> list[Any]:
    shapes = [jax.ShapeDtypeStruct(each.shape, each.dtype) for each in operands]
    results = jax.eval_shape(functools.partial(_run, name, rule=rule), *shapes)
    return [ShapedArray(each.shape, each.dtype) for each in results]


def _register(name: str, primitive: Primitive) -> None:
    run = functools.partial(_run, name)
    primitive.multiple_results = True
    primitive.def_impl(jax.jit(run, static_argnames="rule"))
    primitive.def_abstract_eval(functools.partial(_abstract, name))
    mlir.register_lowering(primitive, mlir.lower_fun(run, multiple_results=True))
    ad.primitive_jvps[primitive] = _value_jvp if name == "value" else functools.partial(_pure_jvp, name)
    batching.primitive_batchers[primitive] = functools.partial(_batch, name)


for _name, _primitive in _PRIMITIVES.items():
    _register(_name, _primitive)
ad.primitive_transposes[_PRIMITIVES["along"]] = _along_transpose
