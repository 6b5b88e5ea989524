"""The TFDS builder of CASME II."""

from datasets.builder import ClipBuilder
from datasets.casme2.release import Casme2


class Builder(ClipBuilder):
    """CASME II, prepared as clips of whole faces."""

    RELEASE = Casme2
