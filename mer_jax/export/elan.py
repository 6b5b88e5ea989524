"""`.eaf`, the annotation format of ELAN, version 3.0: one tier for each face and kind, times in milliseconds.

Source: the schema EAFv3.0.xsd of the Max Planck Institute for Psycholinguistics.
"""

import datetime
import mimetypes
import os
import xml.etree.ElementTree as ET
from pathlib import Path

from mer_jax.export.tiers import divide_into_tiers
from mer_jax.prediction.usage import usage_notes
from mer_jax.prediction.video import PredictedVideo
from mer_jax.system.files import printable

_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_TYPE = "expression"


def format_elan(video: PredictedVideo, folder: Path, *, now: datetime.datetime | None = None) -> str:
    """Returns the document.

    Args:
        video: What was found.
        folder: Where the file will be: the video is linked relative to it.
        now: Date of the document; None takes the time of the call.
    """
    ET.register_namespace("xsi", _XSI)
    now = now or datetime.datetime.now(datetime.UTC)
    document = ET.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": f"mer_jax, model {printable(video.model)}",
            "DATE": now.isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            f"{{{_XSI}}}noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
        },
    )
    header = ET.SubElement(document, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    relative = Path(os.path.relpath(video.path, folder)).as_posix()
    ET.SubElement(
        header,
        "MEDIA_DESCRIPTOR",
        {
            "MEDIA_URL": _as_url(video.path),
            "MIME_TYPE": mimetypes.guess_type(video.path)[0] or "video/mp4",
            "RELATIVE_MEDIA_URL": printable(relative if relative.startswith(".") else f"./{relative}"),
        },
    )
    for number, note in enumerate(usage_notes(video.provenance, spotted=video.spotted), 1):
        ET.SubElement(header, "PROPERTY", {"NAME": f"use {number}"}).text = note
    tiers = divide_into_tiers(video)
    order, elements, slots, annotations = ET.SubElement(document, "TIME_ORDER"), [], 0, 0
    for name, intervals in tiers.items():
        tier = ET.Element("TIER", {"LINGUISTIC_TYPE_REF": _TYPE, "TIER_ID": name})
        for each in intervals:
            references = []
            for seconds in (each.onset_s, each.end_s):
                slots += 1
                slot = {"TIME_SLOT_ID": f"ts{slots}", "TIME_VALUE": str(round(1000 * seconds))}
                ET.SubElement(order, "TIME_SLOT", slot)
                references.append(f"ts{slots}")
            annotations += 1
            annotation = ET.SubElement(
                ET.SubElement(tier, "ANNOTATION"),
                "ALIGNABLE_ANNOTATION",
                {"ANNOTATION_ID": f"a{annotations}", "TIME_SLOT_REF1": references[0], "TIME_SLOT_REF2": references[1]},
            )
            ET.SubElement(annotation, "ANNOTATION_VALUE").text = each.text
        elements.append(tier)
    document.extend(elements)
    ET.SubElement(
        document,
        "LINGUISTIC_TYPE",
        {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": _TYPE, "TIME_ALIGNABLE": "true"},
    )
    ET.indent(document)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(document, encoding="unicode")}\n'


def _as_url(path: str) -> str:
    return Path(os.fsencode(os.path.abspath(path)).decode(errors="replace")).as_uri()
