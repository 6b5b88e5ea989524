"""The TFDS builder of SAMM."""

from datasets.builder import ClipBuilder
from datasets.samm.release import Samm


class Builder(ClipBuilder):
    """SAMM, prepared as clips of whole faces."""

    RELEASE = Samm
