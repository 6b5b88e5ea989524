"""Protocols: which clips train, which validate and which are tested.

A `Plan` consists of boolean masks over *items*; an item is a clip or one of its augmented copies. Protocols that
promise that no subject is on two sides of a fold build their masks from sets of subjects, so no clip can stray, and
the promise is checked once more before a plan is returned.

Class weights, normalisation and augmentation may be fitted on the training side of a fold only; the epoch may be chosen
on its validation side only. The masks are all that training knows of a protocol.

| protocol | divides | tests |
|---|---|---|
| `paper` | clips and their copies, at random | 10 % of the items, once |
| `clip` | clips, into `num_folds` groups | every clip once |
| `subject` | people, into `num_folds` groups | every clip once |
| `loso` | people, one at a time | every clip once |
| `composite` | people of several corpora, one at a time | every clip once |
| `cross_corpus` | corpora, one at a time | every clip once |

With `num_folds=10`, `clip` and `subject` train on 80 %, validate on 10 % and test on 10 % of the clips in each of ten
folds. With `validation_share=0`, nothing validates and all other clips train, as in published LOSO.

A new protocol is a function from `Split` to `Plan` and a line in `PROTOCOLS`.
"""

from mer_jax.protocols.make import PROTOCOLS, SUBJECT_DISJOINT, check_protocols, make_plan
from mer_jax.protocols.plan import Fold, Plan, Split, audit, refuse_copies

__all__ = [
    "PROTOCOLS",
    "SUBJECT_DISJOINT",
    "Fold",
    "Plan",
    "Split",
    "audit",
    "check_protocols",
    "make_plan",
    "refuse_copies",
]
