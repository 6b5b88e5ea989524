import json
import re
import subprocess
import sys

import numpy as np
import pytest
from sklearn import metrics as referee

from mer_jax.cli.main import main
from mer_jax.evaluation.metrics import PredictionsError
from mer_jax.evaluation.predictions import read_predictions, write_predictions
from tests.toy_results import NAMES, make_result, make_results


def test_predictions_survive_the_round_trip(tmp_path):
    results = make_results()
    path = write_predictions(tmp_path / "predictions.csv", results)
    header, first = path.read_text().splitlines()[:2]
    assert header == (
        "clip_id,subject,corpus,provenance,protocol,fold,seed,copy,true,predicted,p_negative,p_positive,p_surprise"
    )
    assert first.split(",")[2:5] == ["smic", "surrogate", "paper"]
    assert first.split(",")[8] in NAMES
    for before, after in zip(results, read_predictions(path), strict=True):
        assert (after.protocol, after.clip_id, after.subject) == (before.protocol, before.clip_id, before.subject)
        for name in ("fold", "copy", "seed", "true", "predicted"):
            np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
        np.testing.assert_array_equal(after.probabilities.astype(np.float32), before.probabilities)
        scores = ("accuracy", "uf1", "uar", "confusion", "intervals", "clip_interval", "n_clips")
        assert {key: after.scores()[key] for key in scores} == {key: before.scores()[key] for key in scores}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("subject,corpus", "subjects,corpus"), "has a column 'subjects'; did you mean"),
        (lambda text: text.replace(",true,", ",truth,"), "lacks the columns true; it has clip_id, .* did you mean"),
        (lambda text: text.replace(",", ";"), "is separated by semicolons; expected commas"),
        (lambda text: text.replace(",", "\t"), "is separated by tabs; expected commas"),
        (lambda text: "", "is empty; expected a header"),
        (lambda text: text.splitlines()[0], "holds no predictions"),
        (lambda text: text.replace("subject,corpus", "corpus,corpus"), "has the column 'corpus' twice"),
        (lambda text: text.replace(",smic,", ",", 1), "row 1 has 12 cells: .* expected 13 as in the header"),
        (lambda text: text.replace(",smic,", ",,", 1), "row 1: corpus is empty; expected a value in each row"),
        (lambda text: text.replace(",negative,", ",neutral,"), "is 'neutral', an unknown class; expected one of negat"),
        (lambda text: text.replace(",surrogate,", ",licensed,", 3), "provenance is licensed and surrogate; expecte"),
        (lambda text: text + text.splitlines()[1] + "\n", "predicted twice, in rows 1 and 165; expected once for each"),
        (lambda text: text.replace(",surrogate,", ",real,"), r"provenance is 'real'; expected one of"),
        (lambda text: re.sub(r",0\.\d+\n", ",nan\n", text), "the probabilities of .* nan"),
        (lambda text: re.sub(r",0\.\d+\n", ",7\n", text), "numbers of 0 or more that sum to 1"),
        (lambda text: text.replace(",negative,negative,", ",negative,surprise,"), "is predicted as 'surprise', but"),
        (lambda text: re.sub(r",(\d+),0,0,", r",\1,first,0,", text), "row 1: seed is 'first'; expected a whole number"),
        (lambda text: re.sub(r",0\.\d+\n", ",high\n", text), "cannot be read: p_surprise .*'high'"),
    ],
)  # fmt: skip
def test_damaged_predictions_are_refused(tmp_path, change, message):
    path = write_predictions(tmp_path / "predictions.csv", [make_result("loso", 0.7)])
    path.write_text(change(path.read_text()))
    with pytest.raises(PredictionsError, match=message):
        read_predictions(path)


def write(path, *columns, rows):
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def test_two_columns_are_enough(tmp_path):
    path = write(tmp_path / "p.csv", "true", "predicted", rows=[("a", "a"), ("a", "b"), ("b", "b"), ("b", "b")])
    (result,) = read_predictions(path)
    entry = result.scores()
    assert (entry["accuracy"], entry["n_clips"], entry["n_subjects"]) == (0.75, 4, 0)
    assert (entry["provenance"], entry["calibration"], entry["seed_spread"]) == ("unstated", None, None)
    assert entry["intervals"]["uar"]["method"] == "effective-sample Wilson over 4 clips"
    json.dumps(entry, allow_nan=False)


