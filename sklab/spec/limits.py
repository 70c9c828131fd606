"""The largest values of settings, far above anything real: a typing mistake becomes a fault, and nothing is counted,
enumerated or allocated for it."""

from __future__ import annotations

KERNEL = 1023  # pixels a side, and dilation
CHANNELS = 65_536  # of a stage as stated; also groups, and divisors of channels
STAGES = 8
UNITS = 1024  # of a network
BRANCHES = 16  # M
CONVOLUTIONS = 2048  # M times the units
MULTIPLIER = 64.0  # of all channels
CLASSES = 1_000_000
PIXELS = 16_384  # of an image's side
IMAGES = 10_000_000  # of a set that is drawn
EPOCHS = 1_000_000
OPERATIONS = 100  # on one image
BATCH = 1_048_576  # images, and batches per optimizer step
DEVICES = 1024
FRESH = 1000  # seeds of a source of chance in a block, and runs of a block
RATE = 1e38  # learning rate, weight decay, clipping, alpha of mixup: float32 ends there
FIGURE = 1e9  # published: error in %, millions of parameters, 10^9 multiply-accumulates
TRIALS = 100_000
LEVELS = 1000  # of a factor
CELLS = 10_000  # of a study
RUNS = 100_000  # of a study
MACHINES = 100_000  # requests to a cluster: runs at a time, cores, gigabytes
MINUTES = 10_000_000
NAME = 80  # letters of a study's
