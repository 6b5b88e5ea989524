"""`mer live`: spot and classify expressions in a camera, a network stream, or a file that is played as if live."""

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any

from mer_jax.cli.command import expand_path, loading_modules
from mer_jax.errors import ConfigError, MerError
from mer_jax.system.files import printable

if TYPE_CHECKING:
    from mer_jax.prediction.description import ModelDescription
    from mer_jax.prediction.live import LiveInterval, LivePredictor
    from mer_jax.prediction.live_session import LiveSession
    from mer_jax.vision.live_source import LiveFrame
    from mer_jax.vision.live_window import LiveWindow

_STATUS_S = 5.0
_NO_FACE_S = 5.0
_HELD = (
    "warning: only the last {:.1f} s of frames fit into memory; an expression that began before them gets no class; "
    "smaller or fewer frames help"
)
_REASONS = {
    "ended": "the source has ended",
    "seconds": "--seconds have passed",
    "stopped": "the window was closed",
    "interrupted": "interrupted",
}


def declare(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], None]:
    """Adds the arguments of `mer live` and returns what runs it."""
    parser.add_argument("source", help="camera:0, an address (rtsp://, http://, ...), or a video to play as if live")
    parser.add_argument("--model", help="a model folder, a run folder, or the name of a model of the library")
    parser.add_argument("--out", metavar="FILE.jsonl", help="file for the JSON lines (default: standard output)")
    parser.add_argument("--window", action="store_true", help="show the picture; Esc or q ends")
    parser.add_argument("--seconds", type=float, help="end after so many seconds")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds without a frame that are a fault")
    return _live


def _live(flags: argparse.Namespace) -> None:
    for name in ("seconds", "timeout"):
        value = getattr(flags, name)
        if value is not None and not 0 < value < float("inf"):
            raise ConfigError(f"got --{name} {value:g}; expected seconds, above 0")
    _check_out(flags.out)
    with loading_modules():
        from mer_jax.prediction.live import LivePredictor
        from mer_jax.prediction.live_session import LiveSession, wait_for_first
        from mer_jax.prediction.model import choose_model, load
        from mer_jax.vision.live_source import LiveSource
        from mer_jax.vision.live_window import LiveWindow

    source = LiveSource(flags.source, timeout_s=flags.timeout)
    with contextlib.ExitStack() as stack:
        model = stack.enter_context(load(choose_model(flags.model)))
        window = stack.enter_context(LiveWindow()) if flags.window else None
        predictor = stack.enter_context(LivePredictor(model))
        interrupted = stack.enter_context(_catching_interrupt())
        stack.enter_context(source)
        first = wait_for_first(source, interrupted.is_set)
        if first is None:
            raise KeyboardInterrupt
        output = _Output(stack, flags.out, model.description)
        session = LiveSession(source, predictor, output.add_interval)
        output.begin(source.name, first, predictor)
        watch = _Watch(session, predictor, output, window)
        fault, reason = None, ""
        try:
            reason = session.run(
                first, duration_s=flags.seconds, on_frame=watch.on_frame, is_stopped=interrupted.is_set
            )
        except MerError as error:
            fault = error
        try:
            session.finish()
        except MerError as error:
            fault = fault or error
        output.end(str(fault) if fault else _REASONS[reason], session, time.monotonic() - first.arrived_s)
        watch.print_status()
        if fault:
            raise fault
        if reason == "interrupted":
            raise KeyboardInterrupt
        print(f"{printable(source.name)}: {_REASONS[reason]}", file=sys.stderr)


