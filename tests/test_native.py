"""The native library: how it comes to be, what it does where it cannot be, and every instruction set of it."""

import functools
import os
import stat
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.blocks.conv_pool import conv_relu_pool
from mer_jax.native import build
from mer_jax.native import conv_pool as native
from mer_jax.native import small_conv as native_small


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MER_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "native"


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """Makes $CXX a script that notes each call before it does what it is told to."""

    def make(then: str) -> None:
        script = tmp_path / "compiler"
        script.write_text(f'#!/bin/sh\necho called >> {tmp_path}/calls\nwhile [ "$1" != -o ]; do shift; done\n{then}\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("CXX", str(script))

    make.calls = lambda: (tmp_path / "calls").read_text().split()
    return make


def run_volumes(channels, filters):
    keys = jax.random.split(jax.random.key(0), 3)
    kernel = jax.random.normal(keys[1], (3, 3, 3, channels, filters))
    x = jnp.round(jax.random.normal(keys[0], (3, 8, 14, 33, channels)))  # with equal maxima
    y, vjp = jax.vjp(lambda *a: conv_relu_pool(*a, jnp.ones(filters), implementation="native"), x, kernel)
    return y, *vjp(jax.random.normal(keys[2], y.shape))


def run_small_pictures():
    keys = jax.random.split(jax.random.key(0), 4)
    kernel, x = jax.random.normal(keys[1], (2, 3, 3, 2, 37)), jax.random.normal(keys[0], (2, 3, 14, 33, 2))
    bias, window = jax.random.normal(keys[2], (2, 37)), ((1, 2, 0, 1), (2, 3, 1, 0, 0, 2))
    pooled, place, sums = native_small.forward(x, kernel, bias, jnp.sign(bias), (8, 11), window, num_sums=2)
    operands = x, kernel, bias, place, jax.random.normal(keys[3], pooled.shape), sums / 1000, window
    return pooled, sums, *native_small.weight_gradient(*operands), native_small.input_gradient(*operands)


@pytest.mark.parametrize(
    "run",
    [
        functools.partial(run_volumes, 2, 37),  # lanes are filters
        functools.partial(run_volumes, 1, 7),  # lanes are pixels: with 16 lanes, filters with 8
        functools.partial(run_volumes, 1, 2),  # pixels with all
        run_small_pictures,
    ],
    ids=["filters", "pixels or filters", "pixels", "small pictures"],
)
def test_every_instruction_set_gives_the_same(run):
    """Those with a fused multiply-add to the bit, the others to rounding."""
    names = native.instruction_sets()
    assert names[-1] in ("portable", "neon")
    try:
        results = {}
        for name in names:
            native.choose_instruction_set(name)
            results[name] = jax.block_until_ready(run())  # calls choose when they start
    finally:
        native.choose_instruction_set(names[0])
    for name, result in results.items():
        for got, expected in zip(result, results[names[0]], strict=True):
            if name == "portable":
                np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
            else:
                np.testing.assert_array_equal(got, expected)


def test_wrong_shapes_are_an_error_and_no_crash():
    x, kernel = jnp.zeros((1, 6, 8, 8, 1)), jnp.zeros((3, 3, 3, 1, 4))
    window = ((3, 3, 3), (3, 3, 3))
    with pytest.raises(jax.errors.JaxRuntimeError, match="conv_pool: shapes of x, kernel, output and pool do not fit"):
        jax.block_until_ready(native.infer(x, kernel, jnp.zeros(4), (2, 2, 2), window))
    out, place = native.forward(x, kernel, jnp.zeros(4), (1, 2, 2), window)
    with pytest.raises(jax.errors.JaxRuntimeError, match="conv_pool: positions have another type or number"):
        jax.block_until_ready(native.input_gradient(kernel, out, out, place.astype(jnp.int32), x.shape, window))


def test_wrong_shapes_of_small_pictures_are_an_error_and_no_crash():
    x, kernel, numbers = jnp.zeros((1, 2, 6, 6, 1)), jnp.zeros((1, 3, 3, 1, 4)), jnp.zeros((1, 4))
    window = (0, 0, 0, 0), (2, 2, 0, 0, 0, 0)
    shapes = "small_conv: shapes of pictures, kernel, output and pool do not fit"
    for size, spoilt in (
        ((3, 2), window),
        ((2, 2), ((0, 0, -1, 1), window[1])),
        ((2, 2), (window[0], (2, 2, 2, 0, 0, 0))),
    ):
        with pytest.raises(jax.errors.JaxRuntimeError, match=shapes):
            jax.block_until_ready(native_small.forward(x, kernel, numbers, numbers, size, spoilt, num_sums=2))
    pooled, place, sums = native_small.forward(x, kernel, numbers, numbers, (2, 2), window, num_sums=2)
    with pytest.raises(jax.errors.JaxRuntimeError, match="small_conv: positions or bias have another number"):
        jax.block_until_ready(native_small.weight_gradient(x, kernel, numbers, place[:, :1], pooled, sums, window))


# --- How it is built.


def test_a_library_is_compiled_once(cache, compiler):
    compiler('echo library > "$2"')
    path = build.build_library()
    assert path == build.build_library() == build.library_path()
    assert path.parent == cache
    assert path.read_text() == "library\n"
    assert compiler.calls() == ["called"]
    assert [file.suffix for file in sorted(cache.iterdir())] == [".lock", ".sha256", ".so"]


def test_of_several_processes_one_compiles(cache, compiler):
    compiler('sleep 1; echo library > "$2"')
    command = [sys.executable, "-c", "from mer_jax.native.build import build_library; print(build_library())"]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert {process.communicate()[0] for process in started} == {f"{build.library_path()}\n"}
    assert compiler.calls() == ["called"]


def test_compiled_in_the_background_it_is_waited_for(cache, compiler):
    compiler('sleep 1; echo library > "$2"')
    native.start_loading()
    while not list(cache.glob("*.lock")):
        time.sleep(0.01)
    assert build.build_library().read_text() == "library\n"
    assert compiler.calls() == ["called"]


def test_switched_off_nothing_is_compiled_in_the_background(cache, compiler, monkeypatch):
    monkeypatch.setenv("MER_NATIVE", "0")
    monkeypatch.setattr(native, "start_building", lambda: pytest.fail("compiles"))
    native.start_loading()


@pytest.mark.parametrize("spoil", ["cut", "flip", "checksum", "no checksum"])
def test_a_damaged_library_is_compiled_again(cache, compiler, capsys, spoil):
    compiler('echo library > "$2"')
    path = build.build_library()
    whole = path.read_bytes()
    if spoil == "cut":
        path.write_bytes(whole[:3])
    elif spoil == "flip":
        path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    elif spoil == "checksum":
        path.with_suffix(".sha256").write_text("0" * 64)
    else:
        path.with_suffix(".sha256").unlink()
    assert build.build_library().read_bytes() == whole
    assert build.is_intact(path)
    assert compiler.calls() == ["called", "called"]
    assert "is not what was compiled, so it is compiled again" in capsys.readouterr().err


def test_nothing_is_loaded_from_a_folder_that_others_can_write(cache, compiler, monkeypatch):
    compiler('echo library > "$2"')
    path = build.build_library()
    path.parent.chmod(0o777)
    assert build.build_library() == path
    assert path.parent.stat().st_mode & 0o022 == 0, "ours: write access of others is taken away"
    monkeypatch.setattr(os, "getuid", lambda: path.stat().st_uid + 1)
    if path.stat().st_uid != 0:
        with pytest.raises(build.BuildError, match=r"others can write to .*; MER_CACHE_DIR names another"):
            build.build_library()
    path.parent.chmod(0o777)
    with pytest.raises(build.BuildError, match=r"others can write to .*; MER_CACHE_DIR names another"):
        build.build_library()


def test_a_compiler_that_fails_leaves_nothing_behind(cache, compiler):
    compiler('echo half > "$2"; echo "conv_pool.cc:1: error: no header" >&2; exit 1')
    with pytest.raises(build.BuildError, match=r"compiler failed: conv_pool.cc:1: error: no header"):
        build.build_library()
    assert [file.suffix for file in cache.iterdir()] == [".lock"]


def test_other_sources_are_another_library(monkeypatch):
    before = build.library_path()
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-O1"))
    assert build.library_path() != before


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch, compiler):
    compiler("exit 1")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MER_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(build.BuildError, match=r"file/native cannot be written .*; MER_CACHE_DIR names another"):
        build.build_library()


def test_a_compiler_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler -O3")
    with pytest.raises(build.BuildError, match="CXX names 'no-such-compiler', which is not a command here"):
        build.find_compiler()
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(build.BuildError, match=r"no C\+\+ compiler \(c\+\+, g\+\+, clang\+\+\) is installed"):
        build.find_compiler()


WITHOUT = """
import jax.numpy as jnp
from mer_jax.blocks.conv_pool import conv_relu_pool, resolve
for _ in range(2):
    conv_relu_pool(jnp.ones((1, 6, 8, 8, 1)), jnp.ones((3, 3, 3, 1, 4)), jnp.zeros(4))
print(resolve("auto"))
"""


def test_without_a_compiler_pure_jax_stands_in_and_says_so_once(cache):
    environment = {**os.environ, "PATH": "/nowhere", "MER_CACHE_DIR": str(cache.parent)}
    environment.pop("CXX", None)
    done = subprocess.run([sys.executable, "-c", WITHOUT], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "fused\n", done.stderr
    assert done.stderr == (
        "note: the convolution runs in pure JAX, which is slower: no C++ compiler (c++, g++, clang++) is installed "
        "(MER_NATIVE=0 silences this)\n"
    )
