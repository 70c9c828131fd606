"""How many images a second the loader of image files gives, beside a plain pipeline of PIL and torch's DataLoader.

    python benchmarks/loader.py [--images 512] [--workers 2] [--width 500] [--height 375] [--repeats 5]

Makes JPEGs (quality 90, 4:2:0; parts of the two photographs that come with scikit-learn) in a temporary folder and lets
both give the same output: batches of normalised float32 [B, 3, 224, 224] with labels on the device. Training: a random
part of the image, mirrored at random.
Evaluation: the shorter side to 256, the middle 224. They take turns, an epoch each; the first is not counted, the best
of the others is, by the clock and by processor time, which a busy machine spoils less. The plain pipeline, written out
below, is what one writes with PIL alone: every step per image, in as many worker processes.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sklab.data.loaders import Loaders, open_loaders
from sklab.data.sets.image_folder import Spec
from sklab.spec.train import Augment, TrainSpec

BATCH, SIZE, RESIZE, SHARES = 64, 224, 256, (0.08, 1.0)
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


class Plain(Dataset[tuple[Tensor, int]]):
    """Decode, cut, resize, mirror, to float, normalise: one image after the other."""

    def __init__(self, folder: Path, part: Callable[[Image.Image], Image.Image]) -> None:
        classes = sorted(path for path in folder.iterdir())
        self.files = [(str(file), label) for label, each in enumerate(classes) for file in sorted(each.iterdir())]
        self.part = part

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        file, label = self.files[index]
        with Image.open(file) as image:
            part = self.part(image.convert("RGB"))
        pixels = torch.from_numpy(np.array(part)).permute(2, 0, 1).contiguous().float().div(255)
        return pixels.sub(MEAN).div(STD), label


def random_part(image: Image.Image) -> Image.Image:
    width, height = image.size
    for _ in range(10):
        area = width * height * float(torch.empty(1).uniform_(*SHARES))
        ratio = math.exp(float(torch.empty(1).uniform_(math.log(3 / 4), math.log(4 / 3))))
        across, down = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if across <= width and down <= height:
            break
    else:
        across = down = min(width, height)
    left, upper = int(torch.randint(width - across + 1, (1,))), int(torch.randint(height - down + 1, (1,)))
    part = image.crop((left, upper, left + across, upper + down)).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if torch.rand(1) < 0.5 else part


def middle(image: Image.Image) -> Image.Image:
    scale = RESIZE / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
    left, upper = (image.width - SIZE) // 2, (image.height - SIZE) // 2
    return image.crop((left, upper, left + SIZE, upper + SIZE))


def plain(root: Path, workers: int, device: torch.device) -> tuple[Iterable[tuple[Tensor, Tensor]], ...]:
    how = {"num_workers": workers, "pin_memory": device.type == "cuda", "persistent_workers": True}
    train = DataLoader(Plain(root / "train", random_part), BATCH, shuffle=True, drop_last=True, **how)
    return train, DataLoader(Plain(root / "val", middle), BATCH, **how)


def ours(root: Path, device: torch.device) -> Loaders:
    recipe = TrainSpec(epochs=1, batch_size=BATCH, lr=0.1, augment=Augment(random_resized_crop=SHARES, flip=True))
    return open_loaders(Spec(root=str(root), num_classes=2), recipe, 0, device)


class Rate(NamedTuple):
    """Of one epoch, with the worker processes of the epoch before: images a second on the clock, and of processor."""

    wall: float
    cpu: float


def rate(loader: Iterable[tuple[Tensor, Tensor]], device: torch.device) -> Rate:
    began, before, images = time.perf_counter(), processor(), 0
    for batch, labels in loader:
        images += len(batch.to(device, non_blocking=True)) * (len(labels.to(device)) > 0)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return Rate(images / (time.perf_counter() - began), images / (processor() - before))


def processor() -> float:
    """Seconds of processor that this process and its workers have used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    stats = [Path(f"/proc/{child.pid}/stat").read_text() for child in multiprocessing.active_children()]
    ticks = sum(int(ticks) for stat in stats for ticks in stat.rpartition(")")[2].split()[11:13])
    return used.ru_utime + used.ru_stime + ticks / os.sysconf("SC_CLK_TCK")


def write_images(root: Path, images: int, width: int, height: int) -> int:
    """Parts of two photographs in two classes and both splits; the mean number of their bytes."""
    random = np.random.default_rng(0)
    photos = [Image.fromarray(photo) for photo in load_sample_images().images]  # 640 x 427
    size = 0
    for at in range(min(images, 64)):
        across = random.integers(400, 560)
        down = min(round(across * height / width), 427)
        left, upper = random.integers(640 - across + 1), random.integers(427 - down + 1)
        part = (left, upper, left + across, upper + down)
        picture = photos[at % 2].resize((width, height), Image.Resampling.BICUBIC, part)
        for number in range(at, images, 64):
            for split in ("train", "val"):
                file = root / split / "ab"[number % 2] / f"{number}.jpg"
                file.parent.mkdir(parents=True, exist_ok=True)
                picture.save(file, quality=90)
        size += file.stat().st_size
    return size // min(images, 64)


def main() -> None:
    parser = argparse.ArgumentParser(description="Images a second, beside a plain pipeline.")
    for name, default in (("images", 512), ("workers", 2), ("width", 500), ("height", 375), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.workers)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        size = write_images(root, options.images, options.width, options.height)
        print(f"{options.images} JPEGs of {options.width} x {options.height}, {size} bytes, {options.workers} workers")
        mine, theirs = ours(root, device), plain(root, options.workers, device)
        for name, pair in (("training", (mine.train, theirs[0])), ("evaluation", (mine.val, theirs[1]))):
            rates = [[rate(loader, device) for loader in pair] for _ in range(options.repeats + 1)][1:]
            for what in Rate._fields:
                sklab, pil = (max(getattr(each, what) for each in side) for side in zip(*rates, strict=True))
                print(f"{name}, {what}: sklab {sklab:.0f} images/s, plain {pil:.0f} images/s, ratio {sklab / pil:.2f}")


if __name__ == "__main__":
    main()