class _Output:
    """JSON lines in a file or on standard output; with a file, words on standard output.

    Attributes:
        model: What classifies.
        latest: The latest movement in words.
    """

    def __init__(self, stack: contextlib.ExitStack, out: str | None, model: "ModelDescription"):
        self.model, self.latest = model, ""
        self._is_file = out is not None
        self._file: IO[str] = sys.stdout if out is None else stack.enter_context(_create(out))

    def begin(self, source: str, first: "LiveFrame", predictor: "LivePredictor") -> None:
        from mer_jax.export.live_lines import begin_record

        height, width = first.picture.shape[:2]
        record = begin_record(source, width, height, self.model, predictor.options)
        self._write(record)
        for note in record["use"]:
            print(note, file=sys.stderr)

    def add_interval(self, each: "LiveInterval", latency_s: float | None) -> None:
        from mer_jax.export.live_lines import describe_interval, interval_record

        self._write(interval_record(each, self.model, latency_s))
        self.latest = describe_interval(each, self.model)
        if self._is_file:
            print(self.latest, flush=True)

    def end(self, reason: str, session: "LiveSession", duration_s: float) -> None:
        from mer_jax.export.live_lines import end_record

        self._write(end_record(reason, session, duration_s, self.model))

    def _write(self, record: dict[str, Any]) -> None:
        from mer_jax.export.live_lines import format_record

        self._file.write(format_record(record))
        self._file.flush()


class _Watch:
    """What is said about a session while it runs: status, missing faces, the window."""

    def __init__(
        self, session: "LiveSession", predictor: "LivePredictor", output: _Output, window: "LiveWindow | None"
    ):
        self._session, self._predictor, self._output, self._window = session, predictor, output, window
        self._said_s = self._began_s = time.monotonic()
        self._arrived = 0
        self._face_s = 0.0  # time of the last face
        self._has_said_none = self._has_said_held = False

    def on_frame(self, frame: "LiveFrame") -> bool:
        """Takes note of a frame; returns whether to go on."""
        if self._predictor.faces:
            self._face_s, self._has_said_none = frame.time_s, False
        elif not self._has_said_none and frame.time_s - self._face_s > _NO_FACE_S:
            self._has_said_none = True
            print(f"no face for {_NO_FACE_S:g} s, at {frame.time_s:.1f} s", file=sys.stderr)
        if not self._has_said_held and self._predictor.held_s is not None:
            self._has_said_held = True
            print(_HELD.format(self._predictor.held_s), file=sys.stderr)
        if time.monotonic() - self._said_s >= _STATUS_S:
            self.print_status()
        if self._window is None:
            return True
        boxes = [(f"face {face.face_id}", face.box) for face in self._predictor.faces]
        return self._window.show(frame.picture, boxes, [*self._captions(), self._output.latest])

    def print_status(self) -> None:
        """Prints the rate of frames since the last status, and counts and latencies since the beginning."""
        from mer_jax.export.live_lines import describe_status

        now_s, arrived = time.monotonic(), self._session.source.arrived
        rate = (arrived - self._arrived) / max(1e-3, now_s - self._said_s)
        self._said_s, self._arrived = now_s, arrived
        print(describe_status(self._session, now_s - self._began_s, rate, self._output.model), file=sys.stderr)

    def _captions(self) -> list[str]:
        from mer_jax.export.live_lines import mark

        model = self._output.model
        return [
            f"{mark(model)} {model.name}: a movement of the face, neither a lie nor a feeling".lstrip(),
            f"{self._session.source.dropped} dropped, {self._session.processing.percentile_ms(50)} ms",
        ]


@contextlib.contextmanager
def _catching_interrupt() -> Iterator[threading.Event]:
    """Turns the first Ctrl-C into an event, so that a frame is never left half analysed; a second one interrupts."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.getsignal(signal.SIGINT)

    def catch(*_: object) -> None:
        event.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, catch)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)


def _check_out(out: str | None) -> None:
    """Refuses a file that cannot be written, before any work begins; it is created with the first frame."""
    if out is None:
        return
    path = expand_path(out)
    if path.exists():
        raise ConfigError(f"got --out {out}, which exists; expected the name of a new file")
    if not path.parent.is_dir():
        raise ConfigError(f"got --out {out}, but there is no folder {path.parent}; create it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigError(f"got --out {out}, but the folder {path.parent} cannot be written to; choose another one")


def _create(out: str) -> IO[str]:
    try:
        return expand_path(out).open("x")
    except OSError as error:
        raise ConfigError(f"got --out {out}, which cannot be written: {error.strerror}; choose another one") from error
