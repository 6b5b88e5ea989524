"""Interruptible waiting for futures."""

from collections.abc import Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, wait

# The system may hand a signal to any thread of a process. Python acts on it in the main thread, and only a signal that
# the main thread was handed itself wakes it: what waits for long has to wake up by itself.
SIGNAL_S = 0.5


def wait_for_first_error(futures: Iterable[Future]) -> list[BaseException]:
    """Waits until all futures are done or one of them has failed.

    Args:
        futures: Futures of an executor; none of them is cancelled.

    Returns:
        Exceptions of the failed futures; empty if all of them succeeded.

    Raises:
        KeyboardInterrupt: The process was interrupted while it waited, whichever thread was handed the signal.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> with ThreadPoolExecutor(2) as pool:
        ...     wait_for_first_error([pool.submit(int, text) for text in ("1", "one")])
        [ValueError("invalid literal for int() with base 10: 'one'")]
    """
    left, errors = set(futures), []
    while left and not errors:
        done, left = wait(left, timeout=SIGNAL_S, return_when=FIRST_EXCEPTION)
        errors = [error for future in done if (error := future.exception())]
    return errors
