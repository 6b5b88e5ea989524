"""The TFDS builder of SMIC."""

from datasets.builder import ClipBuilder
from datasets.smic.release import Smic


class Builder(ClipBuilder):
    """SMIC, prepared as clips of whole faces."""

    RELEASE = Smic
