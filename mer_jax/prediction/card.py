"""The model card, written from the description of a model and from nothing else.

Source: Mitchell et al., "Model cards for model reporting", FAT* 2019, for the sections.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from mer_jax.data.provenance import surrogate_mark
from mer_jax.evaluation.temperature import TARGET_ACCURACY
from mer_jax.prediction.description import ModelDescription
from mer_jax.prediction.usage import MEANING, PURPOSE, SURROGATE_NOTE

_SCORES = {"accuracy": "accuracy", "uf1": "UF1", "uar": "UAR"}


def write_card(description: ModelDescription) -> str:
    """Returns the text of `CARD.md`; it begins with SURROGATE where the model was taught on rendered faces."""
    title = surrogate_mark(description.provenance, after=": ") + description.name
    sections = {
        "What it is": _describe_model(description),
        "What it was taught on": _describe_training(description),
        "What to expect": _describe_expected(description.expected),
        "When it abstains": _describe_abstention(description),
        "What it may be used for": f"{MEANING}\n\n{PURPOSE}",
        "How to use it": _EXAMPLE,
        "Versions": f"Written by mer_jax {description.library}; preprocessing version {description.vision_version}. "
        "`model.json` has the checksums of all files.",
    }
    head = f"# {title}\n" + (f"\n{SURROGATE_NOTE}\n" if description.is_surrogate else "")
    return head + "".join(f"\n## {heading}\n\n{text.rstrip()}\n" for heading, text in sections.items())


_EXAMPLE = """```python
import mer_jax

model = mer_jax.load("this folder")
print(model.predict("clip.mp4"))  # a clip from the onset to the offset of one expression
```"""


def _describe_model(description: ModelDescription) -> str:
    fields = dict(description.architecture)
    name = fields.pop("class")
    what = {
        "network": f"The network {name}",
        "linear": f"A linear classifier on the features of {name}",
    }[description.kind]
    if description.members > 1:
        what += f", {description.members} sets of weights whose probabilities are averaged"
    lines = [
        f"{what}. It answers with one of {', '.join(description.class_names)}.",
        "",
        f"* Takes: {description.view}, {description.num_frames} frames of a clip"
        + (f", normalisation {description.normalization}" if description.view != "motion" else ""),
        f"* Fields: `{json.dumps(fields, sort_keys=True)}`" if fields else "",
        f"* Preparation: `{json.dumps(dataclasses.asdict(description.vision), sort_keys=True)}`"
        if description.vision
        else "* Preparation: none; it takes prepared clips only",
    ]
    return "\n".join(line for number, line in enumerate(lines) if line or number == 1)


def _describe_training(description: ModelDescription) -> str:
    kinds = {
        "licensed": "Recordings of people under their owners' licence.",
        "surrogate": "Rendered faces; no recording of a person.",
        "unstated": "Nobody has stated where the clips come from.",
    }
    lines = [kinds[description.provenance], ""]
    lines += [f"* {name.replace('_', ' ')}: {_plain(value)}" for name, value in description.training.items()]
    return "\n".join(lines)


def _describe_expected(expected: Sequence[Mapping[str, Any]]) -> str:
    if not expected:
        return "Not measured. Expect nothing."
    return "\n\n".join(map(_describe_measurement, expected))


def _describe_measurement(entry: Mapping[str, Any]) -> str:
    surrogate = surrogate_mark(entry.get("provenance"), after=", ")
    what = f"{surrogate}{entry.get('corpus', 'unnamed corpus')}, protocol {entry.get('protocol', 'unnamed')}"
    lines = [f"Measured on {what}: {entry.get('n_clips', '?')} clips of {entry.get('n_subjects', '?')} people."]
    lines += [str(entry["note"])] if entry.get("note") else []
    lines += ["", "| score | measured | 95 % interval | guessing | majority class |", "|---|---|---|---|---|"]
    for name, title in _SCORES.items():
        if entry.get(name) is None:
            continue
        interval = (entry.get("intervals") or {}).get(name)
        shown = f"{interval['low']:.3f} to {interval['high']:.3f} ({interval['method']})" if interval else "none"
        others = [_number((entry.get(baseline) or {}).get(name)) for baseline in ("chance", "majority")]
        lines.append(f"| {title} | {entry[name]:.3f} | {shown} | {others[0]} | {others[1]} |")
    if entry.get("per_class"):
        lines += ["", "| class | clips | recall | precision |", "|---|---|---|---|"]
        for name, each in entry["per_class"].items():
            recall, precision = _number(each.get("recall")), _number(each.get("precision"))
            lines.append(f"| {name} | {each.get('support', '?')} | {recall} | {precision} |")
    if (calibration := entry.get("calibration")) is not None:
        lines += [
            "",
            f"Expected calibration error {_number(calibration.get('ece'))} as trained, "
            f"{_number(calibration.get('ece_calibrated'))} with the temperature of the other people.",
        ]
    return "\n".join(lines)


def _describe_abstention(description: ModelDescription) -> str:
    text = (
        f"Below a confidence of {description.threshold:.2f}, and where the preparation of a clip fails. Confidence is "
        f"the highest probability at temperature {description.temperature:.3g}."
    )
    rows = next((entry["answers"] for entry in description.expected if entry.get("answers")), None)
    if not rows:
        return text
    target = description.training.get("target_accuracy", TARGET_ACCURACY)
    text += (
        f" The threshold is the lowest of those below at which {target:.0%} of the answers about people "
        "outside the training were right, or the last one where none is."
    )
    lines = [text, "", "| confidence of at least | share answered | accuracy of these |", "|---|---|---|"]
    lines += [f"| {row['threshold']:.2f} | {row['share']:.0%} | {_number(row['accuracy'])} |" for row in rows]
    return "\n".join(lines)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return str(value)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
