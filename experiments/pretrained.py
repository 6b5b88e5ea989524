"""`--pretrained`: from the name of a trained model to what the training of an experiment starts from."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flax.traverse_util import unflatten_dict

from datasets.build import default_data_dir
from mer_jax.baselines import StandardFlow
from mer_jax.config import Experiment, Pretraining
from mer_jax.data.clips import Clips
from mer_jax.data.provenance import surrogate_mark
from mer_jax.data.views import find_view
from mer_jax.errors import ConfigError
from mer_jax.prediction.description import ModelDescription
from mer_jax.prediction.model import find_model_folder
from mer_jax.prediction.model_folder import read_model
from mer_jax.training.pretrained import Pretrained
from mer_jax.training.train import is_baseline
from mer_jax.vision.options import VISION_VERSION

_MAY_DIFFER = ("face",)  # which of several faces is taken changes no pixel of it


def name_pretrained(experiment: Experiment, model: str, way: str) -> Experiment:
    """Returns the experiment with the model that it starts from, under a name of its own.

    A `StandardFlow` whose weights are pulled towards the model's gets the model's cells.

    Args:
        experiment: Validated.
        model: A model folder, a run folder with one, or the name of a shipped model.
        way: See `Pretraining`.

    Raises:
        ModelError: There is no such model.
        ConfigError: It does not go with the experiment.
    """
    folder = find_model_folder(model)
    description, _ = read_model(folder)
    name = model if folder.name == model and not Path(model).exists() else str(folder.absolute())
    if way == "weights" and isinstance(experiment.model, StandardFlow) and "cells" in description.architecture:
        cells = description.architecture["cells"]
        experiment = dataclasses.replace(experiment, model=dataclasses.replace(experiment.model, cells=cells))
    suffix = {"weights": "pretrained", "clips": "added"}[way]
    pretraining = Pretraining(model=name, way=way)
    return dataclasses.replace(experiment, name=f"{experiment.name}_{suffix}", pretraining=pretraining)


@dataclasses.dataclass(frozen=True)
class Start:
    """What an experiment starts from.

    Attributes:
        model: Its name or folder, as the experiment has it.
        way: See `Pretraining`.
        description: Of the trained model.
        weights: As `Pretrained` has them.
    """

    model: str
    way: str
    description: ModelDescription
    weights: Any

    def check_people(self, clips: Clips) -> str:
        """Refuses a model that has seen the people who are tested.

        Returns:
            A warning where that cannot be known; "" for none.

        Raises:
            ConfigError: It was trained on these clips, or on recordings of one of their corpora; or its classes are
                others.
        """
        name, training = self.description.name, self.description.training
        if self.description.class_names != clips.class_names:
            raise ConfigError(
                f"{name} answers {', '.join(self.description.class_names)}; the corpus has "
                f"{', '.join(clips.class_names)}: expected the same classes in the same order"
            )
        # A composite has a name of its own and the people of several corpora. Models of older versions name only one.
        trained = {training.get("corpus"), *training.get("corpora", ())}
        both = set() if self.description.is_surrogate else trained & {clips.corpus_name, *clips.corpus}
        if training.get("fingerprint") == clips.fingerprint or both:
            shown = ", ".join(sorted(both)) or training.get("corpus")
            raise ConfigError(
                f"{name} was trained on {shown}, which is tested here: it has seen the people that a fold leaves out; "
                "expected a model of other people"
            )
        if self.description.is_surrogate:
            return ""
        return (
            f"warning: {name} was trained on people of {training.get('corpus')}; scores hold only if none of them is "
            "in this corpus too"
        )

    def load(
        self,
        *,
        data_dir: str | Path | None = None,
        workers: int | None = None,
        say: Callable[[str], None] = print,
    ) -> Pretrained:
        """Returns what training takes; where clips are added, they are rendered unless they are kept.

        Args:
            data_dir: Where recordings are kept that are added to training; None takes the default.
            workers: Processes that render them.
            say: Takes lines for the user.
        """
        clips = _load_clips(data_dir, workers, say) if self.way == "clips" else None
        pretrained = Pretrained(self.model, self.weights, clips)
        said = surrogate_mark(self.description.provenance, after=" ")
        added = f"{len(clips)} clips of {clips.num_subjects} people that taught it, added" if clips else "its weights"
        say(f"pretrained: {said}{self.description.name}, checksum {pretrained.record.checksum}: {added}")
        return pretrained


def read_start(experiment: Experiment) -> Start | None:
    """Reads what an experiment starts from; None if it starts from nothing.

    Args:
        experiment: With `pretraining`.

    Raises:
        ModelError: There is no such model, or it is damaged.
        ConfigError: It does not go with the experiment; the message names what differs.
    """
    named = experiment.pretraining
    if not named.model:
        return None
    description, arrays = read_model(find_model_folder(named.model))
    check_description(experiment, description)
    if description.members > 1:
        raise ConfigError(
            f"{named.model} has {description.members} sets of weights; expected one to start from, written by --final"
        )
    if named.way == "clips":
        _check_recipe(description)
    member = {name.removeprefix("0/"): array for name, array in arrays.items()}
    return Start(named.model, named.way, description, unflatten_dict(member, sep="/"))


def check_description(experiment: Experiment, description: ModelDescription) -> None:
    """Refuses a model that was made for other inputs than those of an experiment.

    Raises:
        ConfigError: Network, view, normalisation or preparation differ; the message names what.
    """
    model, name = experiment.model, type(experiment.model).__name__
    got = description.architecture["class"]
    if got != name:
        hint = ": --config surrogate_motion.py" if got == "StandardFlow" else ""
        raise ConfigError(
            f"got --pretrained={experiment.pretraining.model}, a {got}, for an experiment with {name}; expected {got} "
            f"for both{hint}"
        )
    differ = [("view", description.view, find_view(model).name)]
    if not is_baseline(model):
        differ.append(("normalization", description.normalization, experiment.normalization))
    differ.append(("vision_version", description.vision_version, VISION_VERSION))
    if description.vision is not None and experiment.vision is not None:
        there, here = (dataclasses.asdict(each) for each in (description.vision, experiment.vision))
        differ += [(f"vision.{field}", there[field], here[field]) for field in there if field not in _MAY_DIFFER]
    differ = [(field, there, here) for field, there, here in differ if there != here]
    if differ:
        raise ConfigError(
            f"{experiment.pretraining.model} was trained on other inputs: "
            + "; ".join(f"{field} is {there!r} there and {here!r} here" for field, there, here in differ)
            + "; expected the same, --config.<field>=<value> changes it here"
        )


def _check_recipe(description: ModelDescription) -> None:
    from experiments.surrogate_motion import NAME

    if description.name != NAME:
        raise ConfigError(
            f"got --pretrained_by=clips with {description.name}; expected {NAME}, whose clips can be rendered again"
        )


def _load_clips(data_dir: str | Path | None, workers: int | None, say: Callable[[str], None]) -> Clips:
    """The first recording of each laboratory that taught the shipped weights, rendered again unless it is kept.

    A third of all their clips: enough beside the few of a corpus, and every fold is fitted to them many times.
    """
    from datasets.surrogate.motion_clips import record_motion
    from experiments.configs.surrogate_motion import RECIPE

    folder = Path(data_dir).expanduser() if data_dir else default_data_dir()
    first = [each for each in RECIPE.recordings() if each.seed == RECIPE.seeds[0]]
    return record_motion(first, folder / "motion", workers=workers, say=say)
