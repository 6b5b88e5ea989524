import html.parser
import importlib.resources
import io
import itertools
import json
import os
import re
import stat
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest

from mer_jax.evaluation import metrics
from mer_jax.evaluation.gap import find_honest, measure_gap, summarize
from mer_jax.evaluation.metrics import PredictionsError
from mer_jax.evaluation.predictions import read_predictions, write_predictions
from mer_jax.evaluation.results import FoldSummary, ProtocolResult, write_metrics
from mer_jax.files import write_atomically
from mer_jax.protocols import audit, make_plan
from mer_jax.report import figures
from mer_jax.report.page import write_report

NAMES = ("negative", "positive", "surprise")


def smic_like():
    """164 clips of 16 subjects, 70/51/43, as SMIC HS has them."""
    sizes = [6, 6, 39, 19, 2, 4, 13, 4, 7, 9, 10, 9, 10, 5, 4, 17]
    subjects = np.repeat([f"s{i}" for i in range(1, 17)], sizes).tolist()
    return subjects, np.random.default_rng(7).permutation(np.repeat([0, 1, 2], [70, 51, 43]))


def make_result(protocol, skill, provenance="surrogate", seed=0) -> ProtocolResult:
    """What a net that is right with probability `skill`, differently for each person, might predict."""
    subjects, labels = smic_like()
    plan = make_plan(protocol, subjects=subjects, labels=labels, seed=seed, num_copies=4)
    rng = np.random.default_rng(seed + 1)
    tested = [(number, item) for number, fold in enumerate(plan.folds) for item in np.flatnonzero(fold.test)]
    fold, item = np.array(tested).T
    clip = plan.clip[item]
    of_subject = dict(zip(sorted(set(subjects)), rng.normal(skill, 0.1, 16), strict=True))
    right = rng.random(len(clip)) < np.array([of_subject[subjects[each]] for each in clip])
    answer = np.where(right, labels[clip], (labels[clip] + rng.integers(1, 3, len(clip))) % 3)
    logits = rng.normal(0, 0.5, (len(clip), 3))
    logits[np.arange(len(clip)), answer] += 3
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return ProtocolResult(
        protocol=protocol,
        corpus="smic",
        provenance=provenance,
        clip_id=tuple(f"{subjects[each]}_clip_{each:03d}" for each in clip),
        subject=tuple(subjects[each] for each in clip),
        fold=fold,
        copy=plan.copy[item],
        seed=np.full(len(clip), seed),
        true=labels[clip],
        probabilities=probabilities.astype(np.float32),
        class_names=NAMES,
        model="HybridAttention3DNet",
        description=plan.description,
        audit=audit(plan, subjects),
        folds=tuple(
            FoldSummary(number, each.name, seed, 60, 42 - number, 31.5, "no lower validation loss for 15 epochs")
            for number, each in enumerate(plan.folds)
        ),
    )


def make_results(provenance="surrogate"):
    return [make_result("paper", 0.88, provenance), make_result("subject", 0.7, provenance)]


def make_history(results):
    rng = np.random.default_rng(0)
    for result in results:
        for fold in result.folds:
            for epoch in range(1, fold.epochs_run + 1):
                train, reach = 1.1 * np.exp(-epoch / 18), 0.9 if result.protocol == "paper" else 0.7
                gap = 0.1 if result.protocol == "paper" else 0.25 + 0.004 * epoch
                yield {
                    "protocol": result.protocol,
                    "fold": fold.fold,
                    "epoch": epoch,
                    "train_loss": train + rng.normal(0, 0.01),
                    "train_accuracy": 1 - 0.66 * np.exp(-epoch / 15),
                    "validation_loss": train + gap + rng.normal(0, 0.03),
                    "validation_accuracy": np.clip(reach - 0.4 * np.exp(-epoch / 12) + rng.normal(0, 0.03), 0, 1),
                }


