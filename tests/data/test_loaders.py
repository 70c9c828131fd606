import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sklab.data.augment import Share
from sklab.data.loaders import open_loaders
from sklab.data.sets.scaled_digits import Spec, load
from sklab.errors import SklabError
from sklab.spec.train import Augment, TrainSpec

CPU = torch.device("cpu")
SPEC = Spec(train_size=100, val_size=50)
AUGMENT = Augment(pad_crop=2, flip=True)
RECIPE = TrainSpec(epochs=2, batch_size=32, lr=0.1, augment=AUGMENT)


def epoch(loader, number):
    loader.sampler.set_epoch(number)
    images, labels = zip(*loader, strict=True)
    return torch.cat(images), torch.cat(labels)


def test_batches_are_full_in_training_and_complete_in_validation():
    loaders = open_loaders(SPEC, RECIPE, 0, CPU)
    assert [len(labels) for _, labels in loaders.train] == [32, 32, 32]
    assert [len(labels) for _, labels in loaders.val] == [32, 18]
    assert (len(loaders.train), len(loaders.val)) == (3, 2)
    images, labels = next(iter(loaders.train))
    assert (images.shape, images.dtype, labels.dtype) == ((32, 1, 32, 32), torch.float32, torch.int64)


@pytest.mark.parametrize("share", [Share(), Share(1, 2)])
def test_each_device_knows_the_images_of_all_and_the_error_of_guessing(share):
    facts, labels = open_loaders(SPEC, RECIPE, 0, CPU, share).facts, load(SPEC).val.labels
    assert (facts.val_images, facts.guessing_error) == (50, 100 - 2 * np.bincount(labels).max())


def test_two_instances_give_the_same_bits():
    ours, theirs = (open_loaders(SPEC, RECIPE, 3, CPU).train for _ in range(2))
    list(theirs)  # what was asked before changes nothing
    for number in (0, 1):
        assert all(map(torch.equal, epoch(ours, number), epoch(theirs, number)))


def test_epochs_and_seeds_differ():
    train = open_loaders(SPEC, RECIPE, 0, CPU).train
    other = open_loaders(SPEC, RECIPE, 1, CPU).train
    assert not torch.equal(epoch(train, 0)[0], epoch(train, 1)[0])
    assert not torch.equal(epoch(train, 0)[0], epoch(other, 0)[0])


def test_the_seed_of_a_run_never_moves_the_data():
    ours, theirs = (open_loaders(SPEC, RECIPE, seed, CPU) for seed in (0, 1))
    assert all(
        torch.equal(*pair) for pair in zip(*[torch.cat([x for x, _ in one.val]) for one in (ours, theirs)], strict=True)
    )
    assert np.array_equal(ours.val_extras["scale"], theirs.val_extras["scale"])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 3), st.integers(0, 5))
def test_an_epoch_can_go_on_at_any_batch(skipped, number):
    train = open_loaders(SPEC, RECIPE, 0, CPU).train
    train.sampler.set_epoch(number)
    whole = list(train)
    train.skip(skipped)
    tail = list(train)
    assert len(tail) == len(whole) - skipped
    assert all(all(map(torch.equal, one, other)) for one, other in zip(whole[skipped:], tail, strict=True))
    assert all(map(torch.equal, epoch(train, number), (torch.cat(parts) for parts in zip(*whole, strict=True))))


def test_networks_see_the_same_batches_and_batches_leave_their_dropout_alone():
    torch.manual_seed(0)
    train, state = open_loaders(SPEC, RECIPE, 0, CPU).train, torch.get_rng_state()
    quiet = epoch(train, 0)
    assert torch.equal(torch.get_rng_state(), state)
    noisy = []
    for batch in train:
        torch.rand(7)
        noisy.append(batch[0])
    assert torch.equal(torch.cat(noisy), quiet[0])


def test_without_augmentation_an_epoch_is_the_data_set_in_another_order():
    plain = open_loaders(SPEC, RECIPE.model_copy(update={"augment": Augment(), "batch_size": 50}), 0, CPU).train
    images, labels = epoch(plain, 0)
    train, order = load(SPEC).train, plain.sampler.permutation()
    pixels = ((images * Spec.std[0] + Spec.mean[0]) * 255).round().to(torch.uint8)
    assert np.array_equal(pixels.numpy(), train.images[order])
    assert np.array_equal(labels.numpy(), train.labels[order])


def test_validation_keeps_the_order_of_its_extras():
    loaders, val = open_loaders(SPEC, RECIPE, 0, CPU), load(SPEC).val
    assert torch.cat([labels for _, labels in loaders.val]).tolist() == val.labels.tolist()
    assert np.array_equal(loaders.val_extras["scale"], val.extras["scale"])


def test_pixels_are_normalised():
    images = torch.cat(
        [
            images
            for images, _ in open_loaders(
                Spec(train_size=10, val_size=1000), TrainSpec(epochs=1, batch_size=8, lr=0.1), 0, CPU
            ).val
        ]
    )
    assert abs(images.mean()) < 0.05
    assert abs(images.std() - 1) < 0.05


def test_a_crop_made_for_files_is_refused():
    recipe = RECIPE.model_copy(update={"augment": Augment(random_resized_crop=(0.5, 1.0))})
    with pytest.raises(
        SklabError, match=r"scaled_digits: train\.augment\.random_resized_crop = \[0\.5, 1\.0\].*pad_crop"
    ):
        open_loaders(SPEC, recipe, 0, CPU)


def test_a_batch_larger_than_the_set_is_refused():
    with pytest.raises(SklabError, match=r"batch_size = 101 but the train split has 100 images; allowed: 2 to 100"):
        open_loaders(SPEC, RECIPE.model_copy(update={"batch_size": 101}), 0, CPU)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # lightning 2.6 with torch 2.13
def test_lightning_moves_the_epochs_on():
    from lightning.pytorch import LightningModule, Trainer

    class Watch(LightningModule):
        def __init__(self):
            super().__init__()
            self.net, self.seen, self.validated = nn.Linear(1024, 10), [], 0

        def training_step(self, batch):
            self.seen.append(batch[0])
            return nn.functional.cross_entropy(self.net(batch[0].flatten(1)), batch[1])

        def validation_step(self, batch):
            self.validated += len(batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    loaders, watch = open_loaders(SPEC, RECIPE, 0, CPU), Watch()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    Trainer(accelerator="cpu", max_epochs=2, num_sanity_val_steps=0, log_every_n_steps=1, **quiet).fit(
        watch, loaders.train, loaders.val
    )
    expected = torch.cat([epoch(loaders.train, number)[0] for number in (0, 1)])
    assert torch.equal(torch.cat(watch.seen), expected)
    assert watch.validated == 100
