"""Statement of permitted use, printed with every model card and report; no option removes it.

Not legal advice. Source: Regulation (EU) 2024/1689, articles 3(39), 5(1)(f), 50(3), annex III 1(c), recitals 18 and 44.
"""

from collections.abc import Sequence

SURROGATE_HEADING = "SURROGATE"
SURROGATE_NOTE = (
    "SURROGATE: taught on rendered faces. It saw no person while it was trained, and its scores say nothing about "
    "faces of people. It is for testing software and for research."
)

MEANING = (
    "What was found is a short movement of the face. It shows neither a lie nor a feeling: the class name is that of "
    "the movement in the training data. No detector of micro-expressions has been shown to detect deception."
)
PURPOSE = (
    "For research. In the European Union it is prohibited to infer emotions of people at work or in education from "
    "their faces (Regulation (EU) 2024/1689, article 5(1)(f)), except for medical or safety reasons. Elsewhere such a "
    "system is high-risk (annex III 1(c)), and people have to be told that it is used on them (article 50(3)). Faces "
    "are personal data: ask for consent."
)
SPOTTING = (
    "Published spotters find few micro-expressions in long videos, and most of their alarms are false: on the unseen "
    "videos of MEGC 2025 the baseline gave 217 false alarms for 6 hits. Look at every interval yourself."
)


def usage_notes(provenance: str, *, spotted: bool = False) -> Sequence[str]:
    """Returns the paragraphs that belong under a prediction.

    Args:
        provenance: Of what the model was trained on, one of `mer_jax.data.clips.PROVENANCES`.
        spotted: Whether intervals were spotted rather than given.
    """
    notes = [SURROGATE_NOTE] if provenance == "surrogate" else []
    notes += [MEANING, PURPOSE]
    return [*notes, SPOTTING] if spotted else notes
