"""What each stage of a run took: `timings.json` of the run folder.

Beside the stages that `mer_jax.system.stages` names, `start` is the time until the command began, modules included;
`compile` is part of `train`, summed over its threads.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax

from mer_jax.system.files import seal, write_atomically
from mer_jax.system.stages import seconds_since_start

FILE_NAME = "timings.json"
_COMPILE_EVENTS = ("/jax/core/compile/backend_compile_duration", "/jax/core/compile/jaxpr_to_mlir_module_duration")

_compiling = [0.0]


@functools.cache
def watch_compilation() -> None:
    """Adds up from now on what compilations take."""

    def add(event: str, seconds: float, **_: object) -> None:
        if event in _COMPILE_EVENTS:
            _compiling[0] += seconds

    jax.monitoring.register_event_duration_secs_listener(add)


def seconds_of_compilation() -> float:
    """What all compilations of this process have taken, from `watch_compilation` on."""
    return _compiling[0]


def write_timings(
    run: Path,
    stages: Mapping[str, Sequence[float]],
    *,
    start: Sequence[float],
    compilation: float,
    protocols: Mapping[str, float],
) -> None:
    """Writes the file.

    Args:
        run: The run folder.
        stages: Wall and processor seconds by stage.
        start: Those before the first stage.
        compilation: Seconds of compilation of this call.
        protocols: Seconds of all folds of a protocol, over all calls that the run folder is of.
    """
    named = {"start": start, **stages}
    content = {
        "stages": {name: {"seconds": round(s[0], 2), "processor_seconds": round(s[1], 2)} for name, s in named.items()},
        "compile": round(compilation, 2),
        "folds": {name: round(seconds, 2) for name, seconds in protocols.items()},
        "seconds": round(seconds_since_start()[0], 2),
    }
    write_atomically(run / FILE_NAME, json.dumps(seal(content), indent=1) + "\n")
