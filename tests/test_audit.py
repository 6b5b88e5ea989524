import json
from dataclasses import replace

import numpy as np
import pytest

from mer_jax.cli.main import main
from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.evaluation.audit import AuditError, audit_predictions, audit_run, check_folds, read_folds, write_folds
from mer_jax.evaluation.predictions import write_predictions
from mer_jax.evaluation.results import write_metrics
from mer_jax.models.ststnet import STSTNet
from mer_jax.protocols import make_plan
from mer_jax.system.files import seal
from mer_jax.training.train import train
from tests.toy_results import NAMES, make_result, smic_like


def make_clips():
    """The clips of `make_result`, without anything to see."""
    subjects, labels = smic_like()
    return Clips.from_arrays(
        np.zeros((164, 28, 28, 3), np.uint8),
        labels,
        subjects,
        class_names=NAMES,
        clip_ids=[f"{subject}_clip_{number:03d}" for number, subject in enumerate(subjects)],
        corpus_name="smic",
    )


def make_plans(*protocols, seeds=(0,)):
    subjects, labels = smic_like()
    return {
        name: {seed: make_plan(name, subjects=subjects, labels=labels, seed=seed, num_copies=4) for seed in seeds}
        for name in protocols
    }


def make_run(folder, *protocols):
    """A run folder as far as the audit reads it."""
    folder.mkdir(exist_ok=True)
    results = [make_result(name, 0.7) for name in protocols]
    write_folds(folder / "folds.json", make_plans(*protocols), make_clips())
    write_predictions(folder / "predictions.csv", results)
    write_metrics(folder / "metrics.json", results)
    return folder


def faults(checks):
    return {check.statement: check.detail for check in checks if check.outcome == "FAULT"}


def change(run, edit):
    """Edits the content of a run's folds.json, and seals it again."""
    path = run / "folds.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(seal(content)))
    return run


@pytest.mark.parametrize("protocol", ["subject", "loso"])
def test_subject_disjoint_runs_pass(tmp_path, protocol):
    checks = audit_run(make_run(tmp_path, protocol))
    assert {check.outcome for check in checks} == {"ok"}
    statements = [check.statement for check in checks]
    for unit in ("clip", "person"):
        for pair in ("train and test", "validation and test", "train and validation"):
            assert f"no {unit} is in {pair} of a fold" in statements
    assert {"every clip is tested once", "predictions.csv has exactly the test items of each fold"} <= {*statements}


def test_the_file_lists_what_the_plan_divides(tmp_path):
    plans, clips = make_plans("loso", "paper", seeds=(3, 4)), make_clips()
    folds = read_folds(write_folds(tmp_path / "folds.json", plans, clips))
    assert folds.people["s3_clip_020"] == "smic/s3"
    for name, by_seed in plans.items():
        assert list(folds.protocols[name]) == [3, 4]
        for seed, plan in by_seed.items():
            for fold, written in zip(plan.folds, folds.protocols[name][seed], strict=True):
                assert written.name == fold.name
                for side in ("train", "validation", "test"):
                    mask = getattr(fold, side)
                    expected = [clips.clip_id[clip] for clip in plan.clip[mask]]
                    assert written.side(side) == tuple(zip(expected, plan.copy[mask].tolist(), strict=True))


def test_protocols_that_share_people_or_clips_are_told_from_those_that_do_not(tmp_path):
    run = make_run(tmp_path, "clip", "subject", "paper")
    found = {}
    for check in audit_run(run):
        if check.outcome == "FAULT":
            found.setdefault(check.where, []).append(check.statement)
    people = [f"no person is in {pair} of a fold" for pair in ("train and test", "validation and test")]
    assert found.keys() == {"clip, seed 0", "paper, seed 0"}
    assert found["clip, seed 0"] == [*people, "no person is in train and validation of a fold"]
    assert "no clip is in train and test of a fold" in found["paper, seed 0"]
    assert "every clip is tested once" in found["paper, seed 0"]
    assert not faults(audit_run(run, protocols=["subject"]))


def first_fold(content):
    return content["protocols"]["loso"]["0"][0]


def leak_clip(content):
    fold = first_fold(content)
    fold["train"].append(fold["test"][0])


def leak_person(content):
    # A clip that is tested in fold s1 stays tested once, but another clip of that person goes into training.
    fold = first_fold(content)
    clip = fold["test"].pop()
    fold["train"].append(clip)


def leak_into_validation(content):
    fold = first_fold(content)
    fold["validation"] = fold["test"][:1]


