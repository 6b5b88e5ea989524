"""One experiment as one typed value.

A config file returns an `Experiment`; the command line overrides any field of it, the
fields of the model and of the vision options included:
`--config.learning_rate=3e-4 --config.model.features=32 --config.vision.mask=blank`.
"""

import dataclasses
import re
from typing import Any

from mer_jax.errors import ConfigError, near_names

CLASS_WEIGHTS = ("raw", "normalized", "effective", "none")
NORMALIZATIONS = ("difference", "gray", "standard")
SELECTIONS = ("validation", "last")
DIAGNOSTICS = ("", "test_best")
PRECISIONS = ("float32", "bfloat16")
OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine")
LOSSES = ("cross_entropy", "focal")
PRETRAINING_WAYS = ("weights", "clips")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How far a clip is moved and relit, one draw a clip, the same for all its frames.

    The paper names rotation, cropping, brightness and contrast (sections 3.1 and 3.2)
    and no amounts: all amounts are ours.
    """

    rotation_deg: float = 5.0  # uniform in +-, about the middle of the face
    shift: float = 0.03  # uniform in +-, share of the face's side, each axis
    zoom: float = 0.05  # uniform in +-, 0.05 crops to 95 % or widens to 105 %
    brightness: float = 0.10  # uniform in +-, share of the full scale
    contrast: float = 0.25  # uniform in +-, about the clip's mean
    mirror: float = 0.5  # probability of exchanging left and right; ours, the paper has none
    speed: float = 0.0  # uniform in +-, 0.2 plays the clip at 80 % to 120 % of its speed; ours, off as in the paper

    def validate(self) -> None:
        """Raises ConfigError when an amount is out of its range."""
        for name, most in _MOST_AUGMENTATION.items():
            _check(f"augment.{name}", getattr(self, name), 0.0, most)


_MOST_AUGMENTATION = {
    "rotation_deg": 180.0, "shift": 0.5, "zoom": 0.5, "brightness": 1.0, "contrast": 1.0, "mirror": 1.0, "speed": 0.9,
}  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Optimization:
    """What is minimised and how. The defaults are the paper's: Adam on cross-entropy, and nothing else (section 4)."""

    optimizer: str = "adam"  # `adam`, `adamw` with a `weight_decay`, or `sgd` with Nesterov momentum 0.9
    weight_decay: float = 0.0  # of `adamw`, in units of the learning rate
    schedule: str = "constant"  # `constant`, or `cosine` from the learning rate down to 0 at the last epoch
    warmup_epochs: int = 0  # the learning rate rises from 0 over these
    clip_norm: float = 0.0  # gradients are scaled to this norm where theirs is larger; 0: never
    loss: str = "cross_entropy"  # or `focal` (Lin et al. 2017)
    focal_gamma: float = 2.0  # 0 makes `focal` the cross-entropy
    label_smoothing: float = 0.0  # share of the target that goes to all classes alike

    def validate(self) -> None:
        """Raises ConfigError when a value is unknown or out of its range."""
        _check_one_of("optimization.optimizer", self.optimizer, OPTIMIZERS)
        _check_one_of("optimization.schedule", self.schedule, SCHEDULES)
        _check_one_of("optimization.loss", self.loss, LOSSES)
        _check_count("optimization.warmup_epochs", self.warmup_epochs, 0, 100_000)
        for name, most in {"weight_decay": 1.0, "clip_norm": 1e6, "focal_gamma": 10.0, "label_smoothing": 0.9}.items():
            _check(f"optimization.{name}", getattr(self, name), 0.0, most)
        if self.weight_decay and self.optimizer != "adamw":
            raise ConfigError(
                f"got optimization.weight_decay={self.weight_decay} with optimizer {self.optimizer!r}, which has none; "
                "set --config.optimization.optimizer=adamw"
            )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pretraining:
    """What training starts from, beside the clips of the experiment; see `mer_jax.training.pretrained`."""

    model: str = ""  # folder of a trained model, or name of a shipped one; "" for none
    way: str = "weights"  # `weights`: training starts from its weights; `clips`: clips that taught it are added
    checksum: str = ""  # of these weights and clips: a run is continued or repeated with the same ones only

    def validate(self) -> None:
        """Raises ConfigError when the way is unknown."""
        _check_one_of("pretraining.way", self.way, PRETRAINING_WAYS)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """Everything that decides what a run computes.

    `model` has no default: a config file builds the real linen module, and the real
    `VisionOptions`. Without `vision`, clips have to come prepared.
    """

    name: str = "experiment"  # of the config; names the run folder
    corpus: str = ""  # a folder of `datasets/`; "" where clips come from elsewhere
    variant: str = ""  # of the corpus: part, tree or class scheme, see its README; "" is its first
    model: Any  # a linen module: inputs -> logits
    vision: Any = None  # mer_jax.vision.options.VisionOptions: how frames become clips

    # Protocols: which clips train, choose the epoch, and test.
    protocols: tuple[str, ...] = ("paper", "subject")
    num_folds: int = 5  # of protocols `subject` and `clip`
    validation_share: float = 0.1  # of all clips; chooses the epoch; 0 trains on all others, with selection `last`
    num_copies: int = 2  # of protocol `paper`: augmented copies of each clip, beside the clip itself
    seed: int = 0  # of everything: folds, initial weights, order, augmentation, dropout
    num_seeds: int = 1  # everything is repeated under seed, seed + 1, ...

    # The surrogate corpus, where no licensed one is given.
    surrogate_difficulty: str = "medium"
    surrogate_seed: int = 0
    surrogate_clips: int = 0  # 0: as many as the release has
    surrogate_subjects: int = 0  # likewise
    surrogate_version: int = 1  # 2: richer movements, skin and light, see docs/surrogate.md

    # What the network sees.
    # Of faces: `difference` to the onset frame (ours), or `gray` (the paper read literally). Of motion features:
    # `standard` subtracts the median and divides by the standard deviation, for each clip and channel.
    normalization: str = "difference"
    augment: Augmentation = dataclasses.field(default_factory=Augmentation)

    # Training. Batch, epochs, learning rate and class weights are the paper's (section 4, equation 1).
    batch_size: int = 80
    epochs: int = 200  # at most
    learning_rate: float = 1e-3
    optimization: Optimization = dataclasses.field(default_factory=Optimization)
    class_weights: str = "raw"  # W_k = N / n_k; `normalized` has mean 1; `effective` (Cui et al. 2019); `none`
    precision: str = "float32"  # or `bfloat16` activations, with weights and loss in float32
    pretraining: Pretraining = dataclasses.field(default_factory=Pretraining)

    # Which epoch is tested. Never by the test.
    selection: str = "validation"  # the epoch of the lowest validation loss; `last`: the last one, validation unused
    diagnostic: str = ""  # `test_best` shows beside it what choosing the epoch by its TEST accuracy would have shown
    min_epochs: int = 40  # an earlier epoch is not chosen: a few validation clips are best guessed by an untrained net
    patience: int = 20  # epochs after the chosen one, without a lower validation loss, before a fold stops; 0: never
    epochs_per_chunk: int = 10  # one compiled call; progress and checkpoints stand between chunks

    def validate(self) -> None:
        """Checks every field that the config itself can check.

        Raises:
            ConfigError: naming the field, what was got and what was expected.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", self.name):
            raise ConfigError(f"got name={self.name!r}, expected letters, digits, '_', '-' and '.': it names a folder")
        for name, least, most in _COUNTS:
            _check_count(name, getattr(self, name), least, most)
        _check("learning_rate", self.learning_rate, 1e-12, 10.0)
        _check("validation_share", self.validation_share, 0.0, 0.49)
        if self.min_epochs > self.epochs:
            raise ConfigError(
                f"got epochs={self.epochs} and min_epochs={self.min_epochs}, expected min_epochs of at most epochs: "
                f"no epoch could be chosen; set --config.min_epochs too"
            )
        _check_model(self.model)
        _check_one_of("class_weights", self.class_weights, CLASS_WEIGHTS)
        _check_one_of("normalization", self.normalization, NORMALIZATIONS)
        _check_one_of("selection", self.selection, SELECTIONS)
        _check_one_of("diagnostic", self.diagnostic, DIAGNOSTICS)
        _check_one_of("precision", self.precision, PRECISIONS)
        if self.precision == "bfloat16" and "dtype" not in {field.name for field in dataclasses.fields(self.model)}:
            raise ConfigError(
                f"got precision='bfloat16', and {type(self.model).__name__} has no field dtype to compute in; "
                "use precision='float32', or give the model one (see nn.Dense)"
            )
        if self.optimization.warmup_epochs > self.epochs:
            raise ConfigError(
                f"got optimization.warmup_epochs={self.optimization.warmup_epochs} of epochs={self.epochs}; "
                "expected at most as many"
            )
        own_loss, changed = hasattr(self.model, "example_loss"), self.optimization
        if own_loss and (changed.loss != LOSSES[0] or changed.label_smoothing):
            raise ConfigError(
                f"got optimization.loss={changed.loss!r} and label_smoothing={changed.label_smoothing} with "
                f"{type(self.model).__name__}, which has a loss of its own; expected {LOSSES[0]!r} and 0, which it "
                "replaces"
            )
        if isinstance(self.protocols, str):
            raise ConfigError(f"got protocols={self.protocols!r}, expected a tuple such as ('paper', 'subject')")
        if not self.protocols:
            raise ConfigError("got protocols=(), expected at least one, such as ('paper', 'subject')")
        if len(set(self.protocols)) != len(self.protocols):
            raise ConfigError(f"got protocols={self.protocols}, expected each protocol once")
        self.augment.validate()
        self.optimization.validate()
        self.pretraining.validate()
        if self.vision is not None:
            self.vision.validate()

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values, for config.json; the model with its class name.

        Example:
            >>> import flax.linen as nn
            >>> e = Experiment(name="x", corpus="smic", model=nn.Dense(3), vision=Augmentation())
            >>> e.to_dict()["model"]["class"]
            'Dense'
        """
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        model = {"class": type(self.model).__name__}
        for field in dataclasses.fields(self.model):
            if field.name not in ("parent", "name"):
                model[field.name] = _plain(getattr(self.model, field.name))
        parts = ("vision", "augment", "optimization", "pretraining")
        fields.update(model=model, **{part: _as_dict(getattr(self, part)) for part in parts})
        return {key: _plain(value) for key, value in fields.items()}


