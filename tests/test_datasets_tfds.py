"""Built corpora as TFDS users meet them, and what keeps surrogates and recordings apart."""

import json
import shutil
import subprocess
import sys

import pytest
import tensorflow_datasets as tfds

from datasets.build import build
from datasets.casme2.release import Casme2
from datasets.read import checksum_example, load_clips, read_metadata
from datasets.smic.release import Smic
from datasets.smic.smic_dataset_builder import Builder
from datasets.surrogate.corpus import render_corpus
from mer_jax.errors import ConfigError, CorpusError
from mer_jax.system.files import seal
from tests.corpora import write_casme2
from tests.documents import ROOT

NUM_CLIPS = 4


def silent(line):
    del line


@pytest.fixture(scope="module")
def surrogate(tmp_path_factory):
    out = tmp_path_factory.mktemp("rendered")
    render_corpus(out, num_subjects=2, num_clips=NUM_CLIPS, scale=0.25, workers=1, log=silent)
    return out


@pytest.fixture(scope="module")
def recordings(surrogate, tmp_path_factory):
    """The same tree without its marker stands for a licensed copy."""
    copy = tmp_path_factory.mktemp("licensed") / "SMIC_all_raw"
    return shutil.copytree(surrogate / "SMIC_all_raw", copy, ignore=shutil.ignore_patterns("SURROGATE*")).parent


@pytest.fixture(scope="module")
def data_dir(surrogate, recordings, tmp_path_factory):
    """A data folder into which recordings were built first, and a surrogate after them."""
    data_dir = tmp_path_factory.mktemp("data")
    licensed = build("smic", recordings, data_dir=data_dir, workers=1, say=silent)
    before = {path: path.read_bytes() for path in licensed.iterdir()}
    built = build("smic", surrogate, data_dir=data_dir, workers=1, say=silent)
    assert (licensed, built) == (data_dir / "smic/hs/2.1.0", data_dir / "surrogate_smic/hs/2.1.0")
    assert {path: path.read_bytes() for path in licensed.iterdir()} == before
    return data_dir


class TestProvenance:
    @pytest.mark.parametrize(("name", "provenance"), [("smic", "licensed"), ("surrogate_smic", "surrogate")])
    def test_it_is_in_path_description_and_every_example(self, data_dir, name, provenance):
        builder = tfds.builder(f"{name}/hs", data_dir=data_dir)
        assert f"/{name}/hs/" in str(builder.data_path)
        assert builder.info.description.startswith("SURROGATE: rendered") == (provenance == "surrogate")
        examples = list(builder.as_data_source("clips"))
        assert {example["provenance"] for example in examples} == {provenance.encode()}
        assert load_clips(builder.data_path).provenance == provenance
        assert read_metadata(builder.data_path)["provenance"] == provenance

    def test_a_licensed_name_never_gives_a_surrogate(self, surrogate, tmp_path):
        build("smic", surrogate, data_dir=tmp_path, workers=1, say=silent)
        assert not (tmp_path / "smic").exists()
        builder = tfds.builder("smic/hs", data_dir=tmp_path)
        assert not builder.is_prepared()
        with pytest.raises(CorpusError, match=r"holds surrogate data, and smic is not its dataset"):
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(manual_dir=surrogate, try_download_gcs=False)
            )

    def test_a_surrogate_name_never_gives_recordings(self, recordings, tmp_path):
        builder = Builder.of_provenance("surrogate")(config="hs", data_dir=tmp_path)
        with pytest.raises(CorpusError, match=r"holds licensed data, and surrogate_smic is not its dataset"):
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(manual_dir=recordings, try_download_gcs=False)
            )

    def test_a_forged_provenance_is_noticed(self, data_dir, tmp_path):
        forged = shutil.copytree(data_dir / "surrogate_smic/hs/2.1.0", tmp_path / "smic/hs/2.1.0")
        metadata = json.loads((forged / "metadata.json").read_text())
        metadata |= {"provenance": "licensed"}
        (forged / "metadata.json").write_text(json.dumps(seal(metadata)))
        with pytest.raises(CorpusError, match=r"clip '.*' is surrogate, not licensed"):
            load_clips(forged)


def test_plain_python_reads_it_by_plain_names(data_dir):
    code = f"""
import tensorflow_datasets as tfds
import datasets.smic

builder = tfds.builder("smic/hs", data_dir={str(data_dir)!r})
clips = tfds.data_source("smic/hs", split="clips", data_dir={str(data_dir)!r})
print(builder.info.full_name, len(clips), clips[0]["faces"].shape, clips[0]["emotion"].decode())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told, _, emotion = done.stdout.strip().rpartition(" ")
    assert told == f"smic/hs/2.1.0 {NUM_CLIPS} (18, 128, 128)"
    assert emotion in Smic.schemes["3class"].class_names


@pytest.fixture(scope="module")
def casme2(tmp_path_factory):
    out = tmp_path_factory.mktemp("casme2")
    render_corpus(out, corpus="casme2", num_subjects=3, num_clips=12, scale=0.25, workers=1, log=silent)
    return out


@pytest.fixture(scope="module")
def builder_dir(casme2):
    return build("casme2", casme2, variant="5class", data_dir=casme2 / "data", workers=1, say=silent)


class TestSchemes:
    """One build serves all schemes of a corpus."""

    def test_every_label_is_a_feature(self, builder_dir):
        examples = list(tfds.builder_from_directory(builder_dir).as_data_source("clips"))
        assert len(examples) == 12
        assert all(example["objective_class"].decode() in "1234567" for example in examples)
        assert all(example["emotion"] and example["action_units"] for example in examples)
        assert {example["kind"] for example in examples} == {b"micro"}
        assert {example["self_report"] for example in examples} == {b""}

    def test_a_scheme_is_applied_on_loading(self, builder_dir):
        five, seven, objective = (load_clips(builder_dir, scheme=name) for name in ("5class", "7class", "objective7"))
        assert len(seven) == len(objective) == 12
        three = load_clips(builder_dir)
        assert three.class_names == ("negative", "positive", "surprise")
        assert 0 < len(three) < len(seven)
        assert set(three.clip_id) < set(five.clip_id) <= set(seven.clip_id)
        assert len({clips.fingerprint for clips in (three, five, seven, objective)}) == 4
        position = seven.clip_id.index(three.clip_id[0])
        assert (seven.pictures[position] == three.pictures[0]).all()

    def test_an_unknown_scheme_is_answered_with_near_ones(self, builder_dir):
        with pytest.raises(ConfigError, match="casme2 has no class scheme '5clas'; did you mean '5class'"):
            load_clips(builder_dir, scheme="5clas")

    def test_the_checksum_covers_every_feature(self, builder_dir):
        example = tfds.builder_from_directory(builder_dir).as_data_source("clips")[0]
        checksum = checksum_example(example)
        assert checksum == read_metadata(builder_dir)["checksums"][example["clip_id"].decode()]
        for name, value in example.items():
            other = value + b"x" if isinstance(value, bytes) else value + 1
            assert checksum_example(example | {name: other}) != checksum, f"{name} is not covered"


def test_clips_that_a_scheme_leaves_aside_are_listed_by_their_labels(tmp_path):
    write_casme2(tmp_path)
    corpus = Casme2.read(tmp_path)
    assert len(corpus.records) == 10
    assert {record.labels["emotion"] for record in corpus.records} >= {"fear", "sadness", "others"}