def make_faces():
    y, x = np.mgrid[-1:1:128j, -1:1:128j]
    face = 150 - 60 * (x**2 + y**2) - 70 * (np.hypot(np.abs(x) - 0.4, y + 0.3) < 0.13)
    examples = []
    for number, name in enumerate(NAMES):
        wave = np.sin(np.linspace(0, np.pi, 18))[:, None, None]
        mouth = np.exp(-(((y - 0.5 + 0.1 * number) / 0.1) ** 2) - (x / 0.4) ** 2)
        clip = np.clip(face + (number - 1.2) * 40 * wave * mouth, 0, 255).astype(np.uint8)
        fed = (clip - clip[:1].astype(np.float32)) / 20
        examples.append(figures.FaceExample(name, f"s{number}_{name[:2]}_01", f"s{number}", clip, fed))
    return examples


CONFIG = {"name": "smic_ha", "learning_rate": 1e-3, "model": {"class": "HybridAttention3DNet", "features": 16}}
ENVIRONMENT = {
    "command": "python -m experiments.run --config smic_ha.py --config.seed=0",
    "python": "3.11.9",
    "jax": "0.10.2 on 2 CPU cores",
    "data_fingerprint": "sha256:" + 8 * "0123abcd",
}


def write_run(run_dir, results, faces=None):
    return write_report(
        run_dir,
        results=results,
        history=list(make_history(results)),
        config=CONFIG,
        environment=ENVIRONMENT,
        faces=make_faces() if faces is None else faces,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("run")
    return write_run(run_dir, make_results())


class Page(html.parser.HTMLParser):
    """Collects what the tests ask of a page, and that every tag is closed in order."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.ids = [], [], set()
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.ids.add(dict(attributes).get("id"))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


def test_page_needs_nothing_from_outside(run):
    text = run.read_text()
    page = Page(text)
    links = [each[key] for _, each in page.tags for key in ("src", "href") if key in each]
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert {link[1:] for link in links if link.startswith("#")} <= page.ids
    assert not re.search(r"https?:|@import|url\(", text)
    assert text.count("<script") == 1, "the one that sorts tables, and it fetches nothing"
    assert not re.search(r"fetch|XMLHttp|import|eval", text[text.index("<script") :])


def test_page_is_accessible(run):
    page = Page(run.read_text())
    assert page.all("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    pictures = page.all("img")
    assert len(pictures) == 4
    assert all(len(each["alt"]) > 20 for each in pictures)
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(lower - upper <= 1 for upper, lower in itertools.pairwise(levels))
    assert len(page.all("caption")) == len(page.all("table")) > 3
    assert all(each["scope"] in ("col", "row") for each in page.all("th"))


def test_page_colours_have_contrast():
    def luminance(color):
        channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4) @ [
            0.2126,
            0.7152,
            0.0722,
        ]

    style = (importlib.resources.files("mer_jax.report") / "templates/style.css").read_text()
    colors = dict(re.findall(r"--([\w-]+): (#\w{6})", style))
    for ink in ("ink", "soft", "blue", "vermillion"):
        for ground in ("paper", "wash", "blue-wash", "vermillion-wash"):
            assert (luminance(colors[ground]) + 0.05) / (luminance(colors[ink]) + 0.05) >= 4.5, (ink, ground)


def test_page_holds_the_numbers_of_the_run(run):
    text = run.read_text()
    for result in make_results():
        entry = result.metrics()
        assert f"{100 * entry['accuracy']:.1f}\u00a0%" in text
        assert (
            f"{100 * entry['accuracy_interval']['low']:.1f} to {100 * entry['accuracy_interval']['high']:.1f}" in text
        )
        assert f"{entry['bootstrap']['uf1']['low']:.3f} to {entry['bootstrap']['uf1']['high']:.3f}" in text
    assert ENVIRONMENT["command"] in text
    assert ENVIRONMENT["data_fingerprint"] in text
    assert "learning_rate" in text
    assert "a copy of the same clip" in text


def test_everything_of_a_surrogate_says_so(run, tmp_path, monkeypatch):
    text = run.read_text()
    assert text.count("<caption") == text.count("<caption><span>SURROGATE · ")
    assert "<title>SURROGATE" in text
    assert "NOT COMPARABLE" in text[text.index("93.42") - 400 : text.index("93.42")]

    licensed = make_results("licensed")
    other = write_run(tmp_path, licensed).read_text()
    assert "SURROGATE" not in other
    assert "93.42" in other
    assert "this run, HybridAttention3DNet" in other
    assert "this run, HybridAttention3DNet" not in text, "ours of a surrogate stand in no table of published numbers"

    # In the pictures: the words drawn, and pixels of their colour at the foot.
    drawn = []
    finish = figures.Figure.suptitle
    monkeypatch.setattr(figures.Figure, "suptitle", lambda self, t, **kw: drawn.append(t) or finish(self, t, **kw))
    entries = {each.protocol: each.metrics() for each in make_results()}
    pictures = [
        figures.draw_gap(entries),
        figures.draw_confusion(entries),
        figures.draw_curves([], entries),
        figures.draw_faces(make_faces(), "surrogate"),
    ]
    assert len(drawn) == 4
    assert all(title.startswith("SURROGATE") for title in drawn)
    for picture in pictures:
        foot = matplotlib.image.imread(io.BytesIO(picture))[-45:, :, :3]
        assert (np.abs(foot - np.array([0xA8, 0x43, 0x00]) / 255).max(-1) < 0.02).sum() > 200


def test_pictures_are_files_too_and_repeat_exactly(run, tmp_path):
    again = write_run(tmp_path, make_results())
    assert again.read_bytes() == run.read_bytes()
    for name in ("confusion", "curves", "faces", "gap"):
        picture = tmp_path / f"{name}.png"
        assert matplotlib.image.imread(picture).shape[1] > 800
        assert picture.read_bytes() == run.with_name(picture.name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "confusion.png", "curves.png", "faces.png", "gap.png", "report.html"
    ]  # fmt: skip


def test_page_of_a_single_protocol_without_history_or_faces(tmp_path):
    result = replace(
        make_result("loso", 0.6, "licensed"), folds=(), audit={}, description="", model="OtherNet", corpus="mmew"
    )
    path = write_report(tmp_path, results=[result], history=[], config={}, environment={}, faces=[])
    text = path.read_text()
    Page(text)
    assert "The gap" not in text
    assert "Published" not in text
    assert not (tmp_path / "curves.png").exists()


def test_names_from_files_cannot_break_the_page(tmp_path):
    result = make_result("loso", 0.6)
    hostile = '<script>alert("x")</script>&'
    result = replace(
        result,
        subject=(hostile,) * len(result.subject),
        class_names=("a<b", 'c"d', "e&f"),
        folds=(replace(result.folds[0], name=hostile),),
    )
    path = write_report(
        tmp_path, results=[result], history=[], config={"note": "</code><script>"}, environment={}, faces=[]
    )
    text = path.read_text()
    assert text.count("<script") == 1
    assert "alert(&#34;x&#34;)" in text
    assert "a&lt;b" in text
    Page(text)
    # One person: nothing can be said about people, and the page says that instead of an interval.
    assert "needs two people or more" in text


def test_a_class_that_never_occurs_is_shown_as_undefined(tmp_path):
    result = make_result("loso", 0.6)
    names = (*NAMES, "disgust")
    probabilities = np.pad(result.probabilities, ((0, 0), (0, 1)))
    result = replace(result, class_names=names, probabilities=probabilities)
    path = write_run(tmp_path, [result], faces=[])
    row = re.search(r'<th scope="row">disgust</th>(.*?)</tr>', path.read_text(), re.S).group(1)
    assert re.findall(r"<td>(.*?)</td>", row) == ["0", "0", "0", "0", "–", "–", "–", "0"]


def test_page_tells_what_is_missing_and_what_the_test_best_epoch_would_show(tmp_path):
    paper, subject = make_results()
    better = subject.probabilities.copy()
    wrong = np.flatnonzero(~subject.correct)[:10]
    better[wrong] = np.eye(3)[subject.true[wrong]]
    lost = replace(subject.folds[2], missing=True, stop_reason="loss not finite in epoch 3")
    subject = replace(subject, test_best=better, folds=(*subject.folds[:2], lost, *subject.folds[3:]))
    path = write_report(
        tmp_path, results=[paper, subject], history=[], config={}, environment={}, faces=[],
        missing=[("subject", lost)],
    )  # fmt: skip
    text = path.read_text()
    Page(text)
    assert "1 fold is missing" in text
    assert "subject group3 (seed 0): loss not finite in epoch 3" in text
    assert "Diagnostic, no result" in text
    assert f"<td>{1000 / 164:+.1f}</td>" in text
    entry = subject.entry
    assert [fold["name"] for fold in entry["missing_folds"]] == ["group3"]
    assert entry["test_best"]["accuracy"] == pytest.approx(entry["accuracy"] + 10 / 164)
    assert paper.entry["test_best"] is None


def test_page_of_several_corpora_and_seeds(tmp_path):
    one = make_result("loso", 0.7)
    corpora = tuple(("casme2", "samm")[row % 2] for row in range(len(one.true)))
    columns = {name: np.tile(getattr(one, name), 2) for name in ("fold", "copy", "true")}
    result = replace(
        one,
        protocol="composite",
        corpora=corpora * 2,
        clip_id=one.clip_id * 2,
        subject=one.subject * 2,
        seed=np.repeat([0, 1], len(one.true)),
        probabilities=np.concatenate([one.probabilities, one.probabilities[:, ::-1]]),
        **columns,
    )
    entry = result.entry
    assert set(entry["per_corpus"]) == {"casme2", "samm"}
    assert sum(part["n_items"] for part in entry["per_corpus"].values()) == 2 * len(one.true)
    assert entry["seed_spread"]["accuracy"]["by_seed"]["0"] == pytest.approx(one.entry["accuracy"])
    text = write_report(tmp_path, results=[result], history=[], config={}, environment={}, faces=[]).read_text()
    Page(text)
    assert f"{entry['seed_spread']['uf1']['mean']:.3f} ± {entry['seed_spread']['uf1']['sd']:.3f}" in text
    assert "‘composite’ by corpus" in text
    (read,) = read_predictions(write_predictions(tmp_path / "p.csv", [result]))
    assert read.corpora == result.corpora
    assert read.corpus == "casme2+samm"


def test_metrics_file(tmp_path):
    results = make_results()
    entries = json.loads(write_metrics(tmp_path / "metrics.json", results).read_text())
    assert list(entries) == ["paper", "subject"]
    for result in results:
        entry = entries[result.protocol]
        right = np.mean(result.predicted == result.true)
        assert entry["accuracy"] == pytest.approx(right)
        assert entry["error_rate"] == pytest.approx(1 - right)
        assert entry["n_clips"] == len(set(result.clip_id))
        assert entry["n_items"] == len(result.true) == np.sum(entry["confusion"])
        assert entry["n_subjects"] == len(set(result.subject))
        assert (entry["corpus"], entry["provenance"], entry["seeds"]) == ("smic", "surrogate", [0])
        assert entry["model"] == "HybridAttention3DNet"
        assert set(entry["per_class"]) == set(NAMES)
        assert {"uf1", "uar", "f1_macro", "f1_weighted", "chance", "majority", "audit"} <= set(entry)
        for interval in (entry["accuracy_interval"], entry["bootstrap"]["accuracy"]):
            assert interval["low"] < entry["accuracy"] < interval["high"]
        assert f"{entry['n_clips']} clips" in entry["accuracy_interval"]["method"]
    assert entries["paper"]["n_clips"] < entries["paper"]["n_items"]  # several copies of some clips


def test_copies_and_seeds_do_not_narrow_the_interval_over_clips():
    one = make_result("loso", 0.7)
    columns = {name: np.tile(getattr(one, name), 3) for name in ("fold", "copy", "true")}
    three = replace(
        one,
        clip_id=one.clip_id * 3,
        subject=one.subject * 3,
        seed=np.repeat([0, 1, 2], len(one.true)),
        probabilities=np.tile(one.probabilities, (3, 1)),
        **columns,
    )
    assert three.metrics()["accuracy_interval"] == one.metrics()["accuracy_interval"]
    assert three.metrics()["bootstrap"]["uf1"] == one.metrics()["bootstrap"]["uf1"]
    assert three.metrics()["seeds"] == [0, 1, 2]


def test_results_that_do_not_fit_together_are_refused(tmp_path):
    result = make_result("loso", 0.7)
    with pytest.raises(PredictionsError, match="164 true classes but 163 of subject"):
        replace(result, subject=result.subject[1:])
    with pytest.raises(PredictionsError, match="3 probabilities per row for 2 classes"):
        replace(result, class_names=NAMES[:2])
    with pytest.raises(PredictionsError, match="Did the training diverge"):
        replace(result, probabilities=np.full((164, 3), np.nan))
    other = replace(result, protocol="other", class_names=("x", "y", "z"))
    with pytest.raises(PredictionsError, match=r"other has classes .*'x'"):
        write_predictions(tmp_path / "p.csv", [result, other])
    assert not list(tmp_path.iterdir())


def test_gap_says_what_the_run_can_tell():
    paper, subject = make_results()
    entries = {each.protocol: each.metrics() for each in (paper, subject)}
    gap = measure_gap(entries)
    assert (gap.honest, find_honest(entries)) == ("subject", "subject")
    assert gap.difference == pytest.approx(entries["paper"]["accuracy"] - entries["subject"]["accuracy"])
    assert gap.interval.low < gap.difference < gap.interval.high
    assert gap.clip_in_train == paper.audit["test_clip_in_train"]
    assert re.search(r"18\.3 points of accuracy more than the subject-disjoint one \(95 % interval \+6", gap.verdict)

    same = entries | {
        "paper": entries["paper"] | {key: entries["subject"][key] for key in ("accuracy", "accuracy_interval")}
    }
    assert "this run cannot tell that from none" in measure_gap(same).verdict
    swapped = {
        "paper": entries["subject"] | {"audit": entries["paper"]["audit"]},
        "subject": entries["paper"] | {"audit": entries["subject"]["audit"]},
    }
    assert "18.3 points of accuracy less" in measure_gap(swapped).verdict
    assert "no leak explains" in measure_gap(swapped).verdict
    assert measure_gap({"paper": entries["paper"]}) is None
    assert measure_gap({"subject": entries["subject"]}) is None


def test_summary_for_the_terminal():
    entries = {each.protocol: each.metrics() for each in make_results()}
    lines = summarize(entries).splitlines()
    assert lines[0] == "HybridAttention3DNet on smic (SURROGATE)"
    assert lines[1].startswith("  paper    accuracy 0.878 (0.780 to 0.936)  UF1")
    assert lines[3] == measure_gap(entries).verdict
    assert len(summarize({"subject": entries["subject"]}).splitlines()) == 2
    entry = entries["subject"] | {"missing_folds": [{"name": "group2"}], "test_best": {"accuracy": 0.9}}
    lines = summarize({"subject": entry}).splitlines()
    assert lines[2].strip() == "diagnostic, no result: accuracy 0.900 with epochs chosen on the TEST"
    assert lines[3].strip() == "MISSING: group2"


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_atomically(tmp_path / "file", "old\n")
    (tmp_path / "plain").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new\n")
    assert path.read_text() == "old\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "plain"]


def test_faces_fed_as_gray_are_drawn_in_gray():
    faces = [replace(face, fed=face.stored / 255.0) for face in make_faces()]
    picture = matplotlib.image.imread(io.BytesIO(figures.draw_faces(faces, "licensed")))[..., :3]
    dark = picture[picture.sum(-1) < 0.9]
    assert len(dark) > 1000
    assert (np.ptp(dark, axis=-1) < 0.1).all()  # nothing dark that is not gray (labels are nearly so)


def test_scores_in_the_report_are_those_of_the_metrics_module():
    result = make_result("subject", 0.7)
    confusion = metrics.confusion_matrix(result.true, result.predicted, 3)
    assert result.metrics()["confusion"] == confusion.tolist()
    assert result.metrics()["uf1"] == metrics.uf1(confusion)