_COUNTS = (
    ("batch_size", 1, 65_536),
    ("epochs", 1, 100_000),
    ("min_epochs", 0, 100_000),
    ("patience", 0, 100_000),
    ("epochs_per_chunk", 1, 100_000),
    ("num_folds", 2, 10_000),
    ("num_copies", 1, 1000),
    ("seed", 0, 2**31 - 1),
    ("num_seeds", 1, 10_000),
    ("surrogate_seed", 0, 2**31 - 1),
    ("surrogate_clips", 0, 1_000_000),
    ("surrogate_subjects", 0, 100_000),
    ("surrogate_version", 1, 2),
)


def restore_fields(value: Any, plain: dict[str, Any], source: Any) -> Any:
    """Restores a dataclass from plain values, such as those of `Experiment.to_dict`.

    Args:
        value: An instance of the class; its fields tell what each plain value was. A linen module is one, too.
        plain: Field names and plain values; the entry `class` is not used.
        source: Where the values are from, for messages.

    Raises:
        ConfigError: A field that the class does not have.

    Example:
        >>> restore_fields(Augmentation(), {"shift": 0.1}, "an example").shift
        0.1
    """
    changes = {}
    for name, got in plain.items():
        if name == "class":
            continue
        if not hasattr(value, name):
            raise ConfigError(
                f"{source} has a field {name}, which {type(value).__name__} lacks; use the version that it names"
            )
        current = getattr(value, name)
        if dataclasses.is_dataclass(current) and isinstance(got, dict):
            changes[name] = restore_fields(current, got, source)
        elif isinstance(got, list):
            changes[name] = tuple(got)
        elif got != getattr(current, "__name__", current):  # a type is written by its name
            changes[name] = got
    return dataclasses.replace(value, **changes)


