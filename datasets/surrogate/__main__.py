"""Renders a surrogate corpus: `python -m datasets.surrogate --out DIR`.

A run that was stopped continues where it was; a finished corpus is left as it is.
"""

import argparse
import sys

from mer_jax.cli.command import run_command


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    return run_command(
        lambda: _run(arguments), on_interrupt="interrupted; the same command continues where this one stopped"
    )


def _run(arguments: list[str] | None) -> None:
    # Imported here, so that a missing system library of OpenCV is one sentence too.
    from datasets.surrogate.corpus import COMPOSITES, CORPORA, render_corpus
    from datasets.surrogate.scenario import DIFFICULTIES

    levels = ", ".join(DIFFICULTIES)
    parser = argparse.ArgumentParser(prog="python -m datasets.surrogate", description=__doc__.partition("\n")[0])
    parser.add_argument("--out", required=True, help="folder in which the release's root folder is made")
    parser.add_argument(
        "--corpus", default="smic", help=f"whose layout: {', '.join([*CORPORA, *COMPOSITES])} (default: smic)"
    )
    parser.add_argument("--difficulty", default="medium", help=f"how visible things are: {levels} (default: medium)")
    parser.add_argument("--subjects", dest="num_subjects", type=int, help="number of subjects (default: as released)")
    parser.add_argument(
        "--clips", dest="num_clips", type=int, help="number of clips, or of long videos (default: as released)"
    )
    parser.add_argument("--seed", type=int, default=0, help="determines every byte (default: 0)")
    parser.add_argument("--workers", type=int, help="processes (default: one for each processor)")
    parser.add_argument("--exact", action="store_true", help="SMIC: lossless BMP frames, 1 MB each, instead of JPEG")
    parser.add_argument("--quirks", action="store_true", help="add what is known to be wrong in the release")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the frames, 0.2 to 1 (default: 1)")
    parser.add_argument("--version", type=int, default=1, help="1, or 2: richer movements, skin and light (default: 1)")
    parser.add_argument(
        "--duration",
        dest="duration_s",
        type=float,
        metavar="SECONDS",
        help="length of each long video (default: 60, 15)",
    )
    render_corpus(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