def validate_on_training(content):
    fold = first_fold(content)
    fold["validation"].append(fold["train"][0])


def test_twice(content):
    folds = content["protocols"]["loso"]["0"]
    clip = folds[1]["test"][0]
    folds[0]["test"].append(clip)


test_twice.__test__ = False


def forget(content):
    first_fold(content)["test"].pop()


def double(content):
    fold = first_fold(content)
    fold["train"].append(fold["train"][0])


def invent(content):
    first_fold(content)["train"].append("s99_clip_999")


def merge_people(content):
    # The file says that one person's clip is another's, who trains: the person is on both sides.
    content["clips"][first_fold(content)["test"][0]]["subject"] = "s3"


def empty(content):
    first_fold(content)["train"] = []


@pytest.mark.parametrize(
    ("edit", "statement", "detail"),
    [
        (leak_clip, "no clip is in train and test of a fold", "s1_clip_000 (fold s1)"),
        (leak_clip, "no person is in train and test of a fold", "smic/s1 (fold s1)"),
        (leak_person, "no person is in train and test of a fold", "smic/s1 (fold s1)"),
        (leak_into_validation, "no clip is in validation and test of a fold", "s1_clip_000 (fold s1)"),
        (validate_on_training, "no clip is in train and validation of a fold", "(fold s1)"),
        (test_twice, "every clip is tested once", ": 2 times"),
        (forget, "every clip is tested once", "s1_clip_005: 0 times"),
        (double, "no item is listed twice on a side", "(fold s1, train)"),
        (invent, "every clip is one of the corpus", "s99_clip_999"),
        (merge_people, "no person is in train and test of a fold", "smic/s3 (fold s1)"),
        (empty, "every fold trains and tests", "fold s1: train"),
    ],
)  # fmt: skip
def test_every_fault_is_found_and_named(tmp_path, edit, statement, detail):
    run = change(make_run(tmp_path, "loso"), edit)
    found = faults(audit_run(run))
    assert detail in found[statement]


def test_predictions_of_other_clips_than_those_tested_are_found(tmp_path):
    run = make_run(tmp_path, "loso")
    result = make_result("loso", 0.7)
    statement = "predictions.csv has exactly the test items of each fold"
    swapped = replace(result, fold=np.where(result.fold == 0, 1, np.where(result.fold == 1, 0, result.fold)))
    write_predictions(run / "predictions.csv", [swapped])
    assert "predicted but not tested in fold s1" in faults(audit_run(run))[statement]
    write_predictions(run / "predictions.csv", [replace(result, fold=result.fold + 1)])
    assert statement in faults(audit_run(run))
    lines = (make_run(tmp_path, "loso") / "predictions.csv").read_text().splitlines()
    (run / "predictions.csv").write_text("\n".join(lines[:-1]) + "\n")
    found = faults(audit_run(run))
    assert "but not predicted" in found[statement]
    assert "accuracy is" in found["accuracy, UF1 and UAR of metrics.json follow from predictions.csv"]


def test_each_seed_is_compared_with_its_own_folds(tmp_path):
    both = [make_result("subject", 0.7, seed=seed) for seed in (0, 1)]
    write_folds(tmp_path / "folds.json", make_plans("subject", seeds=(0, 1)), make_clips())
    names = ("clip_id", "subject")

    def join(first, second):
        columns = {name: np.concatenate([getattr(each, name) for each in (first, second)])
                   for name in ("fold", "copy", "seed", "true", "probabilities")}  # fmt: skip
        return replace(first, **{name: getattr(first, name) + getattr(second, name) for name in names}, **columns)

    write_predictions(tmp_path / "predictions.csv", [join(*both)])
    assert not faults(audit_run(tmp_path))
    swapped = [replace(result, seed=1 - result.seed) for result in both]
    write_predictions(tmp_path / "predictions.csv", [join(*swapped)])
    where = {check.where for check in audit_run(tmp_path) if check.outcome == "FAULT"}
    assert where == {"subject, seed 0", "subject, seed 1"}


def test_scores_that_do_not_follow_are_found(tmp_path):
    run = make_run(tmp_path, "loso")
    entries = json.loads((run / "metrics.json").read_text())
    entries["loso"]["uf1"] += 0.01
    (run / "metrics.json").write_text(json.dumps(entries))
    assert faults(audit_run(run)).keys() == {"accuracy, UF1 and UAR of metrics.json follow from predictions.csv"}
    (run / "metrics.json").unlink()
    (run / "predictions.csv").unlink()
    checks = audit_run(run)
    assert not faults(checks)
    assert sum(check.outcome == "unknown" for check in checks) == 2


