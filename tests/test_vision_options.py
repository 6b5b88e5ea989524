import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mer_jax.errors import ConfigError
from mer_jax.vision import options as options_module
from mer_jax.vision.options import VisionOptions

CHOICES = {
    "crop": options_module.CROPS,
    "mask": options_module.MASKS,
    "sampling": options_module.SAMPLINGS,
    "face": options_module.FACES,
    "turn": options_module.TURNS,
}


def test_every_named_choice_is_valid_and_has_a_fingerprint_of_its_own():
    fingerprints = set()
    for field, known in CHOICES.items():
        assert VisionOptions.__dataclass_fields__[field].default in known
        for value in known:
            options = VisionOptions(**{field: value})
            options.validate()
            fingerprints.add(options.fingerprint())
    assert len(fingerprints) == 1 + sum(len(known) - 1 for known in CHOICES.values())  # the defaults coincide


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop": "onsett"}, r"crop is 'onsett'.*did you mean 'onset'\?"),
        ({"crop": "per_frame_box"}, "did you mean 'per_frame_bbox'"),
        ({"mask": "kep"}, r"did you mean 'keep'\?"),
        ({"mask": None}, "mask is None, which is unknown"),
        ({"sampling": "zzz"}, "known: 'apex', 'linear', 'tim', 'uniform'"),
        ({"face": "larges"}, "did you mean 'largest'"),
        ({"turn": "45"}, "turn is '45', which is unknown; known: '180', '270', '90', 'auto', 'none'"),
        ({"turn": 90}, "turn is 90, which is unknown"),
        ({"face": "0"}, "face is '0', which is unknown"),
        ({"magnification": -1.0}, r"magnification is -1\.0; it must be a number from 0 \(off\) to 100"),
        ({"magnification": float("nan")}, "magnification is nan"),
        ({"magnification": True}, "magnification is True"),
        ({"num_frames": 1}, "num_frames is 1; it must be a whole number, 2 or more"),
        ({"num_frames": 18.0}, r"num_frames is 18\.0"),
        ({"num_frames": True}, "num_frames is True"),
        ({"register": "yes"}, "register is 'yes'; it must be True or False"),
    ],
)
def test_a_wrong_value_is_refused(change, message):
    options = VisionOptions()
    for field, value in change.items():
        object.__setattr__(options, field, value)  # past the types that the suite checks at construction
    with pytest.raises(ConfigError, match=message):
        options.validate()


def test_fingerprint_changes_with_every_field_and_with_the_version(monkeypatch):
    prints = {VisionOptions().fingerprint()}
    other = {"num_frames": 16, "crop": "similarity", "register": False, "mask": "none", "sampling": "linear"}
    other |= {"face": "track", "magnification": 10.0, "turn": "auto"}
    assert set(other) == {field.name for field in dataclasses.fields(VisionOptions)}
    for field, value in other.items():
        prints.add(VisionOptions(**{field: value}).fingerprint())
    monkeypatch.setattr(options_module, "VISION_VERSION", options_module.VISION_VERSION + 1)
    prints.add(VisionOptions().fingerprint())
    assert len(prints) == len(other) + 2


def test_fingerprint_is_the_same_in_another_process():
    code = "from mer_jax.vision.options import VisionOptions; print(VisionOptions().fingerprint())"
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    result = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True)
    assert result.stdout.strip() == VisionOptions().fingerprint()
    assert len(result.stdout.strip()) == 12


def test_fields_that_came_later_leave_the_fingerprint_of_older_caches_alone():
    assert VisionOptions().fingerprint() == "91be0c9368a8"
    assert VisionOptions(mask="none").fingerprint() == "08e092f11217"
