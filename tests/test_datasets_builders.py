"""What holds for the folder of every corpus, and one build of each layout from rendered frames."""

import importlib
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from datasets.build import build, known_corpora
from datasets.check import check
from datasets.clip_builder import ClipConfig
from datasets.read import load_clips, read_metadata
from datasets.schemes import SCHEMES
from datasets.surrogate.corpus import render_corpus
from mer_jax.vision.options import VisionOptions

FOLDER = Path(__file__).parents[1] / "datasets"
OPTIONS = VisionOptions(num_frames=4, register=False)


@pytest.mark.parametrize("corpus", known_corpora())
class TestEveryCorpus:
    def test_its_builder_knows_its_variants(self, corpus):
        reader = importlib.import_module(f"datasets.{corpus}.reader")
        builder = importlib.import_module(f"datasets.{corpus}.{corpus}_dataset_builder").Builder
        assert [config.variant for config in builder.BUILDER_CONFIGS] == list(reader.VARIANTS)
        names = [config.name for config in builder.BUILDER_CONFIGS]
        assert len(set(names)) == len(names)
        assert all(len(variant.class_names) >= 2 for variant in reader.VARIANTS.values())

    def test_its_folder_describes_it(self, corpus):
        metadata = importlib.import_module(f"datasets.{corpus}.{corpus}_dataset_builder").Builder.get_metadata()
        assert "doi" in metadata.citation
        assert set(metadata.tags) <= set(tfds.core.dataset_metadata.valid_tags())
        readme = (FOLDER / corpus / "README.md").read_text()
        assert f"python -m datasets.build {corpus} --manual_dir DIR" in readme
        assert "passed on" in readme or "passing on" in readme
        for scheme in SCHEMES.get(corpus, {}) if corpus != "smic" else ():
            assert f"`{scheme}`" in readme or scheme.endswith(("_micro", "_macro")), f"README lacks {scheme}"


def test_every_scheme_has_a_source_and_counts():
    for schemes in SCHEMES.values():
        for name, scheme in schemes.items():
            assert scheme.name == name
            assert scheme.source
            assert set(scheme.class_of.values()) == set(scheme.by_class)
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
    clips = load_clips(builder_dir)
    assert set(clips.clip_id) | set(read_metadata(builder_dir)["skipped"]) == {
        record.clip_id for record in found.corpus.records
    } | set(found.corpus.unusable)
    assert clips.provenance == "surrogate"
    assert clips.class_names == found.corpus.class_names
    assert (
        dict(zip(clips.clip_id, clips.subject, strict=True)).items()
        <= {record.clip_id: record.subject for record in found.corpus.records}.items()
    )
    assert set(clips.corpus) == ({"casme2", "samm", "smic"} if corpus == "megc2019" else {corpus})


def test_configs_without_options_are_named_alone():
    assert ClipConfig.make("flow_features", is_features=True).name == "flow_features"