def test_a_file_without_checksum_is_audited_and_an_edited_one_is_named(tmp_path):
    run = make_run(tmp_path, "loso")
    content = json.loads((run / "folds.json").read_text())
    content["protocols"]["loso"]["0"][0]["name"] = "another"
    (run / "folds.json").write_text(json.dumps(content))
    assert faults(audit_run(run)) == {"the checksum holds": "the file is damaged or was edited"}
    del content["checksum"]
    (run / "folds.json").write_text(json.dumps(content))
    checks = audit_run(run)
    assert not faults(checks)
    assert checks[0].outcome == "unknown"


def test_a_class_that_is_never_true_is_named_by_the_option_that_the_message_states(tmp_path, capsys):
    path = tmp_path / "predictions.csv"
    path.write_text("true,predicted\na,b\na,a\n")
    assert main(["audit", str(path)]) == 1
    assert "name all classes: --classes=a,b." in capsys.readouterr().err
    assert main(["audit", str(path), "--classes=a,b"]) == 0
    assert main(["audit", str(make_run(tmp_path, "loso")), "--classes=a,b"]) == 1
    assert "got --classes with a run folder" in capsys.readouterr().err


def test_people_of_predictions_are_those_of_the_folds(tmp_path):
    run = change(make_run(tmp_path, "loso"), lambda content: content["clips"]["s1_clip_000"].update(subject="s99"))
    found = faults(audit_run(run))
    statement = "predictions.csv names the same person for each clip"
    assert found == {statement: "s1_clip_000: s1 in predictions.csv, smic/s99 in folds.json"}


def test_a_plan_of_any_protocol_keeps_its_promise_in_the_file(tmp_path):
    subjects, labels = smic_like()
    corpora = [("casme2", "samm", "smic")[int(subject[1:]) % 3] for subject in subjects]
    clips = replace(make_clips(), corpus=tuple(corpora))
    for name in ("composite", "cross_corpus"):
        plan = make_plan(name, subjects=subjects, corpora=corpora, labels=labels, seed=1, validation_share=0.0)
        folds = read_folds(write_folds(tmp_path / "folds.json", {name: {1: plan}}, clips))
        assert not [check for check in check_folds(folds.protocols[name][1], folds.people) if check[1] != "ok"]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: "", "is not readable JSON"),
        (lambda text: text[: len(text) // 2], "is not readable JSON"),
        (lambda text: "[" * 100_000, "is not readable JSON"),
        (lambda text: "null", "is not in the form of a folds.json, at the whole"),
        (lambda text: "[]", "is not in the form of a folds.json"),
        (lambda text: text.replace('"protocols"', '"protocol"'), "unknown entry 'protocol'"),
        (lambda text: '{"clips": {}}', "'protocols' is missing"),
        (lambda text: text.replace('"test"', '"tset"', 1), "at protocol loso, seed 0: 'test' is missing"),
        (lambda text: text.replace('"subject": "s1"', '"subject": 1', 1), "at s1_clip_000: got 1, expected text"),
        (lambda text: text.replace('"fold": 0', '"fold": -1', 1), "got -1, expected a whole number from 0"),
        (lambda text: text.replace('"0": [', '"first": [', 1), "invalid literal"),
        (lambda text: '{"protocols": {}, "clips": {}}', "no folds"),
        (lambda text: '{"protocols": {"loso": {"0": "abc"}}, "clips": {}}', "got 'abc', expected a list"),
    ],
)  # fmt: skip
def test_damaged_folds_are_one_line(tmp_path, edit, message):
    path = make_run(tmp_path, "loso") / "folds.json"
    path.write_text(edit(path.read_text()))
    with pytest.raises(AuditError, match=message):
        audit_run(tmp_path)


def test_flipped_bits_are_found_or_change_nothing(tmp_path):
    run = make_run(tmp_path, "subject")
    path, rng = run / "folds.json", np.random.default_rng(0)
    whole = path.read_bytes()
    silent = 0
    for place in rng.integers(0, len(whole), 150).tolist():
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            found = faults(audit_run(run))
        except AuditError:
            continue
        if not found:
            silent += json.loads(bytes(flipped)) != json.loads(whole)
    assert silent == 0


# --- Predictions of others.


