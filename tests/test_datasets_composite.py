"""The composite of MEGC 2019, motion features included, and MMEW."""

import json
import shutil

import cv2
import numpy as np
import pytest

from datasets.build import build, main
from datasets.check import check
from datasets.megc2019.release import Megc2019
from datasets.mmew.release import Mmew
from datasets.read import load_clips, read_metadata
from datasets.records import Reason
from datasets.samm.release import Samm
from mer_jax.errors import ConfigError, CorpusError
from tests.corpora import Reading, write_casme2, write_casme_squared, write_mmew, write_samm, write_smic


class TestComposite:
    @pytest.fixture
    def top(self, tmp_path):
        write_casme2(tmp_path / "CASME II")
        write_samm(tmp_path / "SAMM")
        write_smic(tmp_path / "SMIC")
        write_casme_squared(tmp_path / "CAS(ME)^2")  # is no part of it
        return tmp_path

    def test_names_are_those_of_the_corpora(self, top):
        corpus = Reading(Megc2019, top)
        records = {record.clip_id: record for record in corpus.records}
        assert len(records) == 5 + 4 + 3
        assert records["casme2_sub01_EP02_01f"].subject == "casme2_sub01"
        assert records["samm_006_1_2"].subject == "samm_006"
        assert records["smic_s1_ne_01"].subject == "smic_s1"
        assert {record.corpus for record in corpus.records} == {"casme2", "samm", "smic"}
        assert corpus.report.by_class == {"negative": 1 + 2 + 1, "positive": 2 + 1 + 1, "surprise": 2 + 1 + 1}
        assert "corpus casme2: 5 clips, expected 145" in corpus.report.differences
        assert any(each.startswith("samm: 028_4_1 (") for each in corpus.report.findings["apex_out_of_range"])
        assert corpus.provenance == "licensed"

    def test_published_counts(self):
        composite = Megc2019.schemes["3class"]
        assert sum(composite.by_class.values()) == sum(composite.by_corpus.values()) == 442
        parts = composite.parts
        assert {name: sum(parts[name].by_class.values()) for name in parts} == composite.by_corpus
        for name, count in composite.by_class.items():
            assert sum(part.by_class[name] for part in parts.values()) == count
        assert sum(part.num_subjects for part in parts.values()) == composite.num_subjects == 68

    def test_one_that_is_missing_is_named(self, top):
        shutil.rmtree(top / "SAMM")
        with pytest.raises(CorpusError, match="needs CASME II, SAMM and SMIC HS below one folder: no SAMM"):
            Reading(Megc2019, top)

    def test_an_annotation_that_is_missing_is_not_taken_from_another(self, top):
        (top / "CASME II" / "CASME2-coding-20140508.xlsx").unlink()
        with pytest.raises(CorpusError, match=r"CASME II is in .* its annotation is not there"):
            Reading(Megc2019, top)

    def test_one_surrogate_makes_it_a_surrogate(self, top):
        marker = {"surrogate": True, "corpus": "samm", "seed": 1, "clips": {}}
        (top / "SAMM" / "SURROGATE.json").write_text(json.dumps(marker))
        corpus = Reading(Megc2019, top)
        assert corpus.provenance == "surrogate"
        assert corpus.corpus.marker["parts"]["samm"]["seed"] == 1


