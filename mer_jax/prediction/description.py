"""Description of a trained model: the content of `model.json`, validated when it is read."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import mer_jax
from mer_jax.config import NORMALIZATIONS, PRECISIONS, restore_fields
from mer_jax.data.clips import PROVENANCES
from mer_jax.data.views import VIEWS
from mer_jax.errors import ConfigError, ModelError, near_names
from mer_jax.vision.options import VISION_VERSION, VisionOptions

FORMAT = 1  # of the folder; raised whenever an older library could not read a new one
KINDS = ("network", "linear")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """Everything about a trained model but its weights.

    Attributes:
        name: Of the experiment, or of the shipped model.
        kind: `network`: a module of `mer_jax.models`; `linear`: features of one of `mer_jax.baselines` and a linear
            classifier.
        architecture: Class name under `class`, and the fields of the class, as in `Experiment.to_dict()["model"]`.
        members: Sets of weights, whose probabilities are averaged; 1 for a single model.
        class_names: In the order of the answers.
        view: What the model takes, one of `mer_jax.data.views.VIEWS`.
        normalization: Of whole faces and halves.
        precision: `float32`, or `bfloat16` activations.
        num_frames: Frames of a prepared clip.
        vision: How frames become a clip; None where clips came prepared, and a video cannot be predicted.
        vision_version: Version of the meaning of `vision`.
        temperature: Divides the logits; fitted to answers about people that were not trained on.
        threshold: Confidence below which the model abstains, 0 to 1.
        provenance: Of the training data, one of `PROVENANCES`.
        training: What it was trained on: `corpus`, `corpora` (of a composite, those that it is made of), `clips`,
            `people`, `class_counts`, `fingerprint` of the clips, `experiment` (fingerprint), `epochs`, `method` in
            words, `seed`. More entries are allowed.
        expected: Scores to expect, one entry for each measurement, see `expected_scores`. Empty if none was made.
        library: Version of mer_jax that wrote it.
    """

    name: str
    kind: str
    architecture: Mapping[str, Any]
    members: int = 1
    class_names: tuple[str, ...]
    view: str
    normalization: str = "difference"
    precision: str = "float32"
    num_frames: int
    vision: VisionOptions | None
    vision_version: int = VISION_VERSION
    temperature: float = 1.0
    threshold: float = 0.0
    provenance: str
    training: Mapping[str, Any]
    expected: Sequence[Mapping[str, Any]] = ()
    library: str = mer_jax.__version__

    def __post_init__(self):
        _check("kind", self.kind, self.kind in KINDS, f"one of {', '.join(KINDS)}")
        is_named = isinstance(self.architecture, Mapping) and isinstance(self.architecture.get("class"), str)
        _check("architecture", self.architecture, is_named, "an object with the entry class")
        _check("members", self.members, _is_count(self.members), "a whole number from 1")
        names = self.class_names
        is_right = len(names) >= 2 and all(isinstance(each, str) and each for each in names)
        _check("class_names", names, is_right and len(set(names)) == len(names), "two or more different names")
        _check("view", self.view, self.view in VIEWS, f"one of {', '.join(VIEWS)}")
        _check("normalization", self.normalization, self.normalization in NORMALIZATIONS, ", ".join(NORMALIZATIONS))
        _check("precision", self.precision, self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}")
        _check("num_frames", self.num_frames, _is_count(self.num_frames), "a whole number from 1")
        _check("vision_version", self.vision_version, _is_count(self.vision_version), "a whole number from 1")
        _check("temperature", self.temperature, _is_number(self.temperature) and self.temperature > 0, "above 0")
        in_range = _is_number(self.threshold) and 0 <= self.threshold <= 1
        _check("threshold", self.threshold, in_range, "a number from 0 to 1")
        _check("provenance", self.provenance, self.provenance in PROVENANCES, f"one of {', '.join(PROVENANCES)}")
        _check("training", self.training, isinstance(self.training, Mapping), "an object")
        is_list = isinstance(self.expected, list | tuple) and all(isinstance(each, Mapping) for each in self.expected)
        _check("expected", self.expected, is_list, "a list of objects")

    @property
    def is_surrogate(self) -> bool:
        """Whether the model was trained on rendered faces."""
        return self.provenance == "surrogate"

    def to_plain(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        plain["vision"] = None if self.vision is None else dataclasses.asdict(self.vision)
        return {"format": FORMAT, **plain, "class_names": list(self.class_names), "expected": list(self.expected)}


def read_description(plain: Mapping[str, Any], source: Any) -> ModelDescription:
    """Makes a description from the content of `model.json`.

    Args:
        plain: From `ModelDescription.to_plain`.
        source: Path of the file, for messages.

    Raises:
        ModelError: A newer format, or fields that are missing, unknown or out of range.
    """
    version = plain.get("format")
    if not isinstance(version, int) or not 1 <= version <= FORMAT:
        raise ModelError(
            f"{source} has format {version!r}, written by mer_jax {plain.get('library')}; mer_jax "
            f"{mer_jax.__version__} reads up to {FORMAT}; install a newer mer_jax"
        )
    fields = {field.name: field for field in dataclasses.fields(ModelDescription)}
    given = {name: value for name, value in plain.items() if name != "format"}
    if unknown := sorted(set(given) - set(fields)):
        raise ModelError(f"{source} has the unknown field {unknown[0]!r}; {near_names(unknown[0], fields)}")
    needed = [name for name, field in fields.items() if field.default is dataclasses.MISSING]
    if missing := [name for name in needed if name not in given]:
        raise ModelError(f"{source} lacks {', '.join(missing)}; copy the folder again from its source")
    for name in ("class_names", "expected"):
        if not isinstance(given.get(name, []), list):
            raise ModelError(f"{source}: {name} is {given[name]!r}; expected a list")
    if not isinstance(given["vision"], dict | None):
        raise ModelError(f"{source}: vision is {given['vision']!r}; expected an object or null")
    given["class_names"] = tuple(given["class_names"])
    try:
        if given["vision"] is not None:
            given["vision"] = restore_fields(VisionOptions(), given["vision"], source)
            given["vision"].validate()
        return ModelDescription(**given)
    except (ConfigError, ModelError) as error:
        raise ModelError(f"{source}: {error}") from error


def restore_class(description: ModelDescription, package: ModuleType) -> Any:
    """Makes the network or baseline that a description names, without weights.

    Args:
        description: Its `architecture` has the class and the fields.
        package: `mer_jax.models` or `mer_jax.baselines`; only the class that is named is imported.

    Raises:
        ModelError: The class is not known, or has other fields.
    """
    name = description.architecture["class"]
    if name not in package.__all__:
        raise ModelError(
            f"the model {description.name} is a {name}, which this version of mer_jax does not have; "
            f"{near_names(name, package.__all__)} A network of your own is given as mer_jax.load(path, network=...)"
        )
    try:
        model = restore_fields(
            getattr(package, name)(), dict(description.architecture), f"the model {description.name}"
        )
    except (TypeError, ValueError) as error:  # ConfigError is a ValueError
        raise ModelError(f"the {name} of the model {description.name} cannot be made: {error}") from error
    if getattr(model, "view", None) != description.view:
        raise ModelError(
            f"the model {description.name} takes {description.view}, but {name} of this version takes "
            f"{getattr(model, 'view', None)}; use mer_jax {description.library}, which wrote it"
        )
    return model


def _check(name: str, value: Any, is_right: bool, expected: str) -> None:
    if not is_right:
        raise ModelError(f"{name} is {value!r}; expected {expected}")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
