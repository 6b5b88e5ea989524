"""Progress of a run on the terminal."""

import math
import sys
import time

import jax
from tqdm import tqdm

from mer_jax.data.provenance import surrogate_mark

QUIET_SECONDS = 30  # between two lines of one fold, without a terminal


class RunProgress:
    """A progress bar over all folds on a terminal; otherwise a line now and then.

    Args:
        num_folds: Number of folds of all protocols.
        epochs: Largest number of epochs of a fold.
        provenance: With "surrogate", every line begins with SURROGATE.
    """

    def __init__(self, num_folds: int, epochs: int, provenance: str):
        self.epochs = epochs
        self.prefix = surrogate_mark(provenance, after=" ")
        self.quiet = jax.process_index() != 0  # of several processes one speaks
        self.live = sys.stderr.isatty() and not self.quiet
        self.bar = tqdm(
            total=num_folds * epochs, desc=f"{self.prefix}training", unit="epoch", disable=not self.live, leave=False
        )

    def __enter__(self) -> "RunProgress":
        return self

    def __exit__(self, *_) -> None:
        self.bar.close()

    def start_fold(self, title: str) -> "FoldProgress":
        """Starts the progress of one fold, such as `loso fold 3/16`."""
        return FoldProgress(self, f"{self.prefix}{title}")

    def say(self, line: str) -> None:
        """Prints a line above the progress bar."""
        if self.live:
            self.bar.write(line, file=sys.stderr)
        elif not self.quiet:
            print(line, file=sys.stderr, flush=True)


class FoldProgress:
    """Progress of one fold."""

    def __init__(self, run: RunProgress, title: str):
        self._run, self._title = run, title
        self._epoch = 0
        self._said = time.monotonic()

    def restore(self, epoch: int) -> None:
        """Starts the fold at `epoch`, above 0 when it resumes from a checkpoint."""
        self._advance(epoch)
        if epoch:  # also of a fold that is done: it is tested again from there
            self._run.say(f"{self._title}: continues from the checkpoint of epoch {epoch}")

    def update(self, rows: list[dict[str, float]]) -> None:
        """Reports a chunk of epochs."""
        last = rows[-1]
        text = f"epoch {last['epoch']}: loss {last['train_loss']:.3f}"
        if math.isfinite(last["validation_loss"]):
            text += (
                f", validation loss {last['validation_loss']:.3f}, "
                f"validation accuracy {last['validation_accuracy']:.2f}"
            )
        self._run.bar.set_postfix_str(f"{self._title.removeprefix(self._run.prefix)}, {text}", refresh=False)
        self._advance(int(last["epoch"]))
        if not self._run.live and time.monotonic() - self._said > QUIET_SECONDS:
            self._said = time.monotonic()
            self._run.say(f"{self._title}: {text}")

    def finish(self, epochs: int, accuracy: float, num_items: int) -> None:
        """Reports the test of the fold."""
        self._advance(self._run.epochs)  # an early stop is progress too
        self._run.say(f"{self._title}: {epochs} epochs, test accuracy {accuracy:.3f} of {num_items} items")

    def fail(self, reason: str) -> None:
        """Reports that the fold ended without a result."""
        self._advance(self._run.epochs)
        self._run.say(f"{self._title}: NO RESULT, {reason}; the other folds go on")

    def _advance(self, epoch: int) -> None:
        self._run.bar.update(epoch - self._epoch)
        self._epoch = epoch
