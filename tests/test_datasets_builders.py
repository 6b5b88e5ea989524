"""What holds for the folder of every corpus, and one build of each layout from rendered frames."""

from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from datasets.build import build
from datasets.check import check
from datasets.long_videos import LONG, long_corpora
from datasets.read import load_clips, read_metadata
from datasets.release import find_release, import_builder, known_corpora
from datasets.surrogate.corpus import render_corpus
from mer_jax.vision.options import VisionOptions

FOLDER = Path(__file__).parents[1] / "datasets"
OPTIONS = VisionOptions(num_frames=4, register=False)


@pytest.mark.parametrize("corpus", known_corpora())
class TestEveryCorpus:
    def test_its_builder_knows_its_parts(self, corpus):
        builder = import_builder(corpus)
        assert builder.name == builder.RELEASE.name == corpus
        configs = [*builder.RELEASE.parts, *([LONG] if corpus in long_corpora() else [])]
        assert [config.name for config in builder.BUILDER_CONFIGS] == configs
        assert builder.MANUAL_DOWNLOAD_INSTRUCTIONS
        assert str(builder.VERSION) in builder.RELEASE_NOTES

    def test_its_variants_are_parts_and_schemes(self, corpus):
        release = find_release(corpus)
        variants = release.variants()
        assert {*release.parts, *release.schemes} <= variants.keys()
        assert all(variant.part in (*release.parts, None) for variant in variants.values())
        assert release.find_variant(None).scheme is next(iter(release.schemes.values()))

    def test_its_folder_describes_it(self, corpus):
        metadata = import_builder(corpus).get_metadata()
        assert "doi" in metadata.citation
        assert set(metadata.tags) <= set(tfds.core.dataset_metadata.valid_tags())
        readme = (FOLDER / corpus / "README.md").read_text()
        assert f"python -m datasets.build {corpus} --manual_dir DIR" in readme
        assert "passed on" in readme or "passing on" in readme
        for scheme in find_release(corpus).schemes:
            assert f"`{scheme}`" in readme or scheme.endswith(("_micro", "_macro")), f"README lacks {scheme}"


@pytest.mark.parametrize("corpus", known_corpora())
def test_every_scheme_has_a_source_and_counts(corpus):
    release = find_release(corpus)
    for name, scheme in release.schemes.items():
        assert scheme.name == name
        assert scheme.source
        assert scheme.field in release.labels
        assert set(scheme.class_of.values()) == set(scheme.by_class)
        assert len(scheme.class_names) >= 2
        assert all(count > 0 for count in scheme.by_class.values())


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    out = tmp_path_factory.mktemp("a folder with spaces é")
    for corpus in ("casme2", "samm", "casme_squared", "smic"):
        render_corpus(
            out, corpus=corpus, num_subjects=3, num_clips=9, quirks=True, scale=0.25, workers=1, log=lambda line: None
        )
    return out


@pytest.mark.parametrize(
    ("corpus", "variant"),
    [
        ("casme2", None),
        ("casme2", "cropped_7class"),
        ("samm", "8class"),
        ("casme_squared", "raw"),
        ("casme_squared", "cropped"),
        ("megc2019", None),
    ],
)
def test_rendered_releases_are_read_and_built(rendered, tmp_path_factory, corpus, variant):
    data_dir = tmp_path_factory.getbasetemp() / "built"
    found = check(corpus, rendered, variant=variant)
    assert found.is_usable
    assert found.corpus.provenance == "surrogate"
    builder_dir = build(
        corpus, rendered, variant=variant, options=OPTIONS, data_dir=data_dir, workers=1, say=lambda line: None
    )
    assert builder_dir.parent.parent.name == f"surrogate_{corpus}"
    clips = load_clips(builder_dir, scheme=find_release(corpus).find_variant(variant).scheme.name)
    read, skipped = found.corpus.records, read_metadata(builder_dir)["skipped"]
    assert set(read_metadata(builder_dir)["checksums"]) | set(skipped) == {
        each.clip_id for each in found.corpus.listed()
    }
    assert clips.provenance == "surrogate"
    assert list(clips.class_names) == found.to_json()["class_names"]
    subjects = dict(zip(clips.clip_id, clips.subject, strict=True))
    assert subjects.items() <= {record.clip_id: record.subject for record in read}.items()
    assert set(clips.corpus) == ({"casme2", "samm", "smic"} if corpus == "megc2019" else {corpus})
