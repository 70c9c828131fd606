"""The largest numbers that a setting may have, far above anything real: a slip of the keyboard is told as a fault, not
counted, enumerated or allocated."""

from __future__ import annotations

KERNEL = 1023  # pixels a side, and dilation
CHANNELS = 65_536  # of a stage as it is stated, groups and divisors of channels
STAGES = 8
UNITS = 1024  # of a network
BRANCHES = 16  # M
CONVOLUTIONS = 2048  # M times the units
MULTIPLIER = 64.0  # of all channels
CLASSES = 1_000_000
PIXELS = 16_384  # of an image's side
IMAGES = 10_000_000  # of a set that is drawn
EPOCHS = 1_000_000
BATCH = 1_048_576  # images, and batches per optimizer step
DEVICES = 1024
RATE = 1e38  # learning rate, weight decay, clipping, alpha of mixup: float32 ends there
FIGURE = 1e9  # published: error in %, millions of parameters, 10^9 multiply-accumulates
TRIALS = 100_000
LEVELS = 1000  # of a factor
CELLS = 10_000  # of a study
RUNS = 100_000  # of a study
MACHINES = 100_000  # what a cluster is asked for: runs at a time, cores, gigabytes
MINUTES = 10_000_000
NAME = 80  # letters of a study's
