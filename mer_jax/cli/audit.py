"""`mer audit`: check from a run's files that no person or clip is on two sides and every clip is tested once."""

import argparse
from collections.abc import Callable

from mer_jax.cli.command import expand_path, split_names
from mer_jax.cli.score import add_scoring_options
from mer_jax.errors import ConfigError, MerError


def declare(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], None]:
    """Adds the arguments of `mer audit` and returns what runs it."""
    parser.add_argument(
        "run", type=expand_path, help="a run folder with folds.json, or the predictions.csv of any system"
    )
    parser.add_argument("--protocols", default="", help="only these, separated by commas (default: all)")
    add_scoring_options(parser)
    return _audit


def _audit(flags: argparse.Namespace) -> None:
    from mer_jax.evaluation.audit import audit_predictions, audit_run, describe_audit

    protocols = split_names(flags.protocols)
    run = flags.run
    if run.is_dir():
        if flags.classes:
            raise ConfigError("got --classes with a run folder, which names its classes; expected a predictions.csv")
        checks = audit_run(run, protocols=protocols)
    else:
        checks = audit_predictions(run, protocols=protocols, class_names=split_names(flags.classes))
    if flags.json:
        import dataclasses
        import json

        print(json.dumps([dataclasses.asdict(check) for check in checks], indent=2))
    else:
        print(describe_audit(checks))
    failed = list(dict.fromkeys(check.where for check in checks if check.outcome == "FAULT"))
    if failed:
        raise MerError(
            f"the audit failed for {'; '.join(failed)}. Some protocols share people or clips between sides by design; "
            "audit others alone with --protocols"
        )
