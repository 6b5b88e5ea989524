"""Why a trained model answered as it did: maps over the face, each with its own checks.

    explanation = mer_jax.explain.explain_clip(mer_jax.load("runs/smic_ha/model"), "clip.mp4")
    print(explanation.text)

| module | question it answers |
|---|---|
| `layout` | which cells a picture is divided into, and what "no motion" is |
| `network`, `linear` | logits and gradients of a model whose cells are taken away in part |
| `maps` | occlusion, integrated gradients, Grad-CAM, and the two halves of the face |
| `attention` | what an attention block weighs, and how much that differs between clips |
| `checks` | whether a map depends on the weights, and whether its cells matter more than others |
| `explanation` | the typed result |
| `clip` | `explain_clip`, `explain_pictures` |
| `wording` | the result in plain English |
"""

from mer_jax.explain.clip import explain_clip, explain_pictures
from mer_jax.explain.explanation import Explanation

__all__ = ["Explanation", "explain_clip", "explain_pictures"]
