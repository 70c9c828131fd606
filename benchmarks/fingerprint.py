"""What it costs to look at a folder of images before every start: the listing and the inventory.

    python benchmarks/fingerprint.py [--images 200000] [--classes 1000] [--repeats 3]

Makes files of one byte in a temporary folder (no image is decoded for an inventory) and looks at them as every start
does: once with an empty cache, which reads all contents, then again. Beside it, a plain loop that lists the folder and
asks for the size of every file: nobody can tell that a file has changed with less.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sklab.data.fingerprint import inventory
from sklab.data.kept import load_undecoded
from sklab.data.sets.image_folder import Spec


class Times(NamedTuple):
    """Seconds: on the clock, and of processor."""

    wall: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the look at a folder of images.")
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        os.environ["SKLAB_CACHE"] = f"{root}/cache"
        make_images(Path(root) / "images", options.images, options.classes)
        spec = Spec(name="image_folder", root=f"{root}/images", num_classes=options.classes)
        first = timed(lambda: look(spec))
        pairs = [(timed(lambda: look(spec)), timed(lambda: plain(f"{root}/images"))) for _ in range(options.repeats)]
    looks, plains = zip(*pairs, strict=True)
    print(f"{options.images} images in {options.classes} classes, {options.repeats} times each")
    print(f"first look   {first.wall:.2f} s; processor: {first.cpu:.2f} s")
    print(f"later look   best {min(looks).wall:.2f} s; processor: best {min(each.cpu for each in looks):.2f} s")
    print(f"plain loop   best {min(plains).wall:.2f} s; processor: best {min(each.cpu for each in plains):.2f} s")
    print(f"ratio        {min(looks).wall / min(plains).wall:.2f}  (later look / plain loop, wall time, of the best)")


def look(spec: Spec) -> None:
    inventory(spec, load_undecoded(spec))


def plain(root: str) -> None:
    files = [f"{folder}/{name}" for folder, _, names in os.walk(root) for name in names]
    sum(os.stat(file).st_size for file in files)  # noqa: PTH116 - as plain as it can be


def timed(call: Callable[[], None]) -> Times:
    start, before = time.perf_counter(), time.process_time()
    call()
    return Times(time.perf_counter() - start, time.process_time() - before)


def make_images(root: Path, images: int, classes: int) -> None:
    """A training and a validation folder, a tenth of the images in the latter."""
    for at in range(images):
        folder = root / ("val" if at % 10 == 0 else "train") / f"class{at // 10 % classes:04d}"
        if at < 10 * classes:
            folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{at:07d}.jpg").write_bytes(bytes([at % 256]))


if __name__ == "__main__":
    main()
