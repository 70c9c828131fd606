"""Records of attention that are made up: two cells of three units, whose attention follows scale less and less."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sklab.spec.analysis import Analysis, AttentionSummary
from sklab.store.study_folder import StudyFolder

UNITS = ("SK_2_1", "SK_3_1", "SK_4_1")
SCALES = (1.0, 1.5, 2.0)
SLOPES = (0.10, 0.04, 0.001)


def summary(key: str, seed: int, classes: tuple[str, ...] = ("0", "1", "2"), windows: tuple[int, ...] = (3, 5)) -> dict:
    bins = (0.0, 0.5, 1.0)
    units = [
        {
            "name": name,
            "kernels": windows,
            "channels": 4,
            "mean": _branches(windows, [[0.01 * at + slope * size + 0.01 * seed for size in bins] for at in range(3)]),
            "spread": _branches(windows, [[0.0] * 3] * 3),
            "slope": (-slope - 0.001 * seed, *[0.0] * (len(windows) - 2), slope + 0.001 * seed),
        }
        for name, slope in zip(UNITS, SLOPES, strict=True)
    ]
    return {
        "key": key, "images": 9, "classes": classes, "scale_edges": (1.0, 1.7, 2.3, 3.0), "counts": [[1] * 3] * 3,
        "units": units, "samples": (),
    }  # fmt: skip


def _branches(windows: tuple[int, ...], more: list[list[float]]) -> list[list[list[float]]]:
    """[branch][class][bin]: what moves from the first branch to the last."""
    even = 1 / len(windows)
    first = [[even - value for value in row] for row in more]
    last = [[even + value for value in row] for row in more]
    return [first, *[[[even] * 3] * 3 for _ in windows[1:-1]], last]


def analysis(key: str, seed: int, field: int = 100) -> dict:
    units = [
        {
            "name": name,
            "kernels": (3, 5),
            "channels": 4,
            "mean": [(0.5 - slope * (scale - 1), 0.5 + slope * (scale - 1)) for scale in SCALES],
            "spread": [(0.0, 0.0)] * 3,
            "by_class": [[[0.4, 0.5, 0.45], [0.6, 0.5, 0.55]]] * 3,
            "slope": (-slope - 0.001 * seed, slope + 0.001 * seed),
        }
        for name, slope in zip(UNITS, SLOPES, strict=True)
    ]
    fields = [
        {
            "stage": name, "theoretical": 10 * at + 11, "area": field * at + seed, "height": 9, "width": 9,
            "major": 2.0, "minor": 1.5, "map": ((1.0,),),
        }
        for at, name in enumerate(UNITS, start=1)
    ]  # fmt: skip
    return {
        "key": key, "seed": seed, "data": {"name": "scaled_digits"}, "images": 9, "enlargements": SCALES,
        "classes": ("0", "1", "2"), "chosen": UNITS, "units": units, "samples": _samples(), "fields": fields,
        "field_images": 4, "device": "cpu", "torch": "2",
    }  # fmt: skip


def _samples() -> list[dict]:
    """Two images at three enlargements; the second channel follows the scale."""
    weights = [[[0.6, 0.7 - 0.2 * scale], [0.4, 0.3 + 0.2 * scale]] for scale in SCALES]
    return [
        {"image": image, "label": image % 3, "enlargement": scale, "weights": dict.fromkeys(UNITS, of)}
        for image in (4, 7)
        for scale, of in zip(SCALES, weights, strict=True)
    ]


def write(folder: Path, keys: Mapping[str, list[str]], *, analysed: bool) -> None:
    """The records of the runs of each cell, by seed."""
    for number, of_cell in enumerate(keys.values()):
        for seed, key in enumerate(of_cell):
            run = StudyFolder(folder).run(key)
            run.attention_file.write_text(AttentionSummary.model_validate(summary(key, seed)).model_dump_json())
            if analysed:
                made = Analysis.model_validate(analysis(key, seed, 100 + 40 * number))
                run.analysis_file.write_text(made.model_dump_json())
