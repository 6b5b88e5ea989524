import html.parser
import importlib.resources
import io
import itertools
import re
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest

from mer_jax.evaluation.predictions import read_predictions, write_predictions
from mer_jax.report import figures
from mer_jax.report.page import write_report
from tests.toy_results import CONFIG, ENVIRONMENT, NAMES, make_faces, make_history, make_result, make_results


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
        entry = result.scores()
        assert f"{100 * entry['accuracy']:.1f}\u00a0%" in text
        people, clips = entry["intervals"]["accuracy"], entry["clip_interval"]
        card = text[text.index(f"protocol ‘{result.protocol}’") :]
        over = f"accuracy; 95 % interval over people {100 * people['low']:.1f} to {100 * people['high']:.1f}"
        independent = f"as if clips were independent (Wilson) {100 * clips['low']:.1f} to {100 * clips['high']:.1f}"
        assert 0 < card.index(over) < card.index(independent)
        assert f"{entry['intervals']['uf1']['low']:.3f} to {entry['intervals']['uf1']['high']:.3f}" in text
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
    entries = {each.protocol: each.scores() for each in make_results()}
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
    assert "accuracy; no interval: too few people" in text
    assert "needs two or more people" in text


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
    assert "Diagnostic, not a result" in text
    assert f"<td>{1000 / 164:+.1f}</td>" in text
    entry = subject.scores()
    assert [fold["name"] for fold in entry["missing_folds"]] == ["group3"]
    assert entry["test_best"]["accuracy"] == pytest.approx(entry["accuracy"] + 10 / 164)
    assert paper.scores()["test_best"] is None


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
    entry = result.scores()
    assert set(entry["per_corpus"]) == {"casme2", "samm"}
    assert sum(part["n_items"] for part in entry["per_corpus"].values()) == 2 * len(one.true)
    assert entry["seed_spread"]["accuracy"]["by_seed"]["0"] == pytest.approx(one.scores()["accuracy"])
    text = write_report(tmp_path, results=[result], history=[], config={}, environment={}, faces=[]).read_text()
    Page(text)
    assert f"{entry['seed_spread']['uf1']['mean']:.3f} ± {entry['seed_spread']['uf1']['sd']:.3f}" in text
    assert "‘composite’ by corpus" in text
    (read,) = read_predictions(write_predictions(tmp_path / "p.csv", [result]))
    assert read.corpora == result.corpora
    assert read.corpus == "casme2+samm"


def test_faces_fed_as_gray_are_drawn_in_gray():
    faces = [replace(face, fed=face.stored / 255.0) for face in make_faces()]
    picture = matplotlib.image.imread(io.BytesIO(figures.draw_faces(faces, "licensed")))[..., :3]
    dark = picture[picture.sum(-1) < 0.9]
    assert len(dark) > 1000
    assert (np.ptp(dark, axis=-1) < 0.1).all()  # nothing dark that is not gray (labels are nearly so)


def test_curves_without_validation_clips_are_drawn():
    """The last epoch is tested then, and no validation loss was written down."""
    rows = [
        {"protocol": "loso", "fold": 0, "seed": 0, "epoch": epoch, "train_loss": 1 / epoch, "train_accuracy": 0.5,
         "validation_loss": None, "validation_accuracy": None}
        for epoch in (1, 2)
    ]  # fmt: skip
    folds = [{"seed": 0, "fold": 0, "best_epoch": 2}]
    entries = {"loso": {"seeds": [0], "folds": folds, "chance": {"accuracy": 0.33}, "provenance": "surrogate"}}
    assert figures.draw_curves(rows, entries).startswith(b"\x89PNG")
