"""Writes small corpora in the layouts of the releases, spreadsheets included, for the tests of their readers.

Readers open no frame, so a picture of four pixels stands for each.
"""

import cv2
import numpy as np
import openpyxl
import xlsxwriter

from datasets.report import make_report

JPEG, BMP = (cv2.imencode(suffix, np.zeros((2, 2, 3), np.uint8))[1].tobytes() for suffix in (".jpg", ".bmp"))
CASME2_HEADER = (
    "Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None, "Action Units", "Estimated Emotion",
)  # fmt: skip
SAMM_HEADER = (
    "Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration", "Micro",
    "Action Units", "Estimated Emotion", "Objective Classes", "Notes",
)  # fmt: skip


class Formula(str):
    """A formula with the value that was stored with it; None stores none."""

    stored: object

    def __new__(cls, text, stored=None):
        formula = super().__new__(cls, text)
        formula.stored = stored
        return formula


def write_frames(folder, numbers, name="img{}.jpg", content=JPEG):
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / name.format(number)).write_bytes(content)
    return folder


def write_book(path, sheets, *, stored=True):
    """Writes a workbook; `sheets` maps names to rows. Without `stored`, results of formulas are left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not stored:
        return _write_without_results(path, sheets)
    book = xlsxwriter.Workbook(str(path), {"strings_to_formulas": False, "strings_to_urls": False})
    for name, rows in sheets.items():
        sheet = book.add_worksheet(name)
        for row, cells in enumerate(rows):
            for column, cell in enumerate(cells):
                if isinstance(cell, Formula):
                    sheet.write_formula(row, column, str(cell), None, cell.stored)
                elif isinstance(cell, str):
                    sheet.write_string(row, column, cell)
                elif cell is not None:
                    sheet.write(row, column, cell)
    book.close()
    return path


def _write_without_results(path, sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for cells in rows:
            sheet.append([str(cell) if isinstance(cell, Formula) else cell for cell in cells])
    book.save(path)
    return path


def casme2_row(subject, clip, onset=46, apex=59, offset=66, emotion="happiness"):
    return (f"{subject:02d}", clip, None, onset, apex, offset, None, 12, emotion)


# Who, which clip, and what is odd about it.
CASME2_ROWS = (
    casme2_row(1, "EP02_01f", 5, 9, 14),  # crosses 9 to 10
    casme2_row(1, "EP03_02", 95, 99, 104, "disgust"),  # crosses 99 to 100
    casme2_row(3, "EP01_2", emotion="surprise"),
    casme2_row(4, "EP12_01f", apex="/", emotion="disgust"),
    casme2_row(5, "EP09_05f", apex=46, emotion="repression"),
    casme2_row(7, "EP06_02_01", emotion="others"),
    casme2_row(9, "EP09f", emotion="surprise"),
    casme2_row(9, "EP13_02", emotion="fear"),
    casme2_row(9, "EP02_01f", emotion="happiness"),  # the same name as in sub01
    casme2_row(17, "EP15_01", emotion="sadness"),
)


def write_casme2(top, rows=CASME2_ROWS, *, tree="CASME2_RAW_selected", book="CASME2-coding-20140508.xlsx"):
    """Writes one tree of CASME II and its annotation; returns the folder of subjects."""
    root = top / tree
    is_raw, name = tree.endswith("CASME2-RAW"), "reg_img{}.jpg" if "Cropped" in tree else "img{}.jpg"
    for row in rows:
        onset, offset = row[3], row[5]
        numbers = range(1, offset + 20) if is_raw else range(onset, offset + 1)
        write_frames(root / f"sub{row[0]}" / row[1], numbers, name)
    write_frames(root / "sub09" / "EP02_02f", range(10, 20), name)  # in no row
    (root / "Thumbs.db").write_bytes(b"")
    (root / "sub09" / "EP02_02f" / "Verknüpfung.lnk").write_bytes(b"")
    write_book(top / book, {"Sheet1": [CASME2_HEADER, *rows], "Sheet2": [], "Sheet3": []})
    classes = [(row[0], row[1], 1 + index % 7) for index, row in enumerate(rows)]
    objective = [("Subject", "Filename", "Objective Class"), *classes]
    write_book(top / "CASME2-ObjectiveClasses.xlsx", {"Sheet1": objective, "Sheet2": [("01", "left over", 3)] * 3})
    return root


def samm_row(clip, onset=5562, apex=None, offset=5580, emotion="Anger", number=15, stored=True):
    apex = (onset + offset) // 2 if apex is None else apex
    duration = Formula(f"=SUM(F{number}-D{number})+1", offset - onset + 1 if stored else None)
    return (clip[:3], clip, 1, onset, apex, offset, duration, "Micro - 1/2", "4+7 ", emotion, 7, None)


SAMM_ROWS = (
    samm_row("006_1_2", number=15),
    samm_row("006_1_3", 9_990, None, 10_010, "Happiness", 16),
    samm_row("013_1_12", 83, None, 112, "Surprise", 17),  # padded to 4 digits
    samm_row("025_1_1", 1000, None, 1020, "Other", 18),
    samm_row("028_4_1", 500, 900, 540, "Contempt", 19),  # the apex is out of range
)


def write_samm(top, rows=SAMM_ROWS, *, tree="SAMM", book="SAMM_Micro_FACS_Codes_v2.xlsx", preamble=13, stored=True):
    root = top / tree
    for row in rows:
        width = 4 if row[1] == "013_1_12" else 5
        write_frames(root / row[0] / row[1], range(row[3], row[5] + 1), f"{row[0]}_{{:0{width}d}}.jpg")
    above = [("SAMM Dataset - Master FACS Codes",), (), *[("note",)] * (preamble - 2)]
    write_book(top / book, {"MICRO_ONLY": [*above, SAMM_HEADER, *rows]}, stored=stored)
    return root


# id, clip, onset, apex, offset, action units, coarse, type, self-report
CASME_SQUARED_ROWS = (
    (1, "anger1_1", 557, 560, 570, "4+10", "negative", "macro-expression", "anger"),
    (1, "happy1_1", 34, 40, 60, 12, "positive", "macro-expression", "happyiness"),
    (3, "happy4_1", 995, 1000, 1010, 12, "positive", "micro-expression", "happiness"),  # crosses 999 to 1000
    (3, "happy4_2", 100, 110, 0, "NULL", "others", "macro-expression", "disgust"),  # no offset
    (7, "disgust1_1", 50, 0, 70, "9", "negative", "macro-expression", "disgust"),  # no apex
    (11, "disgust1_5", 50, 75, 70, "9", "negative", "macro-expression", "disgust"),  # apex beyond the offset
    (22, "anger2_1", 60, 65, 70, "4", "surprise", "micro-expression", "surprise"),
)
FOLDER_OF_ID = {1: 15, 3: 19, 7: 23, 11: 27, 22: 40}
VIDEO_OF_STIMULUS = {
    "disgust1": "0101disgustingteeth", "disgust2": "0102eatingworms", "anger1": "0401girlcrashing",
    "anger2": "0402beatingpregnantwoman", "happy1": "0502funnyerrors", "happy2": "0503unnyfarting",
    "happy3": "0505funnyinnovations", "happy4": "0507climbingthewall", "happy5": "0508funnydunkey",
}  # fmt: skip


def write_casme_squared(top, rows=CASME_SQUARED_ROWS, *, tree="selectedpic", book="CAS(ME)^2code_final.xlsx"):
    root = top / tree
    for number, clip, onset, apex, offset, *_ in rows:
        subject = FOLDER_OF_ID[number]
        if "rawpic" in tree:
            video = f"{subject}_{VIDEO_OF_STIMULUS[clip.rpartition('_')[0]]}"
            write_frames(root / f"s{subject}" / video, range(1, max(apex, offset) + 30), "img{:03d}.jpg")
        else:
            prefix = "" if "cropped" in tree else "s"
            write_frames(root / f"{prefix}{subject}" / clip, range(onset, max(offset, onset + 5) + 1))
    if "rawpic" in tree:
        write_frames(root / "s19" / "23_0502funnyerrors", range(1, 30), "img{:03d}.jpg")
    rules = [(FOLDER_OF_ID[row[0]], f"s{FOLDER_OF_ID[row[0]]}", row[0]) for row in rows]
    codes = [(video[:4], stimulus) for stimulus, video in VIDEO_OF_STIMULUS.items()]
    write_book(top / book, {"CASFEcode_final": rows, "naming rule1": rules, "naming rule2": codes})
    return root


SMIC_E_HEADER = (
    "Subject", "Filename", None, "OnsetF", "OffsetF", "Onset2F", "Offset2F", "Onset3F", "Offset3F", None, "FirstF",
    "LastF", "TotalMF1", "TotalMF2", "TotalMF3", "TotalVL", "Emotion", None, None,
)  # fmt: skip
SMIC_E_VIS_HEADER = (
    "Subject", "Filename", None, "OnsetF", "OffsetF", "Onset2F", "Offset2F", None, "FirstF", "TotalMF1", "TotalMF2",
    "TotalVL", "Emotion", None, None,
)  # fmt: skip


def write_smic_e(top, *, stored=True):
    """Writes SMIC-E of HS and VIS: two people, three clips, and a third expression that is garbage."""
    hs = top / "SMIC-E_raw image" / "HS_long" / "SMIC-HS-E"
    # VIS: onset 6300, first 6250, 60 frames long. HS: onset 40400, so the recording begins at 40400 - 100 * 50 / 25.
    vis_rows = [(20, "s20_ne_01", None, 6300, 6309, None, None, None, 6250, Formula("=E2-D2+1", 10), None, 60,
                 "negative", None, None)]  # fmt: skip
    hs_rows = [
        (20, "s20_ne_01", None, 40400, Formula("=D2+M2-1", 40429),
         Formula("=D2+100*(VIS!D2-VIS!D2)/25", 40400), Formula("=E2", 40429),  # the same once more
         Formula("=D2+100*(VIS!H2-VIS!D2)/25", 15200), Formula("=K2", 40200), None,
         Formula("=D2-100*(VIS!D2-VIS!I2)/25", 40200), Formula("=K2+100*(VIS!L2)/25-1", 40439), 30,
         Formula("=G2-F2", 29), Formula("=I2-H2", 25000), Formula("=L2-K2+1", 240), "negative", None, None),
        (3, "s3_po_01", None, 33800, Formula("=D3+M3-1", 33819), None, None, None, None, None, 33736,
         Formula("=K3+P3-1", 33855), 20, None, None, 120, "positive", None, None),
        (3, "s3_sur_01", None, 95000, Formula("=D4+M4-1", 95019), None, None, None, None, None, 33900,
         Formula("=K4+P4-1", 34019), 20, None, None, 120, "surprise", None, None),  # far outside its recording
    ]  # fmt: skip
    write_frames(hs / "s20" / "s20_ne_01", range(40200, 40440), "image{:06d}.jpg")
    write_frames(hs / "s03" / "s3_po_01", range(33736, 33856), "image{:06d}.jpg")
    write_frames(hs / "s03" / "s3_sur_01", range(33900, 34020), "image{:06d}.jpg")
    vis = top / "SMIC-E_raw image" / "VIS_long" / "SMIC-VIS-E" / "VIS"
    write_frames(vis / "s20" / "s20_ne_01", range(6250, 6310), "xxx {:05d}.jpg")
    sheets = {"HS": [SMIC_E_HEADER, *hs_rows, *[(None,) * 19] * 6], "VIS": [SMIC_E_VIS_HEADER, *vis_rows]}
    write_book(hs.parent / "SMIC-HS-E_annotation.xlsx", sheets | {"Sheet2": [], "Sheet3": []}, stored=stored)
    return hs


MMEW_HEADER = (
    "Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion", "remarks",
)  # fmt: skip
MMEW_ROWS = (
    ("01", "S01-01-001", 1, 9, 20, "12", "happiness", None),
    ("01", "S01-02-001", 1, 5, 12, 1, "surprise", None),
    ("07", "S07-04-002", 3, "/", 15, "4", "anger", None),
    ("30", "S30-07-001", 1, 6, 10, "4", "others", "x"),
)


def write_mmew(top, *, by_subject=False):
    for row in MMEW_ROWS:
        emotion = f"S{row[0]}/{row[6]}" if by_subject else row[6]
        write_frames(top / "Micro_Expression" / emotion / row[1], range(1, row[4] + 1), "{}.jpg")
    write_book(top / "MMEW_Micro_Exp.xlsx", {"Sheet1": [MMEW_HEADER, *MMEW_ROWS]})
    return top / "Micro_Expression"


def write_smic(top):
    """Writes SMIC HS: two people, three clips."""
    hs = top / "SMIC_all_raw" / "HS"
    for clip, class_name in (("s1_ne_01", "negative"), ("s1_sur_01", "surprise"), ("s20_po_01", "positive")):
        subject = clip.partition("_")[0]
        write_frames(hs / subject / "micro" / class_name / clip, range(34208, 34220), "image{:06d}.bmp", BMP)
    return hs


class Reading:
    """A corpus as a reader found it, in the classes of one of its variants."""

    def __init__(self, release, manual_dir, variant=None):
        chosen = release.find_variant(variant)
        self.corpus = release.read(manual_dir, chosen.part)
        self.report = make_report(self.corpus, chosen.scheme)
        self.class_names, self.provenance = chosen.scheme.class_names, self.corpus.provenance
        self.class_of = {each.clip_id: chosen.scheme.classify(each) for each in self.corpus.listed()}
        self.records = [each for each in self.corpus.records if self.class_of[each.clip_id]]
        self.by_id = {record.clip_id: record for record in self.records}
        self.unusable = {key: each for key, each in self.corpus.unusable.items() if self.class_of[key]}

    def told(self, *kinds):
        """The findings of these kinds; counts never fit a small tree."""
        return [sentence for kind in kinds for sentence in self.report.findings.get(kind, ())]
