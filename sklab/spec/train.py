"""A training recipe as a value."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from sklab.spec import limits
from sklab.spec.own.parts import AnyAugmentation, AnyOptimizer
from sklab.spec.study.vary import Sources, Vary
from sklab.spec.values import Seq, Value, ensure_no_broken_rule


class Augment(Value):
    """Random changes of a training image, drawn from the seed, the epoch, and the image or its place in the epoch.

    pad_crop             this many black pixels are added on each side; then the old size is cut out at a random place
                         (0: off)
    flip                 images are mirrored left-right with probability 1/2
    random_resized_crop  `[smallest, largest]` share of the area that is cut out at random, with an aspect of 3/4 to
                         4/3, and resized; for image files only (`null`: off)
    policy               torchvision's `RandAugment` or `TrivialAugmentWide`, with its own defaults but for the next two
                         (`null`: off)
    magnitude            how much an operation of `randaugment` changes
    operations           how many operations of `randaugment` an image goes through
    erase                probability of torchvision's `RandomErasing`: it sets a box of the normalised image to 0, which
                         is the mean pixel (0: off)
    own                  an augmentation of the user's own (`--code`), by its name, or `{name: ..., setting: ...}`; it
                         comes before the others
    """

    added: ClassVar[frozenset[str]] = frozenset({"policy", "magnitude", "operations", "erase", "own"})

    pad_crop: int = Field(default=0, ge=0, le=limits.PIXELS)
    flip: bool = False
    random_resized_crop: Seq[float] | None = None
    policy: Literal["randaugment", "trivialaugment"] | None = None
    magnitude: int = Field(default=9, ge=0, le=30)
    operations: int = Field(default=2, ge=1, le=limits.OPERATIONS)
    erase: float = Field(default=0.0, ge=0, le=1)
    own: AnyAugmentation = None

    @model_validator(mode="after")
    def _shares(self) -> Augment:
        shares = self.random_resized_crop
        if shares is not None and not (len(shares) == 2 and 0 < shares[0] <= shares[1] <= 1):
            raise ValueError("random_resized_crop is [smallest, largest] with 0 < smallest <= largest <= 1")
        return self


class TrainSpec(Value):
    """SGD with momentum, AdamW or an optimiser of the user's own, over epochs; the learning rate falls by steps or
    along a cosine after a warm-up.

    epochs               passes over the training images
    batch_size           images in a batch; images of an epoch that do not fill a batch are left out, other ones in each
                         epoch
    optimizer            SGD with momentum, AdamW, or an optimiser of the user's own (`--code`), by its name, or
                         `{name: ..., setting: ...}`
    lr                   the highest learning rate of the schedule
    momentum             momentum of SGD
    nesterov             SGD uses Nesterov's form of momentum
    betas                AdamW's decay of its running means of gradients and of squared gradients
    eps                  what AdamW adds to the root of the mean square
    weight_decay         SGD adds this share of each weight to its gradient (an L2 penalty); AdamW takes `weight_decay`
                         x learning rate of the weight off it, beside the gradient, and so needs larger values, often
                         0.01 to 0.1
    decay_norm_and_bias  weight decay acts on scales and shifts of norm layers and on biases too
    schedule             `cosine`: the learning rate falls along a cosine to 0 at the end; `step`: it is multiplied by
                         `step_factor` at every step
    step_every           epochs between two steps of `schedule: step`
    step_at              epochs after which `schedule: step` takes a step, such as `[150, 225]`; if the list is empty,
                         it takes one every `step_every` epochs
    step_factor          what a step multiplies the learning rate by
    warmup_epochs        epochs, or a fraction of one, in which the learning rate rises linearly from 0 to `lr`
    label_smoothing      share of every training label that is spread evenly over all classes
    loss                 the loss of training: the cross-entropy, or the mean over images and classes of the binary
                         cross-entropies (`bce`). The validation loss is the cross-entropy in both cases
    mixup                alpha of mixup: every batch is mixed with a permutation of itself, images and labels alike, by
                         one share from Beta(alpha, alpha) (0: off)
    cutmix               alpha of CutMix: a box of every image shows its partner, with an area of 1 - Beta(alpha,
                         alpha); labels are mixed by the areas (0: off). With `mixup` too, each batch has one of both at
                         random
    ema_decay            share of the moving average of the weights that stays at each optimizer step; the averaged
                         weights are evaluated and kept (0: off)
    accumulate           batches whose gradients make one optimizer step: the effective batch has `accumulate` x
                         `batch_size` images
    clip_norm            largest norm of the gradient over all weights; a larger gradient is scaled down to it (0: off)
    precision            `bf16` and `fp16` compute in 16 bits where that is safe (autocast), and weights stay in 32;
                         `fp16` scales the loss and needs a GPU
    memory_format        `channels_last`: the channels of a pixel lie beside each other in memory, which is often faster
    compile              the network is compiled by `torch.compile`: it starts slower, then runs faster, and the last
                         bits of results change
    deterministic        a GPU takes only algorithms that give the same bits every time; the CPU always does
    devices              devices of one machine that share every batch; `batch_size` counts the images of all of them
    augment              random changes of training images
    vary                 the sources of chance that vary with the seed (`null`: the seed decides all of them but the
                         split). In a sweep, the key `vary` of the sweep file sets it for all cells
    trunk_lr             share of the learning rate for the weights that the network starts from (0: they are frozen)
    freeze               globs over the paths of modules whose weights are frozen
    """

    added: ClassVar[frozenset[str]] = frozenset(
        {
            *("decay_norm_and_bias", "step_at", "mixup", "ema_decay", "accumulate", "clip_norm", "compile"),
            *("deterministic", "devices", "vary", "betas", "eps", "trunk_lr", "freeze", "cutmix", "loss"),
        }
    )

    epochs: int = Field(ge=1, le=limits.EPOCHS)
    batch_size: int = Field(ge=2, le=limits.BATCH)
    optimizer: AnyOptimizer = "sgd"
    lr: float = Field(gt=0, le=limits.RATE)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    betas: Seq[Annotated[float, Field(ge=0, lt=1)]] = Field(default=(0.9, 0.999), min_length=2, max_length=2)
    eps: float = Field(default=1e-8, gt=0, le=1)
    weight_decay: float = Field(default=1e-4, ge=0, le=limits.RATE)
    decay_norm_and_bias: bool = True
    schedule: Literal["step", "cosine"] = "cosine"
    step_every: int = Field(default=30, ge=1, le=limits.EPOCHS)  # epochs between two steps
    step_at: Seq[Annotated[int, Field(le=limits.EPOCHS)]] = Field(default=(), max_length=1000)
    step_factor: float = Field(default=0.1, gt=0, lt=1)
    warmup_epochs: float = Field(default=0.0, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    loss: Literal["cross_entropy", "bce"] = "cross_entropy"
    mixup: float = Field(default=0.0, ge=0, le=limits.RATE)
    cutmix: float = Field(default=0.0, ge=0, le=limits.RATE)
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    accumulate: int = Field(default=1, ge=1, le=limits.BATCH)
    clip_norm: float = Field(default=0.0, ge=0, le=limits.RATE)
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    memory_format: Literal["contiguous", "channels_last"] = "contiguous"
    compile: bool = False
    deterministic: bool = True
    devices: int = Field(default=1, ge=1, le=limits.DEVICES)
    augment: Augment = Augment()
    vary: Vary | None = None
    trunk_lr: float = Field(default=1.0, ge=0, le=limits.RATE)
    freeze: Seq[Annotated[str, Field(min_length=1, max_length=limits.NAME)]] = Field(default=(), max_length=100)

    @field_validator("step_at")
    @classmethod
    def _rising(cls, epochs: tuple[int, ...]) -> tuple[int, ...]:
        if list(epochs) != sorted(set(epochs)) or min(epochs, default=1) < 1:
            raise ValueError("step_at is a list of epochs from 1 up, each later than the one before")
        return epochs

    @model_validator(mode="after")
    def _possible(self) -> TrainSpec:
        ensure_no_broken_rule(self._broken())
        return self

    def sources(self, seed: int) -> Sources:
        """The sources of chance of the run with this seed."""
        return self.vary.sources(seed) if self.vary else Sources(seed, seed, seed, 0)

    @property
    def libraries(self) -> tuple[str, ...]:
        """The optional libraries that decide what is trained."""
        return ("torchvision",) if self.augment.policy or self.augment.erase else ()

    @property
    def launched_singly(self) -> tuple[str, ...]:
        """The settings, as in a YAML file, for which every operation of a step is launched by itself on a GPU as well,
        where otherwise the whole step would be one launch. None: ()."""
        replayable: dict[str, tuple[Any, ...]] = {
            "optimizer": ("sgd",),
            "accumulate": (1,),
            "precision": ("fp32", "bf16"),
            "compile": (False,),
            "devices": (1,),
            "augment.policy": (None,),
            "augment.erase": (0.0,),
            "augment.own": (None,),
        }
        return tuple(
            f"train.{name} = {str(value).lower()}"
            for name, allowed in replayable.items()
            if (value := attrgetter(name)(self)) not in allowed
        )

    def _broken(self) -> Iterator[str]:
        if self.nesterov and self.momentum == 0:
            yield "nesterov needs a momentum above 0"
        if self.warmup_epochs >= self.epochs:
            yield f"warmup_epochs = {self.warmup_epochs} leaves nothing of epochs = {self.epochs}"
        if self.batch_size % self.devices or self.batch_size < 2 * self.devices:
            yield (
                f"batch_size = {self.batch_size} can't be shared by devices = {self.devices}; allowed: a multiple of "
                f"devices, with at least 2 images each"
            )
