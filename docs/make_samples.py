"""Draws docs/scaled_digits.png: training canvases of each class, the digit growing from left to right."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from sklab.data.sets.scaled_digits import SCALES, Spec, load

COLUMNS = 9


def main() -> None:
    """Write the sheet beside this file."""
    train = load(Spec()).train
    targets = np.linspace(*SCALES, COLUMNS)
    figure, axes = plt.subplots(10, COLUMNS, figsize=(COLUMNS * 0.75, 8), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.03, w_pad=0.02, hspace=0.02, wspace=0.02)
    for label, row in enumerate(axes):
        members = np.flatnonzero(train.labels == label)
        for axis, target in zip(row, targets, strict=True):
            nearest = members[np.abs(train.extras["scale"][members] - target).argmin()]
            axis.imshow(train.images[nearest, 0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(str(label), rotation=0, labelpad=10, va="center", fontsize=11)
    for axis, target in zip(axes[0], targets, strict=True):
        axis.set_title(f"{target:.2f}×", fontsize=9)
    figure.supxlabel("scale: canvas pixels per source pixel", fontsize=10)
    figure.supylabel("class", fontsize=10)
    figure.savefig(Path(__file__).with_name("scaled_digits.png"), dpi=110)


if __name__ == "__main__":
    main()