class TestFlowFeatures:
    ROWS = (("casme2", "sub01", "EP02_01f", 1), ("samm", "6", "006_1_2", 0), ("smic", "s01", "s01_ne_01", 2))

    @pytest.fixture
    def top(self, tmp_path):
        rng = np.random.default_rng(0)
        folders = {"6": "006"}  # lists write 6 for the folder 006
        for corpus, subject, clip, _ in self.ROWS:
            path = tmp_path / "features" / corpus / folders.get(subject, subject) / f"{clip}.png"
            path.parent.mkdir(parents=True)
            cv2.imwrite(str(path), rng.integers(0, 256, (28, 28, 3), dtype=np.uint8))
        self.write_labels(tmp_path / "features", self.ROWS)
        return tmp_path / "features"

    def write_labels(self, top, rows, header="corpus,subject,clip,label\n"):
        (top / "labels.csv").write_text(header + "\n".join(",".join(map(str, row)) for row in rows))

    def build(self, top, tmp_path, **settings):
        return build(
            "megc2019", top, variant="flow_features", data_dir=tmp_path / "data", say=lambda line: None, **settings
        )

    @pytest.mark.parametrize("header", ["corpus,subject,clip,label\n", "", "\ufeffDataset,Subject,Filename,Label\n"])
    def test_pictures_come_back_bit_by_bit(self, top, tmp_path, header):
        self.write_labels(top, self.ROWS, header)
        builder_dir = self.build(top, tmp_path)
        assert builder_dir == tmp_path / "data" / "megc2019" / "flow_features" / "2.1.0"
        features = load_clips(builder_dir)
        assert features.clip_id == ("casme2_sub01_EP02_01f", "samm_006_1_2", "smic_s1_ne_01")  # as in the composite
        assert features.subject == ("casme2_sub01", "samm_006", "smic_s1")
        assert [features.class_names[label] for label in features.label] == ["positive", "negative", "surprise"]
        assert features.pictures.shape == (3, 28, 28, 3)
        picture = cv2.cvtColor(cv2.imread(str(top / "samm" / "006" / "006_1_2.png")), cv2.COLOR_BGR2RGB)
        np.testing.assert_array_equal(features.pictures[1], picture)
        assert (len(features), features.num_subjects, features.provenance) == (3, 3, "unstated")

    def test_it_is_built_once(self, top, tmp_path, capsys):
        arguments = ["megc2019", "--manual_dir", str(top), "--data_dir", str(tmp_path), "--config", "flow_features"]
        assert main(arguments) == 0
        assert "built 3 clips in " in capsys.readouterr().out
        assert main(arguments) == 0
        assert "built before from the same files: 3 clips" in capsys.readouterr().out

    def test_features_say_what_they_are(self, top, tmp_path):
        builder_dir = self.build(top, tmp_path)
        assert load_clips(builder_dir).kind == read_metadata(builder_dir)["stored"] == "motion"

    def test_what_does_not_fit_is_told(self, top):
        rows = [*self.ROWS, ("samm", "6", "006_9_9", 0), ("casme9", "1", "x", 0), ("samm", "6", "../x", 0)]
        self.write_labels(top, [*rows, ("samm", "6", "006_1_2", 7), self.ROWS[0]])
        (top / "samm" / "006" / "006_8_8.png").write_bytes(b"")
        corpus = Reading(Megc2019, top, "flow_features")
        findings = corpus.report.findings
        assert len(corpus.records) == 3
        assert findings["rows_without_folder"] == ("samm_006_9_9: no picture for labels.csv, row 5",)
        assert corpus.unusable["samm_006_9_9"].reason is Reason.NO_FOLDER
        assert findings["folders_without_row"] == (
            f"{top / 'samm' / '006' / '006_8_8.png'} is in no row of labels.csv",
        )
        assert [each.partition(" holds ")[0] for each in findings["unusable"]] == [
            "labels.csv, row 6, cell A6 (corpus)",
            "labels.csv, row 7, cell C7 (clip)",
            "labels.csv, row 8, cell D8 (label)",
            "labels.csv, row 9: clip casme2_sub01_EP02_01f is listed twice; the first is used",
        ]

    def test_pictures_of_another_size(self, top, tmp_path):
        cv2.imwrite(str(top / "samm" / "006" / "006_1_2.png"), np.zeros((30, 28, 3), np.uint8))
        found = check("megc2019", top, variant="flow_features")
        assert not found.is_usable
        (fault,) = found.damaged.values()
        assert fault.endswith("006_1_2.png has 28x30 pixels; expected motion features of 28x28")
        with pytest.raises(CorpusError, match=r"006_1_2\.png has 28x30 pixels; expected motion features of 28x28"):
            self.build(top, tmp_path)
        assert len(load_clips(self.build(top, tmp_path, skip_unreadable=True))) == 2

    def test_no_features(self, tmp_path):
        with pytest.raises(CorpusError, match=r"no motion features in .*a \.csv with the columns corpus, sub"):
            Reading(Megc2019, tmp_path, "flow_features")


class TestMmew:
    @pytest.mark.parametrize("by_subject", [True, False])
    def test_both_trees(self, tmp_path, by_subject):
        write_mmew(tmp_path, by_subject=by_subject)
        corpus = Reading(Mmew, tmp_path, "7class")
        assert [record.clip_id for record in corpus.records] == ["S01-01-001", "S01-02-001", "S07-04-002", "S30-07-001"]
        record = corpus.records[2]
        assert (record.subject, record.labels["emotion"], record.frame_numbers) == ("S07", "anger", tuple(range(3, 16)))
        assert record.apex == 6
        assert Reading(Mmew, tmp_path).report.by_class == {"negative": 1, "positive": 1, "surprise": 1}

    def test_published_counts(self):
        assert sum(Mmew.schemes["7class"].by_class.values()) == 300


def test_an_unknown_scheme_is_answered_with_near_ones():
    with pytest.raises(ConfigError, match="samm has no class scheme '5clas'; did you mean '5class'"):
        Samm.find_scheme("5clas")
