"""Process exit codes: a user's mistake becomes one message on stderr."""

import contextlib
import errno
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from mer_jax.errors import ConfigError, DecodeError, MerError
from mer_jax.system.addresses import hide_password, is_stream
from mer_jax.system.files import printable

# The operating system's reasons for refusing to write.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)


@contextlib.contextmanager
def loading_modules() -> Iterator[None]:
    """Ends the process at once and quietly when it is interrupted while modules are imported.

    An interrupt in the middle of an extension module becomes an ImportError with a long traceback. Nothing has been
    written yet when a command imports its modules, so there is nothing to clean up.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        os.write(2, b"\ninterrupted before anything was done\n")
        os._exit(130)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def expand_path(text: str) -> Path:
    """Converts a path on the command line; `~` is expanded, since shells do not do so in `--option=~/folder`."""
    return Path(text).expanduser()


def split_names(text: str) -> tuple[str, ...]:
    """Splits a comma-separated list of names on the command line; () for an empty text."""
    return tuple(name.strip() for name in text.split(",")) if text else ()


def refuse_stream(source: str) -> None:
    """Refuses an address or a camera where only a file or a folder is taken.

    Args:
        source: As the user gave it; its password stands in no message.

    Raises:
        DecodeError: It is one.
    """
    if is_stream(source):
        shown = printable(hide_password(source))
        raise DecodeError(f"{shown} is an address or a camera; expected a file or folder: record it first")


def check_frame_rate(frame_rate: float | None) -> None:
    """Validates `--frame_rate`; None is the default of all commands.

    Raises:
        ConfigError: Not above 0, or above 100,000 frames per second.
    """
    if frame_rate is not None and not 0 < frame_rate <= 100_000:
        raise ConfigError(f"got --frame_rate {frame_rate:g}; expected frames per second, above 0")


def print_while_heard(text: str) -> None:
    """Prints a line at once; when `head` or another reader has closed the pipe, the work goes on in silence."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _mute_stdout()


def _mute_stdout() -> None:
    """Sends what is still printed nowhere, or Python complains when it closes stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run_command(command: Callable[[], None], *, on_interrupt: str) -> int:
    """Runs a command and returns its exit code; a user's mistake becomes one message on stderr.

    Args:
        command: Does the work.
        on_interrupt: Message after Ctrl-C.

    Returns:
        0 on success, also when a reader such as `head` closes the pipe early; 1 after a MerError, or if a file could
        not be written; 130 after Ctrl-C.

    Example:
        >>> run_command(lambda: None, on_interrupt="stopped")
        0
    """
    try:
        command()
        sys.stdout.flush()
    except MerError as error:
        print("error: " + "\n".join(map(printable, str(error).split("\n"))), file=sys.stderr)
        return 1
    except BrokenPipeError:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        if not poll.poll(0):  # stdout still has a reader: another pipe broke
            raise
        _mute_stdout()
        return 0
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        print(f"error: {error}; make room or choose another folder, then run again", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{on_interrupt}", file=sys.stderr)
        return 130
    return 0
