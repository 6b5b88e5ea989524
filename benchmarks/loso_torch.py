"""Leave-one-subject-out in PyTorch, as one would write it: the same networks and the same training in one loop.

Modules have the names of our parameters, so that `load_weights` can copy ours into them. `check_network` compares the
two. Importing this file needs PyTorch.

Differs from ours: weights are drawn from normal distributions that are not truncated, the last batch of an epoch is
smaller than the others, and running variances of batch normalisation are of n - 1 clips.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax.traverse_util import flatten_dict
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.loso_jobs import FRAMES, MODELS, Job, Run, Stopwatch, list_threads, make_clips, make_folds, split_labels
from mer_jax.config import Augmentation
from mer_jax.data.augment import augment_clip
from mer_jax.data.clips import Clips
from mer_jax.data.views import find_view
from mer_jax.sizes import FACE_SIZE, HALF_HEIGHT, MOTION_ZERO
from mer_jax.training.losses import cross_entropy

LEARNING_RATE = 1e-3  # the default of `Experiment`


class STSTNet(nn.Module):
    """Three streams over motion features [b 3 28 28]."""

    def __init__(self):
        super().__init__()
        for number, features in enumerate((3, 5, 8), start=1):
            self.add_module(f"conv_{number}", nn.Conv2d(3, features, 3, padding=2))
            self.add_module(f"normalize_{number}", nn.BatchNorm2d(features))
        self.max_pool, self.mean_pool, self.dropout = nn.MaxPool2d(3, padding=1), nn.AvgPool2d(2), nn.Dropout(0.5)
        self.logits = nn.Linear(16 * 5 * 5, 3)

    def forward(self, motion: Tensor) -> Tensor:
        """Returns logits."""
        streams = []
        for conv, normalize in ((self.conv_1, self.normalize_1), (self.conv_2, self.normalize_2),
                                (self.conv_3, self.normalize_3)):  # fmt: skip
            streams.append(self.dropout(self.max_pool(normalize(functional.relu(conv(motion))))))
        return self.logits(self.mean_pool(torch.cat(streams, 1)).flatten(1))


class OffApexNet(nn.Module):
    """Two paths over the flows of motion features [b 3 28 28], and wide dense layers."""

    def __init__(self):
        super().__init__()
        for name in ("horizontal", "vertical"):
            self.add_module(f"{name}_1", nn.Conv2d(1, 6, 5, padding=2))
            self.add_module(f"{name}_2", nn.Conv2d(6, 16, 5, padding=2))
        self.pool, self.dropout = nn.MaxPool2d(2), nn.Dropout(0.5)
        self.dense_1, self.dense_2 = nn.Linear(2 * 16 * 7 * 7, 1024), nn.Linear(1024, 1024)
        self.logits = nn.Linear(1024, 3)

    def forward(self, motion: Tensor) -> Tensor:
        """Returns logits."""
        x = self.pool(functional.relu(self.horizontal_1(motion[:, :1])))
        x = self.pool(functional.relu(self.horizontal_2(x))).flatten(1)
        y = self.pool(functional.relu(self.vertical_1(motion[:, 1:2])))
        y = self.pool(functional.relu(self.vertical_2(y))).flatten(1)
        x = functional.relu(self.dense_1(self.dropout(torch.cat([x, y], 1))))
        return self.logits(functional.relu(self.dense_2(self.dropout(x))))


class SpatialAttention(nn.Module):
    """A weight for each place of each frame of [b c t h w]."""

    def __init__(self):
        super().__init__()
        self.map = nn.Conv3d(2, 1, (1, 7, 7), padding=(0, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Returns the weighted features."""
        return x * torch.sigmoid(self.map(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)))