def test_classes_are_those_of_the_truth_and_numbers_count_as_people_count(tmp_path):
    path = write(tmp_path / "p.csv", "true", "predicted", rows=[("10", "2"), ("2", "2"), ("1", "10")])
    assert read_predictions(path)[0].class_names == ("1", "2", "10")
    path = write(tmp_path / "p.csv", "true", "predicted", rows=[("0", "0"), ("1", "2")])
    with pytest.raises(PredictionsError, match=r"row 2: predicted is '2', an unknown class; expected one of 0, 1\."):
        read_predictions(path)
    (result,) = read_predictions(path, class_names=("0", "1", "2"))
    assert result.scores()["confusion"] == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    # 0 and 0.0 are not one class: refused, and never an accuracy of zero.
    path = write(tmp_path / "p.csv", "true", "predicted", rows=[("0", "0.0"), ("1", "1.0")])
    with pytest.raises(PredictionsError, match=r"predicted is '0\.0', an unknown class"):
        read_predictions(path)


@pytest.mark.parametrize("seed", range(5))
def test_scores_of_another_system_agree_with_scikit_learn(tmp_path, seed):
    rng = np.random.default_rng(seed)
    true = rng.choice(list("abc"), 200, p=[0.6, 0.3, 0.1])
    predicted = np.where(rng.random(200) < 0.5, true, rng.choice(list("abc"), 200))
    corpus = rng.choice(["casme2", "samm", "smic"], 200)
    subject = np.array([f"{c}_{s}" for c, s in zip(corpus, rng.integers(0, 8, 200), strict=True)])
    path = write(tmp_path / "p.csv", "corpus", "subject", "true", "predicted",
                 rows=zip(corpus, subject, true, predicted, strict=True))  # fmt: skip
    entry = read_predictions(path)[0].scores()
    options = {"average": "macro", "zero_division": 0}
    assert entry["uf1"] == pytest.approx(referee.f1_score(true, predicted, **options))
    assert entry["uar"] == pytest.approx(referee.balanced_accuracy_score(true, predicted))
    assert entry["precision_macro"] == pytest.approx(referee.precision_score(true, predicted, **options))
    for name, part in entry["per_corpus"].items():
        mine = corpus == name
        assert part["uf1"] == pytest.approx(referee.f1_score(true[mine], predicted[mine], **options))
        assert part["accuracy"] == pytest.approx(np.mean(true[mine] == predicted[mine]))
        assert part["n_items"] == mine.sum()
    assert sum(each["items"] for each in entry["per_subject"].values()) == 200
    assert entry["per_subject"][subject[0]]["right"] == (true == predicted)[subject == subject[0]].sum()


def test_fold_means_and_seed_spread_known_answers(tmp_path):
    # Seed 0: fold x 1 of 1, fold y 1 of 3. Seed 1: 2 of 2 in fold x. Classes a and b.
    rows = [("x", 0, "a", "a"), ("y", 0, "a", "b"), ("y", 0, "a", "b"), ("y", 0, "b", "b"), ("x", 1, "a", "a"),
            ("x", 1, "b", "b")]  # fmt: skip
    entry = read_predictions(write(tmp_path / "p.csv", "fold", "seed", "true", "predicted", rows=rows))[0].scores()
    assert entry["fold_means"]["folds"] == 3
    assert entry["fold_means"]["accuracy"] == pytest.approx((1 + 1 / 3 + 1) / 3)
    assert entry["fold_means"]["uf1"] == pytest.approx((1 + (0 + 2 / 4) / 2 + 1) / 3)  # fold x, seed 0: class a alone
    spread = entry["seed_spread"]["accuracy"]
    assert spread["by_seed"] == {"0": 0.5, "1": 1.0}
    assert (spread["mean"], spread["sd"]) == (0.75, pytest.approx(0.5 / 2**0.5))


@pytest.mark.parametrize("number", ["1" + 20 * "0", "1e3", "0.0", "１"])
def test_odd_numbers_of_folds_and_seeds(tmp_path, number):
    rows = [(number, 0, "a", "a"), (1, 0, "b", "b")]
    (result,) = read_predictions(write(tmp_path / "p.csv", "fold", "seed", "true", "predicted", rows=rows))
    assert result.scores()["fold_means"]["folds"] == 2, "a fold may have any name"
    with pytest.raises(PredictionsError, match=f"row 1: seed is {number!r}; expected a whole number"):
        read_predictions(write(tmp_path / "p.csv", "seed", "fold", "true", "predicted", rows=rows))


