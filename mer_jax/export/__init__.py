"""Predicted intervals in the forms that other programs open, one file each.

| module | file | opened by |
|---|---|---|
| `intervals_csv` | `intervals.csv` | anything; one row an interval |
| `frames_csv` | `frames.csv` | scripts for OpenFace and py-feat; one row a frame and face |
| `elan` | `<video>.eaf` | ELAN |
| `textgrid` | `<video>.TextGrid` | Praat; ELAN imports it |
| `webvtt` | `<video>.vtt` | video players, as subtitles |
| `boris` | `<video>.boris`, `boris.csv` | BORIS; readers of its aggregated export |
| `bids` | `<video>_events.tsv`, `<video>_events.json` | BIDS, neuroimaging |
| `json_lines` | `intervals.jsonl` | scripts |

Every function takes a `PredictedVideo` and returns text. Each file is whole where nothing was found, too.
"""