class TemporalAttention(nn.Module):
    """A weight for each frame of [b c t h w]."""

    def __init__(self):
        super().__init__()
        self.hidden, self.score = nn.Linear(8, 16), nn.Linear(16, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the weighted features."""
        frames = x.mean((3, 4)).transpose(1, 2)  # b t c
        shares = torch.softmax(self.score(torch.tanh(self.hidden(frames))), 1)  # b t 1
        return x * (shares * x.shape[2]).transpose(1, 2)[..., None, None]


class Path(nn.Module):
    """One half of the face [b 1 t 64 128] to a vector."""

    def __init__(self):
        super().__init__()
        self.conv, self.pool = nn.Conv3d(1, 8, 3), nn.MaxPool3d((4, 8, 8))
        self.attention = nn.Sequential()
        self.attention.add_module("spatial", SpatialAttention())
        self.attention.add_module("temporal", TemporalAttention())
        self.dense, self.dropout = nn.Linear(8 * 4 * 7 * 15, 128), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Returns one vector a clip."""
        x = self.attention(self.pool(functional.relu(self.conv(x))))
        return self.dropout(functional.relu(self.dense(x.flatten(1))))


class Fusion(nn.Module):
    """Vectors of both halves to logits."""

    def __init__(self):
        super().__init__()
        self.dense, self.dropout, self.logits = nn.Linear(256, 128), nn.Dropout(0.5), nn.Linear(128, 3)

    def forward(self, upper: Tensor, lower: Tensor) -> Tensor:
        """Returns logits."""
        return self.logits(self.dropout(functional.relu(self.dense(torch.cat([upper, lower], 1)))))


class HybridAttention3DNet(nn.Module):
    """Two paths with hybrid attention over halves of the face."""

    def __init__(self):
        super().__init__()
        self.upper, self.lower, self.fusion = Path(), Path(), Fusion()

    def forward(self, upper: Tensor, lower: Tensor) -> Tensor:
        """Returns logits."""
        return self.fusion(self.upper(upper), self.lower(lower))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "STSTNet": STSTNet,
    "OFF-ApexNet": OffApexNet,
    "Hybrid Attention-3DNet": HybridAttention3DNet,
}
# Dense layers after a flattening: sizes that ours flattens, with the channels last, for each path.
_FLATTENED = {
    "STSTNet": {"logits": (1, 25, 16)},
    "OFF-ApexNet": {"dense_1": (2, 49, 16)},
    "Hybrid Attention-3DNet": {"upper.dense": (1, 4 * 7 * 15, 8), "lower.dense": (1, 4 * 7 * 15, 8)},
}


def make_network(name: str) -> nn.Module:
    """Makes a network with new weights: He initialisation before a 3D convolution's ReLU, else LeCun; no bias."""
    network = NETWORKS[name]()
    for path, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear):
            he = isinstance(module, nn.Conv3d) and path.endswith("conv")
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu" if he else "linear")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


# --- what networks are fed ------------------------------------------------------------


def load_pictures(name: str, clips: Clips) -> Tensor:
    """Loads motion features as they are fed, or faces in 8 bits."""
    pictures = torch.from_numpy(clips.pictures)
    if name == "Hybrid Attention-3DNet":
        return pictures
    return ((pictures.float() - MOTION_ZERO) / 127.5).permute(0, 3, 1, 2).contiguous()


def make_inputs(pictures: Tensor, draws: Tensor | None) -> tuple[Tensor, ...]:
    """Makes the inputs of a batch: motion features, or halves of the face, augmented by `draws` if there are any."""
    if pictures.dtype != torch.uint8:
        return (pictures,)
    faces = pictures.float()
    if draws is not None:
        faces = augment(faces, draws, Augmentation())
    onset = faces[:, :1]
    contrast = onset.std((1, 2, 3), correction=0, keepdim=True)
    faces = (8.0 * (faces - onset) / (contrast + 5.0)).clamp(-4.0, 4.0)[:, None]
    return faces[..., :HALF_HEIGHT, :], faces[..., HALF_HEIGHT:, :]


def augment(faces: Tensor, draws: Tensor, amounts: Augmentation) -> Tensor:
    """Augments clips [b t h w] by random numbers [b 7] from -1 to 1, as `mer_jax.data.augment` does with the same."""
    angle = torch.deg2rad(torch.tensor(amounts.rotation_deg)) * draws[:, 0]
    scale = 1.0 / (1.0 + amounts.zoom * draws[:, 1])
    flip = torch.where(draws[:, 2] < 2 * amounts.mirror - 1, -1.0, 1.0)
    shift = 2 * amounts.shift * FACE_SIZE / (FACE_SIZE - 1) * draws[:, 3:5]
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    rows = [torch.stack([flip * cos, flip * sin, shift[:, 0]], 1), torch.stack([-sin, cos, shift[:, 1]], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), [len(faces), 1, FACE_SIZE, FACE_SIZE], align_corners=True)
    faces = functional.grid_sample(faces, grid, padding_mode="border", align_corners=True)
    mean = faces.mean((1, 2, 3), keepdim=True)
    contrast, brightness = (draws[:, index, None, None, None] for index in (5, 6))
    faces = (faces - mean) * (1.0 + amounts.contrast * contrast) + mean + 255.0 * amounts.brightness * brightness
    return faces.clamp(0.0, 255.0)


