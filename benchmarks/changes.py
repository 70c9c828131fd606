"""What torchvision's changes of a training image cost: microseconds of one processor core per image.

    python benchmarks/changes.py [--images 300] [--repeats 5]

Parts of the two photographs that come with scikit-learn, in one thread, changed as a run changes them; the best of the
repeats, by processor time. For comparison, what a worker needs to decode a JPEG of 500 x 375 pixels (quality 90) and to
cut a random part of 224 pixels a side out of it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from loader import write_images
from sklearn.datasets import load_sample_images
from torch import Tensor

from sklab.data.augment import crop_draws
from sklab.data.changes.policies import Changes
from sklab.data.formats.decode import decode, random_resized
from sklab.spec.train import Augment

CHANGES = {
    "randaugment": Augment(policy="randaugment"),
    "trivialaugment": Augment(policy="trivialaugment"),
    "erase: 0.25": Augment(erase=0.25),
}
SHAPES = ((1, 32), (3, 32), (3, 96), (3, 224))


def photographs(channels: int, side: int, count: int) -> Tensor:
    """uint8 [count, channels, side, side]: random parts of two photographs."""
    random, parts = np.random.default_rng(0), []
    photos = load_sample_images().images  # 427 x 640
    for at in range(count):
        top, left = random.integers(427 - side + 1), random.integers(640 - side + 1)
        parts.append(photos[at % 2][top : top + side, left : left + side, :channels])
    return torch.from_numpy(np.stack(parts)).permute(0, 3, 1, 2).contiguous()


def best(work: Callable[[int], object], images: int, repeats: int) -> float:
    """Microseconds of processor per image; `work` is called with the number of the epoch."""
    work(0)
    seconds = []
    for epoch in range(1, repeats + 1):
        began = time.process_time()
        work(epoch)
        seconds.append(time.process_time() - began)
    return min(seconds) / images * 1e6


def changing(augment: Augment, images: Tensor) -> Callable[[int], object]:
    changes, normalised, indices = Changes(augment, 0), images.float(), range(len(images))
    if augment.policy:
        return lambda epoch: changes.by_policy(images, epoch, indices)
    return lambda epoch: changes.erased(normalised, epoch, indices)


def decoding(files: list[Path]) -> Callable[[int], object]:
    return lambda epoch: [
        decode(str(file), 224, random_resized((0.08, 1.0), crop_draws(0, epoch, index)))
        for index, file in enumerate(files)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Microseconds per image.")
    for name, default in (("images", 300), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for channels, side in SHAPES:
        images = photographs(channels, side, options.images)
        for name, augment in CHANGES.items():
            cost = best(changing(augment, images), len(images), options.repeats)
            print(f"{channels} x {side} x {side}, {name}: {cost:.0f}")
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), options.images, 500, 375)
        files = sorted((Path(folder) / "train").rglob("*.jpg"))
        print(f"decode and cut 224 x 224: {best(decoding(files), len(files), options.repeats):.0f}")


if __name__ == "__main__":
    main()
