"""The network of `paper_net.py` as a user of PyTorch, Keras or plain Flax would write it.

Each function returns `run`, which executes one step and waits for its end, and the number of
weights. Clips, labels and weights are random; all peers get the same input.
"""

import functools
from collections.abc import Callable

import numpy as np

from benchmarks.paper_net import DENSE, FEATURES, FRAMES, HEIGHT, KERNEL, POOL, WIDTH

Step = tuple[Callable[[], None], int]


def make_data(batch: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Makes two halves of random clips [b, t, h, w, 1], and labels."""
    generator = np.random.default_rng(0)
    halves = [generator.standard_normal((batch, FRAMES, HEIGHT, WIDTH, 1), np.float32) for _ in range(2)]
    return halves, np.arange(batch) % 3


def make_jax(implementation: str, batch: int, *, training: bool) -> Step:
    """Makes a step of ours; `direct` is what `nn.Conv` and `nn.max_pool` compile to."""
    import jax

    from benchmarks import paper_net

    make = paper_net.make_trainer if training else paper_net.make_predictor
    program = make(implementation, batch)
    halves = [jax.ShapeDtypeStruct((1, FRAMES, HEIGHT, WIDTH, 1), np.float32)] * 2
    model = paper_net.make_model()
    shapes = jax.eval_shape(lambda *halves: model.init(jax.random.key(0), *halves, is_training=False), *halves)
    return lambda: jax.block_until_ready(program()), sum(leaf.size for leaf in jax.tree.leaves(shapes))


def make_torch(batch: int, *, training: bool, fused: bool) -> Step:
    """Makes a step of PyTorch, eager, on a GPU if there is one; `fused` selects the one-kernel Adam."""
    import torch
    from torch import nn

    device = "cuda" if torch.cuda.is_available() else "cpu"

    class Path(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.pool = nn.Conv3d(1, FEATURES, KERNEL), nn.MaxPool3d(POOL)
            self.dense, self.dropout = nn.LazyLinear(DENSE), nn.Dropout(0.5)

        def forward(self, x):
            x = self.pool(torch.relu(self.conv(x)))
            return self.dropout(torch.relu(self.dense(x.flatten(1))))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.upper, self.lower = Path(), Path()
            self.dense, self.dropout, self.out = nn.Linear(2 * DENSE, DENSE), nn.Dropout(0.5), nn.Linear(DENSE, 3)

        def forward(self, upper, lower):
            x = torch.cat([self.upper(upper), self.lower(lower)], 1)
            return self.out(self.dropout(torch.relu(self.dense(x))))

    halves, labels = make_data(batch)
    halves = [torch.from_numpy(half).permute(0, 4, 1, 2, 3).contiguous().to(device) for half in halves]
    labels, net = torch.from_numpy(labels).to(device), Net().to(device)
    with torch.no_grad():
        net(*[half[:1] for half in halves])  # gives the lazy layers their sizes
    number = sum(weights.numel() for weights in net.parameters())
    if not training:
        net.eval()

        def predict():
            with torch.inference_mode():
                net(*halves).cpu()  # waits for it

        return predict, number
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4, fused=fused)
    loss = nn.CrossEntropyLoss()

    def step():
        optimizer.zero_grad(set_to_none=True)
        value = loss(net(*halves), labels)
        value.backward()
        optimizer.step()
        value.item()

    return step, number


def make_keras(batch: int, *, training: bool) -> Step:
    """Makes a step of Keras 3 on TensorFlow: compiled graph, oneDNN, without XLA, which is slower here."""
    import os

    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import tensorflow as tf
    from keras import layers

    inputs = [keras.Input((FRAMES, HEIGHT, WIDTH, 1)) for _ in range(2)]
    paths = []
    for x in inputs:
        x = layers.Conv3D(FEATURES, KERNEL, activation="relu")(x)
        x = layers.Flatten()(layers.MaxPooling3D(POOL)(x))
        paths.append(layers.Dropout(0.5)(layers.Dense(DENSE, activation="relu")(x)))
    x = layers.Dropout(0.5)(layers.Dense(DENSE, activation="relu")(layers.Concatenate()(paths)))
    model = keras.Model(inputs, layers.Dense(3)(x))
    model.compile(keras.optimizers.Adam(1e-4), keras.losses.SparseCategoricalCrossentropy(True), jit_compile=False)
    halves, labels = make_data(batch)
    halves, labels = [tf.constant(half) for half in halves], tf.constant(labels)
    if training:
        return lambda: model.train_on_batch(halves, labels), model.count_params()
    predict = tf.function(functools.partial(model, training=False))
    return lambda: predict(halves).numpy(), model.count_params()