# --- the protocol ---------------------------------------------------------------------


def run_torch(job: Job, clips: Clips) -> Run:
    """Runs a protocol in one loop over its folds."""
    if job.threads:
        torch.set_num_threads(job.threads)
    watch = Stopwatch()
    pictures, labels = load_pictures(job.name, clips), torch.from_numpy(clips.label).long()
    scores, losses = [], []
    for number, (train, test, weights) in enumerate(split_labels(make_folds(clips, job.folds), clips.label)):
        torch.manual_seed(number)
        network, loss = train_fold(job, pictures, labels, torch.from_numpy(train), torch.from_numpy(weights))
        network.eval()
        with torch.inference_mode():
            logits = network(*make_inputs(pictures[torch.from_numpy(test)], None))
            scores.append(torch.softmax(logits, 1).numpy())
        losses.append(loss)
    return Run(np.concatenate(scores), float(np.mean(losses)), **watch.read())


def train_fold(job: Job, pictures: Tensor, labels: Tensor, train: Tensor, weights: Tensor) -> tuple[nn.Module, float]:
    """Trains a network; returns it and the training loss of the last epoch, weighted by class."""
    network = make_network(job.name)
    # None is the default of `fused`, which is no fused kernel on a CPU.
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True if job.variant == "fused" else None)
    loss_sum = weight_sum = torch.zeros(())
    for _ in range(job.epochs):
        loss_sum, weight_sum = torch.zeros(()), torch.zeros(())
        for items in train[torch.randperm(len(train))].split(job.batch):
            inputs = make_inputs(pictures[items], 2 * torch.rand(len(items), 7) - 1)
            losses = functional.cross_entropy(network(*inputs), labels[items], weight=weights, reduction="none")
            optimizer.zero_grad()
            losses.mean().backward()
            optimizer.step()
            loss_sum += losses.detach().sum()
            weight_sum += weights[labels[items]].sum()
    return network, float(loss_sum / weight_sum)


def choose_setting(job: Job) -> Job:
    """Times an epoch of each setting of PyTorch that might be the fastest, after one that is not counted.

    Returns:
        The job with the fastest number of threads, and Adam plain or in one kernel.
    """
    clips = make_clips(job.name)
    pictures, labels = load_pictures(job.name, clips), torch.from_numpy(clips.label).long()
    train, _, weights = next(split_labels(make_folds(clips, 1), clips.label))
    tried = [
        dataclasses.replace(job, threads=threads, variant=variant, epochs=1)
        for threads in list_threads()
        for variant in ("", "fused")
    ]
    seconds: dict[Job, list[float]] = {setting: [] for setting in tried}
    for _ in range(4):
        for setting in tried:
            torch.set_num_threads(setting.threads)
            start = time.perf_counter()
            train_fold(setting, pictures, labels, torch.from_numpy(train), torch.from_numpy(weights))
            seconds[setting].append(time.perf_counter() - start)
    return dataclasses.replace(min(tried, key=lambda setting: min(seconds[setting][1:])), epochs=job.epochs)


# --- equal to ours --------------------------------------------------------------------


