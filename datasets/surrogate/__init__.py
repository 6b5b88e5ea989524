"""Rendered faces in the release layouts of licensed corpora, for use where no licensed copy is at hand.

No pixel, name or annotation of a real corpus is in here: only folder layouts, counts and
geometry, which are public. A face is MediaPipe's canonical mesh with a random shape, painted
and then moved by action-unit fields of known class, onset, apex and offset.

    mesh        the canonical mesh, parsed out of face_landmarker.task
    identity    a random subject
    drawing     painting primitives
    portrait    the neutral face of a subject (features: eyes, brows, nose, lips, hair)
    action_units  what each action unit moves and shades
    renderer    a portrait in motion
    camera      exposure, noise and encoding
    scenario    what happens in a clip; the difficulty presets
    emotions    what an annotated emotion moves, and how coders would write it down
    curves      smooth curves over time
    repertoire  version 2: more ways to move for one class
    plan        what a corpus consists of, before any pixel
    dealing     labels dealt out so that the published counts come out
    workbook    annotation spreadsheets, with formulas and their stored values
    quirks      what goes wrong in real copies
    smic, smic_extended, casme2, samm, casme_squared  the plan of each release
    long_timeline  when things happen in a long video
    long_scenario  what a long video shows, as curves
    long_plan      what the corpora of long videos share
    long_casme_squared, long_samm  the plan of each
    long_video, avi  a long video into a file, frame by frame
    writer      a plan onto the disk: parallel, atomic, resumable
    corpus      `render_corpus`, the one function that others call

How hard the surrogate is, and how that was measured, stands in `scenario.DIFFICULTIES`. The
amplitudes are an assumption: there is no published table of micro-expression displacements.
"""
