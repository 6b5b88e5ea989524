"""Protocols: which clips train, which stop the training, which are tested.

A `Plan` is a value: boolean masks over *items*. An item is a clip or one of its
augmented copies, and knows its source clip. Protocols that promise
that no subject is on two sides build their masks from sets of subjects, so that
no clip can stray; the promise is checked once more before a plan is returned.

Nothing but the training side of a fold may be looked at when class weights,
normalisation or augmentation are fitted, nothing but its validation side when the epoch is
chosen. The masks are all that training gets to know of a protocol.

| protocol | divides | tests |
|---|---|---|
| `paper` | clips and their copies, at random | 10 % of the items, once |
| `clip` | clips, into `num_folds` groups | every clip once |
| `subject` | people, into `num_folds` groups | every clip once |
| `loso` | people, one at a time | every clip once |
| `composite` | people of several corpora, one at a time | every clip once |
| `cross_corpus` | corpora, one at a time | every clip once |

With `num_folds=10`, `clip` and `subject` hold 80 % to train, 10 % to validate and 10 % to test, in each of ten folds.

A new protocol is one function from `Split` to `Plan` and a line in `PROTOCOLS`.
"""

from mer_jax.protocols.make import PROTOCOLS, check_protocols, make_plan
from mer_jax.protocols.plan import Fold, Plan, Split, audit, refuse_copies

__all__ = ["PROTOCOLS", "Fold", "Plan", "Split", "audit", "check_protocols", "make_plan", "refuse_copies"]