def load_weights(name: str, network: nn.Module, variables: Mapping[str, Any]) -> None:
    """Copies our weights and running averages into a network.

    Args:
        name: Of the network.
        network: Of this name.
        variables: Our collections.

    Raises:
        ValueError: A parameter of either has no counterpart of its shape in the other.
    """
    kinds = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    targets = {key: each for key, each in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    for collection in variables.values():
        for path, leaf in flatten_dict(dict(collection)).items():
            owner, key = ".".join(path[:-1]), ".".join((*path[:-1], kinds[path[-1]]))
            value = np.asarray(leaf)
            if path[-1] == "kernel":
                value = _to_torch_layout(value, _FLATTENED[name].get(owner))
            target = targets.pop(key, None)
            if target is not None and target.ndim == 5 and value.ndim == 4:
                value = value[:, :, None]  # a 2D convolution of every frame
            if target is None or target.shape != value.shape:
                raise ValueError(f"{name}: the network in PyTorch has no {key} of shape {value.shape}, which ours has")
            target.copy_(torch.from_numpy(np.array(value)))  # it shares its memory with the network
    if targets:
        raise ValueError(f"{name}: the network in PyTorch has {', '.join(targets)}, which ours has not")


def _to_torch_layout(kernel: np.ndarray, flattened: tuple[int, int, int] | None) -> np.ndarray:
    if flattened:  # from channels last to channels first
        kernel = kernel.reshape(*flattened, -1).swapaxes(1, 2).reshape(kernel.shape)
    return np.moveaxis(kernel, (-1, -2), (0, 1))


def check_network(name: str) -> None:
    """Checks that a network is ours: number of parameters, logits with copied weights, gradients without dropout.

    Raises:
        ValueError: It is not; the message says what differs.
    """
    clips = make_clips(name).select(range(6))
    ours = MODELS[name]()
    inputs = jax.jit(find_view(ours).make, static_argnums=1)(clips.pictures, "difference")
    variables = jax.jit(lambda key: ours.init(key, *inputs, is_training=False))(jax.random.key(0))
    # Away from zero biases and unit scales, which would hide what is exchanged.
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda a: a + 0.02 * rng.standard_normal(a.shape, np.float32), dict(variables))
    network = make_network(name)
    load_weights(name, network, variables)
    number = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    of_torch = sum(weights.numel() for weights in network.parameters())
    if number != of_torch:
        raise ValueError(f"{name}: {of_torch} parameters in PyTorch, expected {number}")
    torch_inputs = make_inputs(load_pictures(name, clips), None)
    network.eval()
    with torch.inference_mode():
        logits = network(*torch_inputs).numpy()
    expected = jax.jit(lambda variables: ours.apply(variables, *inputs, is_training=False))(variables)
    _check_close(f"{name}: logits", logits, np.asarray(expected))

    without_dropout = ours.clone(dropout=0.0)
    weights = np.array([2.0, 3.0, 5.0], np.float32)[clips.label]

    def mean_loss(params):
        logits, _ = without_dropout.apply(
            {**variables, "params": params}, *inputs, is_training=True, mutable=["batch_stats"]
        )
        return (cross_entropy(logits, jnp.asarray(clips.label)) * weights).mean()

    gradients = jax.jit(jax.grad(mean_loss))(variables["params"])
    in_torch = make_network(name)
    load_weights(name, in_torch, {**variables, "params": gradients})
    network.train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    labels = torch.from_numpy(clips.label).long()
    losses = functional.cross_entropy(network(*torch_inputs), labels, torch.tensor([2.0, 3.0, 5.0]), reduction="none")
    losses.mean().backward()
    for (path, got), (_, wanted) in zip(network.named_parameters(), in_torch.named_parameters(), strict=True):
        _check_close(f"{name}: gradient of {path}", got.grad.numpy(), wanted.detach().numpy(), 1e-3)


def check_augmentation() -> None:
    """Checks that clips are augmented as ours are, by the same random numbers.

    Raises:
        ValueError: They are not.
    """
    clip = np.random.default_rng(0).integers(0, 256, (FRAMES, FACE_SIZE, FACE_SIZE)).astype(np.float32)
    for number in range(3):
        key = jax.random.key(number)
        draws = np.array(jax.random.uniform(key, (7,), minval=-1.0, maxval=1.0))
        got = augment(torch.from_numpy(clip)[None], torch.from_numpy(draws)[None], Augmentation())[0]
        expected = jax.jit(augment_clip, static_argnums=2)(key, clip, Augmentation())
        # In gray levels: noise turns a rounding of positions into hundredths of a level.
        _check_close("augmentation", got.numpy() / 255, np.asarray(expected) / 255, 1e-3)


def _check_close(what: str, got: np.ndarray, expected: np.ndarray, tolerance: float = 1e-4) -> None:
    difference = float(np.abs(got - expected).max()) / max(float(np.abs(expected).max()), 1e-6)
    if not difference <= tolerance:
        raise ValueError(
            f"{what} in PyTorch and in ours differ by {difference:.1e} of the largest, expected at most {tolerance:g}"
        )
