"""MSFME-IR on SMIC (HS), built with own choices.

    python -m experiments.run --config smic_msfmeir.py

Purpose: motion magnification, LPQ-TOP and a linear classifier: the row of the paper's Table 4 that is no network.
Time: about 30 seconds on two cores that were in use otherwise too, with clips prepared (2026-11-27).
Expect: accuracy .787 under `subject`, .780 under `loso`, on the SURROGATE (medium, seed 0); not run on a licensed
copy. Always answering negative gives .427 (70 of 164 clips). The paper prints an F1 of .8103 on CAS(ME)2, of an
unknown protocol, and none on SMIC.
"""

from mer_jax.baselines import MSFMEIR
from mer_jax.config import Experiment
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="smic_msfmeir",
        corpus="smic",
        model=MSFMEIR(),
        vision=VisionOptions(mask="none"),
        protocols=("subject", "loso"),
    )
