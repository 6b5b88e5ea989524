"""The league: its models, budgets, resuming and table. Slow: a small league that is interrupted."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import league
from experiments.league_table import collect_rows, describe_published, make_table, write_league
from experiments.runner import FAILURE
from mer_jax import baselines, models
from mer_jax.data.views import find_view
from mer_jax.errors import ConfigError
from mer_jax.evaluation.results import FoldSummary, ProtocolResult, write_metrics
from mer_jax.models import family_of

pytestmark = pytest.mark.filterwarnings(r"ignore:the load_module\(\) method is deprecated:DeprecationWarning")

ROOT = Path(__file__).parents[1]
ALL = league.list_models()


def make(*arguments):
    return league.make_league(*league.parse(arguments))


def test_everything_that_is_there_plays():
    assert {*ALL} == {*models.__all__, *baselines.__all__}
    assert {*make("--corpus", "smic").names} == {*ALL}


@pytest.mark.parametrize("corpus", league.CORPORA)
@pytest.mark.parametrize("budget", league.BUDGETS)
def test_all_play_by_the_same_rules(corpus, budget):
    made = {name: league.make_experiment(name, corpus, budget) for name in ALL}
    rules = {
        (each.corpus, each.variant, each.protocols, each.num_folds, each.seed, each.num_seeds, each.selection,
         each.validation_share, each.model.num_classes, each.surrogate_difficulty, each.surrogate_version)
        for each in made.values()
    }  # fmt: skip
    assert len(rules) == 1
    for name, each in made.items():
        view = find_view(each.model)
        assert not view.needs_apex or each.vision.sampling == "apex", name
        assert each.vision.num_frames >= view.least_frames, name
    training = {(each.batch_size, each.epochs, each.learning_rate, each.optimization) for each in made.values()}
    if budget == "equal":
        assert len(training) == 1


def test_a_network_without_a_config_for_a_corpus_gets_that_of_another(monkeypatch):
    smic, casme2 = (league.make_experiment("STSTNet", corpus, "paper") for corpus in ("smic", "casme2"))
    assert (smic.epochs, smic.vision) == (casme2.epochs, casme2.vision)
    lines = league._configs()["LinearFlow"]
    monkeypatch.setattr(league, "_configs", lambda: {"LinearFlow": lines})
    alone = league.make_experiment("STSTNet", "smic", "paper")
    assert (alone.vision.sampling, alone.vision.mask) == ("apex", "none")
    assert alone.protocols == ("loso", "clip")


def test_the_composite_is_tested_as_published():
    assert league.make_experiment("STSTNet", "megc2019", "equal").protocols == ("composite", "clip")


@pytest.mark.parametrize("number", [1, 3, 50])
def test_parts_share_the_runs_without_remainder(number):
    parts = [make("--corpus", "smic", "--part", f"{i}/{number}").names for i in range(1, number + 1)]
    assert sorted(name for part in parts for name in part) == sorted(ALL)


def test_a_run_is_an_ordinary_command_of_the_same_league(tmp_path):
    made = make("--corpus", "samm", "--models", "ststnet", "--out", str(tmp_path), "--config.seed=3", "--jobs", "2")
    (job,) = made.jobs()
    assert (job.name, job.folder) == ("STSTNet", tmp_path / "STSTNet")
    flags, overrides = league.parse(job.command[3:])
    assert (flags.run, flags.corpus, flags.budget, flags.out) == ("STSTNet", "samm", "equal", tmp_path)
    assert overrides == [("seed", "3")]
    assert made.count_parameters("STSTNet") == 1683
    assert made.count_parameters("LinearFlow") is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "STSNet"], "no network or baseline is called 'STSNet'; did you mean 'STSTNet'"),
        (["--part", "0/2"], "got --part 0/2; expected i/n with i from 1 to n"),
        (["--part", "2"], "got --part 2; expected i/n"),
        (["--jobs", "0"], "got --jobs 0; expected 1 or more"),
        (["--epochs=3"], "got '--epochs=3'; expected a flag of --help, or --config"),
        (["--config.epoch=3"], "unknown field 'epoch' of config; did you mean 'epochs'"),
        (["--config.protocols=loso"], r"got --config.protocols=\('loso',\); a league has loso and clip"),
    ],
)
def test_mistakes_are_told_before_anything_runs(arguments, message):
    with pytest.raises(ConfigError, match=message):
        make("--corpus", "smic", *arguments)


def test_a_folder_of_another_league_is_refused(tmp_path):
    league.open_league(make("--corpus", "smic", "--out", str(tmp_path)))
    league.open_league(make("--corpus", "smic", "--out", str(tmp_path), "--models", "STSTNet"))
    with pytest.raises(ConfigError, match="holds a league with budget equal; this call has budget paper"):
        league.open_league(make("--corpus", "smic", "--out", str(tmp_path), "--budget", "paper"))


def write_run(folder, right, provenance="surrogate"):
    """A finished run in which so many of twelve clips are right leaving one subject out, and all of them by clip."""
    true = np.arange(12) % 3
    results = []
    for protocol, number in (("loso", right), ("clip", 12)):
        predicted = np.where(np.arange(12) < number, true, (true + 1) % 3)
        results.append(
            ProtocolResult(
                protocol=protocol, corpus="smic", provenance=provenance, clip_id=tuple(map(str, range(12))),
                subject=tuple("abcd"[i // 3] for i in range(12)), fold=np.arange(12) // 3, copy=np.zeros(12, int),
                seed=np.zeros(12, int), true=true, probabilities=np.eye(3)[predicted],
                class_names=("negative", "positive", "surprise"),
                folds=(FoldSummary(0, "a", 0, 1, 1, 2.5, "all epochs"),),
            )
        )  # fmt: skip
    folder.mkdir()
    write_metrics(folder / "metrics.json", results)
    (folder / "report.html").touch()


@pytest.fixture
def played(tmp_path):
    made = make("--corpus", "smic", "--out", str(tmp_path), "--config.epochs=3")
    league.open_league(made)
    for name, right in (("STSTNet", 9), ("LinearFlow", 6), ("HybridAttention3DNet", 3)):
        write_run(tmp_path / name, right)
    (tmp_path / "LbpTop").mkdir()
    (tmp_path / "LbpTop" / FAILURE).write_text("no face\nat all\n")
    return made


def test_the_table_says_who_crosses_the_line_and_what_knowing_people_adds(played):
    rows = collect_rows(played.out, ALL, played.count_parameters)
    assert [row.name for row in rows[:3]] == ["STSTNet", "LinearFlow", "HybridAttention3DNet"]
    assert {row.name for row in rows} == {*ALL}
    table = make_table(rows, league.describe(played))
    cells = {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    best, line, paper = cells["STSTNet"], cells["LinearFlow"], cells["HybridAttention3DNet (own)"]
    assert best["UF1, SURROGATE"] == "0.750"
    assert best["above LinearFlow, UF1"] == "+0.250"
    assert line["above LinearFlow, UF1"] == "the line"
    assert (best["gap, UF1"], best["gap, points"], best["seconds"], best["clips"]) == ("+0.250", "+25.0", "5", "12")
    assert (best["parameters"], line["parameters"]) == ("1,683", "–")
    low, high = map(float, best["95 % over people"].split("–"))
    assert low < 0.75 < high
    assert best["PUBLISHED, other division, NOT COMPARABLE"] == "UF1 0.680 (wrong_uar)"
    assert paper["PUBLISHED, other division, NOT COMPARABLE"] == "F1 0.933, 93.4 % (leaky)"
    assert cells["OffApexNet"]["UF1, SURROGATE"] == "–"
    assert any(note == "LbpTop has no result: no face" for note in table.footnotes)
    assert "epochs=3" in table.changed


def test_the_page_the_picture_and_the_files_are_marked(played):
    page = write_league(played.out, ALL, played.count_parameters)
    text = page.read_text()
    assert "3 of" in text
    assert "SURROGATE" in text
    assert "<li>LbpTop: no face</li>" in text
    assert (played.out / "league.md").read_text().startswith("**SURROGATE")
    assert (played.out / "league.csv").read_text().count(",surrogate,epochs=3\n") == len(ALL)
    assert (played.out / "league.png").read_bytes().startswith(b"\x89PNG")


def test_licensed_numbers_are_not_called_surrogates(tmp_path):
    made = make("--corpus", "smic", "--out", str(tmp_path))
    league.open_league(made)
    write_run(tmp_path / "STSTNet", 9, provenance="licensed")
    page = write_league(tmp_path, ALL, made.count_parameters).read_text()
    assert "SURROGATE" not in page
    assert "NOT COMPARABLE" not in page
    table = (tmp_path / "league.md").read_text()
    assert re.search(r"\| STSTNet .*\| 0\.750 \|.*\| – \| 1\.000", table), "no line without LinearFlow"


def test_published_numbers_are_those_of_the_composite_where_there_are_both():
    assert describe_published("smic", "CapsuleNet") in ("", "UF1 0.582 (test_best)")
    assert describe_published("samm", "STSTNet") == "UF1 0.659 (wrong_uar)"
    assert describe_published("smic", "GridFlowNet") == ""


def test_every_network_has_a_family():
    assert {family_of(owner) for name, owner in ALL.items() if name in baselines.__all__} == {"baselines"}
    assert family_of(ALL["SqueezeExcitation3DNet"]) == "the paper's"
    assert family_of(ALL["GridFlowNet"]) == "halves of the face"


def call(out, data_dir, *arguments):
    command = [sys.executable, "-m", "experiments.league", "--corpus", "smic", "--out", str(out)]
    command += ["--data_dir", str(data_dir), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)


def test_a_run_that_fails_stops_no_other_and_its_reason_is_told(tmp_path):
    (tmp_path / "nothing").mkdir()
    done = call(
        tmp_path / "l", tmp_path / "d", "--models", "LinearFlow,STSTNet", "--manual_dir", str(tmp_path / "nothing")
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: 2 of 2 runs failed; the others are done\n       LinearFlow: ")
    assert "Traceback" not in done.stderr
    assert "STSTNet has no result" in (tmp_path / "l" / "league.md").read_text()


@pytest.mark.slow
def test_a_small_league_continues_and_ends_the_same(tmp_path):
    tiny = [
        "--models", "LinearFlow,STSTNet", "--config.surrogate_clips=18", "--config.surrogate_subjects=6",
        "--config.surrogate_difficulty=easy", "--config.epochs=2", "--config.num_folds=2",
    ]  # fmt: skip
    first = call(tmp_path / "l", tmp_path / "d", *tiny, "--part", "1/2")
    second = call(tmp_path / "l", tmp_path / "d", *tiny, "--part", "2/2")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    again = call(tmp_path / "l", tmp_path / "d", *tiny)
    assert "2 of 2 runs are finished" in again.stdout
    metrics = json.loads((tmp_path / "l" / "STSTNet" / "metrics.json").read_text())
    assert {*metrics} == {"loso", "clip"}
    assert metrics["loso"]["n_clips"] == metrics["clip"]["n_clips"] == 18
