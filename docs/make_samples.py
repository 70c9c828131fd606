"""Draws docs/scaled_digits.png and docs/photo_patches.png: images of each class, growing from left to right."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from sklab.data.base import Splits
from sklab.data.sets import photo_patches, scaled_digits

COLUMNS = 9


def main() -> None:
    """Write the sheets beside this file."""
    digits, photos = scaled_digits.load(scaled_digits.Spec()), photo_patches.load(photo_patches.Spec())
    _draw("scaled_digits", digits, scaled_digits.SCALES, "scale: canvas pixels per source pixel")
    _draw("photo_patches", photos, photo_patches.SCALES, "scale: how many times larger things are than at 1×")


def _draw(name: str, splits: Splits, scales: tuple[float, float], caption: str) -> None:
    train, targets = splits.train, np.linspace(*scales, COLUMNS)
    figure, axes = plt.subplots(10, COLUMNS, figsize=(COLUMNS * 0.75, 8), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.03, w_pad=0.02, hspace=0.02, wspace=0.02)
    for label, row in enumerate(axes):
        members = np.flatnonzero(train.labels == label)
        for axis, target in zip(row, targets, strict=True):
            nearest = members[np.abs(train.extras["scale"][members] - target).argmin()]
            pixels = train.images[nearest].transpose(1, 2, 0)
            axis.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(splits.classes[label], rotation=0, ha="right", va="center", fontsize=11)
    for axis, target in zip(axes[0], targets, strict=True):
        axis.set_title(f"{target:.2f}×", fontsize=9)
    figure.supxlabel(caption, fontsize=10)
    figure.supylabel("class", fontsize=10)
    figure.savefig(Path(__file__).with_name(f"{name}.png"), dpi=110)


if __name__ == "__main__":
    main()
