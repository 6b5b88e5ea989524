"""The composite surrogate, and version 2 of the surrogate."""

import collections
import dataclasses

import numpy as np
import pytest

from datasets.megc2019.release import Megc2019
from datasets.surrogate.corpus import COMPOSITES, CORPORA, render_corpus
from datasets.surrogate.plan import CorpusOptions
from mer_jax.errors import ConfigError


def three_classes(name):
    """Class of each clip of a part that the composite takes, with its person, as the scheme counts them."""
    release = COMPOSITES["megc2019"][name].release
    plan = release.plan(CorpusOptions(num_subjects=release.num_subjects, num_clips=release.num_clips))
    scheme = Megc2019.schemes["3class"].parts[name]
    for subject in plan.subjects:
        for clip in subject.clips:
            label = clip.spec.class_name.lower()
            if label in scheme.class_of and clip.clip_id not in scheme.excluded:
                yield subject.name, scheme.class_of[label]


def test_the_composite_has_the_published_counts():
    taken = {name: list(three_classes(name)) for name in COMPOSITES["megc2019"]}
    assert {name: (len(clips), len({who for who, _ in clips})) for name, clips in taken.items()} == {
        "casme2": (145, 24),
        "samm": (133, 28),
        "smic": (164, 16),
    }
    classes = collections.Counter(label for clips in taken.values() for _, label in clips)
    assert classes == {"negative": 250, "positive": 109, "surprise": 83}


def test_a_small_composite_is_read_as_one_corpus(tmp_path):
    root = render_corpus(
        tmp_path, corpus="megc2019", num_clips=9, num_subjects=3, scale=0.2, version=2, log=lambda line: None
    )
    corpus = Megc2019.read(root)
    assert corpus.provenance == "surrogate"
    assert {record.corpus for record in corpus.records} == {"casme2", "samm", "smic"}
    assert all(part["renderer_version"] > 100 for part in corpus.marker["parts"].values())


def test_a_composite_of_more_people_than_clips_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="clips is 4, but each of 6 subjects needs at least one"):
        render_corpus(tmp_path, corpus="megc2019", num_clips=4, num_subjects=6)


def sample_specs(version, number=200, difficulty="real"):
    options = CorpusOptions(difficulty, 4, 20, version=version)
    release = CORPORA["smic"].plan(dataclasses.replace(options, num_clips=number))
    return [clip.spec for subject in release.subjects for clip in subject.clips]


def test_an_unknown_version_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="version of the surrogate is 3"):
        render_corpus(tmp_path, version=3)


def test_version_2_moves_in_more_ways():
    first, second = sample_specs(1), sample_specs(2)
    assert len({spec.action_units for spec in second}) > 1.3 * len({spec.action_units for spec in first})

    def spread(specs):  # of the frames in which the units of a clip are largest, shares of the clip
        apexes = [
            [spec.activations[unit, side].argmax() / spec.num_frames for unit in spec.action_units for side in (0, 1)]
            for spec in specs
            if len(spec.action_units) > 1
        ]
        return np.mean([np.std(each) for each in apexes])

    assert spread(second) > 2 * spread(first)
    assert all(spec.tilt is None for spec in first)
    assert all(spec.tilt.shape == (spec.num_frames, 2) for spec in second)


def test_version_2_without_amplitude_moves_no_unit_of_the_class():
    for spec in sample_specs(2, 60, "null"):
        assert set(spec.peaks.values()) == {0.0}
