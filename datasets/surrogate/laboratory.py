"""Simulated recording laboratories of the surrogate: camera, lighting, people and emotions.

Cameras, frame rates and emotions are those that the corpora's papers print. Any number of people can be filmed in one;
person and clip numbers determine everything together with a seed.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from datasets.schemes import THREE
from datasets.surrogate import casme2, casme_squared, samm, smic
from datasets.surrogate.emotions import EMOTION_SETS
from datasets.surrogate.identity import Subject, sample_subject
from datasets.surrogate.plan import CorpusOptions
from datasets.surrogate.scenario import UNIT_SETS, ClipSpec, UnitSets
from datasets.surrogate.studio import CorpusGeometry

# Numbers of people and clips in here lie above those of any release, so that nobody occurs in both.
FIRST_PERSON, FIRST_CLIP = 100_000, 1_000_000


@dataclasses.dataclass(frozen=True)
class Laboratory:
    """A laboratory.

    Attributes:
        name: Of the corpus that was recorded there.
        geometry: How it films.
        emotions: For each of the three classes, the labels that belong to it and how often they occur.
        unit_sets: What each label moves.
        number: Tells its people from those of other laboratories.
    """

    name: str
    geometry: CorpusGeometry
    emotions: Mapping[str, Mapping[str, float]]
    unit_sets: Mapping[str, UnitSets]
    number: int

    def film_person(self, seed: int, person: int) -> Subject:
        """Draws a person.

        Args:
            seed: Of the recording.
            person: 0-based.
        """
        return sample_subject(seed, FIRST_PERSON * (1 + self.number) + person, self.geometry.tones)

    def film_clip(self, options: CorpusOptions, subject: Subject, person: int, clip: int, class_name: str) -> ClipSpec:
        """Draws a clip of one of the three classes.

        Args:
            options: Difficulty, seed and version.
            subject: From `film_person`.
            person: 0-based.
            clip: Of the person, 0-based, below 1000.
            class_name: negative, positive or surprise.
        """
        number = FIRST_CLIP * (1 + self.number) * 100 + 1000 * person + clip
        rng = np.random.default_rng([options.seed, 19, number])
        labels = self.emotions[class_name]
        shares = np.array(list(labels.values())) / sum(labels.values())
        label = str(rng.choice(list(labels), p=shares))
        return options.sample_clip(number, subject, label, self.geometry, unit_sets=self.unit_sets)


def _same(*names: str) -> Mapping[str, Mapping[str, float]]:
    return {name: {name: 1.0} for name in names}


def _sets(emotions: Mapping[str, Mapping[str, float]]) -> Mapping[str, UnitSets]:
    return {label: EMOTION_SETS[label] for labels in emotions.values() for label in labels}


_CASME2 = {"negative": {"disgust": 63, "repression": 27}, "positive": {"happiness": 32}, "surprise": {"surprise": 25}}
_SAMM = {
    "negative": {"anger": 57, "contempt": 12, "disgust": 9, "fear": 8, "sadness": 6},
    "positive": {"happiness": 26},
    "surprise": {"surprise": 15},
}
_CASME_SQUARED = {
    "negative": {"disgust": 16, "anger": 8, "fear": 4, "sadness": 1},
    "positive": {"happiness": 15},
    "surprise": {"surprise": 10},
}
LABORATORIES: Mapping[str, Laboratory] = {
    each.name: each
    for each in (
        Laboratory("smic", smic.GEOMETRY, _same(*THREE), UNIT_SETS, 0),
        Laboratory("casme2", casme2.GEOMETRY, _CASME2, _sets(_CASME2), 1),
        Laboratory("samm", samm.GEOMETRY, _SAMM, _sets(_SAMM), 2),
        Laboratory("casme_squared", casme_squared.GEOMETRY, _CASME_SQUARED, _sets(_CASME_SQUARED), 3),
    )
}
