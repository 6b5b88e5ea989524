"""The TFDS builder of CAS(ME)^2."""

from datasets.builder import ClipBuilder
from datasets.casme_squared.release import CasmeSquared


class Builder(ClipBuilder):
    """CAS(ME)^2, prepared as clips of whole faces."""

    RELEASE = CasmeSquared