def test_repetitions_have_a_seed(tmp_path):
    rows = [("c1", 0, "a", "a"), ("c1", 1, "a", "b"), ("c2", 0, "b", "b")]
    (result,) = read_predictions(write(tmp_path / "p.csv", "clip_id", "seed", "true", "predicted", rows=rows))
    assert (result.num_clips, result.scores()["n_items"]) == (2, 3)
    with pytest.raises(PredictionsError, match=r"clip c1 is predicted twice, in rows 1 and 2; .* Give repetitions"):
        read_predictions(write(tmp_path / "p.csv", "clip_id", "x", "true", "predicted", rows=rows))


def test_clip_names_may_repeat_between_people_and_corpora(tmp_path):
    rows = [("casme2", "1", "EP01", "a", "a"), ("casme2", "2", "EP01", "a", "b"), ("samm", "1", "EP01", "b", "b")]
    path = write(tmp_path / "p.csv", "corpus", "subject", "clip_id", "true", "predicted", rows=rows)
    (result,) = read_predictions(path)
    assert (result.num_clips, result.scores()["n_subjects"]) == (3, 3)
    with pytest.raises(PredictionsError, match=r"clip casme2/EP01 is predicted twice, in rows 1 and 2; .* `subject`"):
        read_predictions(write(tmp_path / "p.csv", "corpus", "x", "clip_id", "true", "predicted", rows=rows))


def test_no_file_and_no_text(tmp_path):
    with pytest.raises(PredictionsError, match="cannot be read: No such file"):
        read_predictions(tmp_path / "nothing.csv")
    (tmp_path / "p.csv").write_bytes(b"true,predicted\n\xff\xfe,a\n")
    with pytest.raises(PredictionsError, match="is not text in UTF-8"):
        read_predictions(tmp_path / "p.csv")
    (tmp_path / "p.csv").write_bytes("\ufefftrue, predicted\r\na, a\r\nb,b\r\n".encode())  # as Excel writes it
    assert read_predictions(tmp_path / "p.csv")[0].correct.all()


# --- the commands -------------------------------------------------------------------


def test_score_prints_what_a_score_is(tmp_path, capsys):
    write_predictions(tmp_path / "predictions.csv", make_results())
    assert main(["score", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert text.count("SURROGATE") == 2
    entry = make_results()[1].scores()
    assert re.search(rf"uar +{entry['uar']:.4f} +{entry['intervals']['uar']['low']:.4f} to", text)
    assert "Mean recall over the classes in the truth" in text
    assert "mean over 5 folds, for comparison: accuracy" in text
    assert main(["score", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["subject"]["uar"] == entry["uar"]


def test_score_of_a_bad_file_is_one_line(tmp_path, capsys):
    (tmp_path / "p.csv").write_text("true;predicted\na;a\n")
    assert main(["score", str(tmp_path / "p.csv")]) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}/p.csv is separated by semicolons")


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    path = write(tmp_path / "p.csv", "true", "predicted", rows=[("a", "a"), ("b", "b")] * 50)
    command = f"set -o pipefail; {sys.executable} -m mer_jax.cli.main score {path} | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_million_rows(tmp_path):
    rng, n = np.random.default_rng(0), 1_000_000
    true, predicted, subject = rng.choice(NAMES, n), rng.choice(NAMES, n), rng.integers(0, 30_000, n)
    path = tmp_path / "p.csv"
    columns = np.stack([true, predicted, subject.astype(str)], axis=1)
    np.savetxt(path, columns, fmt="%s", delimiter=",", header="true,predicted,subject", comments="")
    command = [sys.executable, "-m", "mer_jax.cli.main", "score", str(path), "--json"]
    done = subprocess.run(command, check=True, timeout=300, capture_output=True, text=True)
    entry = json.loads(done.stdout)["predictions"]
    assert entry["accuracy"] == np.mean(true == predicted)
    assert (entry["n_items"], entry["n_subjects"]) == (n, len(set(subject.tolist())))
    interval = entry["intervals"]["accuracy"]
    assert interval["low"] < 1 / 3 < interval["high"] < interval["low"] + 0.004