def _as_dict(value: Any) -> dict[str, Any] | None:
    return None if value is None else dataclasses.asdict(value)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    return getattr(value, "__name__", str(value))


def _check(name: str, value: Any, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ConfigError(f"got {name}={value!r}, expected a number from {least:g} to {most:g}")


def _check_count(name: str, value: Any, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ConfigError(f"got {name}={value!r}, expected a whole number from {least} to {most}")


def _check_model(model: Any) -> None:
    """Checks what types and defaults tell of a model's fields; other values validate themselves, as `Convolution` does.

    A field of type `int`, or a tuple of whole numbers, is at least 1, or at least its default where that is lower.
    A field called `dropout` is a share, or None.
    """
    fields = {field.name: field for field in dataclasses.fields(model)} if dataclasses.is_dataclass(model) else {}
    if "num_classes" not in fields:
        raise ConfigError(f"got the model {type(model).__name__}, expected one with a field num_classes; add it")
    for name, field in fields.items():
        value = getattr(model, name)
        if field.type in (int, "int"):
            _check_count(f"model.{name}", value, _least(field.default), 1_000_000)
        elif isinstance(field.default, tuple) and all(type(size) is int for size in field.default):
            for size in value if isinstance(value, tuple | list) else ():
                _check_count(f"model.{name}", size, _least(*field.default), 1_000_000)
    dropout = getattr(model, "dropout", None)
    is_number = isinstance(dropout, int | float) and not isinstance(dropout, bool)
    if dropout is not None and not (is_number and 0 <= dropout < 1):
        raise ConfigError(f"got model.dropout={dropout!r}, expected a share from 0 to below 1")


def _least(*defaults: Any) -> int:
    """The lowest value of a whole number: 1, or its default where that is lower."""
    return min([1, *(default for default in defaults if isinstance(default, int))])


def _check_one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"got {name}={value!r}; {near_names(str(value), known)}")