def write(path, *columns, rows):
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def test_what_predictions_alone_can_tell(tmp_path):
    result = make_result("loso", 0.7)
    path = write_predictions(tmp_path / "p.csv", [result])
    checks = audit_predictions(path)
    assert not faults(checks)
    assert any(check.detail == "16 folds, one person in each fold" for check in checks)
    unknown = [check.statement for check in checks if check.outcome == "unknown"]
    assert "the epoch was not chosen on the test" in unknown
    assert "no clip and no person of a fold's test was in its training" in unknown

    write_predictions(path, [make_result("clip", 0.7)])
    assert "s1, in " in faults(audit_predictions(path))["all clips of a person are tested in the same fold"]
    write_predictions(path, [make_result("paper", 0.7)])
    assert "no augmented copy of a clip is tested" in faults(audit_predictions(path))


def test_what_is_missing_is_said_to_be_unknown(tmp_path):
    path = write(tmp_path / "p.csv", "true", "predicted", rows=[("a", "a"), ("b", "a")])
    checks = {check.statement: check for check in audit_predictions(path)}
    assert not [check for check in checks.values() if check.outcome != "unknown"]
    assert checks["all clips of a person are tested in the same fold"].detail == (
        "there is no column subject and no column fold"
    )


def test_one_clip_with_two_truths_and_a_seed_that_lacks_a_clip(tmp_path):
    rows = [("c1", 0, "a", "a"), ("c2", 0, "b", "b"), ("c1", 1, "b", "b")]
    found = faults(audit_predictions(write(tmp_path / "p.csv", "clip_id", "seed", "true", "predicted", rows=rows)))
    truth = "every clip is predicted at most once for each seed and copy, always with the same true class"
    assert found == {truth: "c1", "every seed predicts the same clips": "seed 1"}


def test_control_characters_do_not_reach_the_terminal(tmp_path):
    rows = [("\x1b[31mc1", 0, "a", "a"), ("\x1b[31mc1", 1, "b", "b")]
    path = write(tmp_path / "p.csv", "clip_id", "seed", "true", "predicted", rows=rows)
    assert not any("\x1b" in check.detail for check in audit_predictions(path))


# --- The command.


def test_the_command_exits_with_1_unless_all_is_proved(tmp_path, capsys):
    run = make_run(tmp_path / "run", "subject")
    assert main(["audit", str(run)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("folds.json\n  ok      the checksum holds\nsubject, seed 0\n  ok      every clip is one of")
    assert text.splitlines()[-1] == "14 checks passed, 0 failed, 0 cannot be decided from the files"
    make_run(tmp_path / "run", "paper", "subject")
    assert main(["audit", str(run)]) == 1
    captured = capsys.readouterr()
    assert "the audit failed for paper, seed 0. Some protocols share people or clips" in captured.err
    assert main(["audit", str(run), "--protocols", "subject", "--json"]) == 0
    assert {check["outcome"] for check in json.loads(capsys.readouterr().out)} == {"ok"}
    assert main(["audit", str(run), "--protocols", "lso"]) == 1
    assert "has no protocol 'lso'; expected one of paper, subject" in capsys.readouterr().err
    (run / "folds.json").unlink()
    assert main(["audit", str(run)]) == 1
    assert "folds.json cannot be read: No such file or directory" in capsys.readouterr().err
    assert main(["audit", str(run / "predictions.csv"), "--protocols", "subject"]) == 0
    assert "3 cannot be decided from the files" in capsys.readouterr().out


def test_a_trained_network_is_audited_by_the_folds_it_was_trained_on(tmp_path):
    flow = np.random.default_rng(0).integers(0, 255, (15, 28, 28, 3), np.uint8)
    clips = Clips.from_arrays(flow, labels=[0, 1, 2] * 5, subjects=list("aabbbcccddddeee"))
    experiment = Experiment(model=STSTNet(), protocols=("loso",), epochs=1, min_epochs=1, seed=7, num_seeds=2)
    trained = train(experiment, clips)
    plans = {name: dict(zip((7, 8), each, strict=True)) for name, each in trained.plans.items()}
    write_folds(tmp_path / "folds.json", plans, clips)
    write_predictions(tmp_path / "predictions.csv", [trained["loso"]])
    write_metrics(tmp_path / "metrics.json", [trained["loso"]])
    checks = audit_run(tmp_path)
    assert {check.outcome for check in checks} == {"ok"}
    assert {check.where for check in checks} == {"folds.json", "loso, seed 7", "loso, seed 8", "loso"}
