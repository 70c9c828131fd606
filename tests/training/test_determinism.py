"""How a GPU is set to compute, told without one: torch holds its flags in every build."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from unittest.mock import Mock

import pytest
import torch

from sklab.errors import SklabError
from sklab.models import numerics
from sklab.models.zoo import Signature
from sklab.spec.jobs import Checked, CheckOrder, CheckResult
from sklab.store.hardware import Hardware
from sklab.store.records import RunRecord
from sklab.store.run_folder import RunFolder
from sklab.training import jobs
from sklab.training.attention.analyze import analyze
from sklab.training.determinism import arithmetic, gpu_names, set_arithmetic
from sklab.training.evaluate import evaluate
from sklab.training.fit import Process
from sklab.training.jobs import check, probe
from sklab.training.run import Attempt, train

SMALL = Signature(4, 4, kernel=(3, 3), stride=(1, 1), padding=(1, 1), dilation=(1, 1), groups=2, height=8, width=8)
GPU, CPU = torch.device("cuda"), torch.device("cpu")


def flags() -> dict[str, object]:
    return {
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn_only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "cudnn": torch.backends.cudnn.deterministic,
        "benchmark": torch.backends.cudnn.benchmark,
        "fill": torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        "convolutions": torch.backends.cudnn.conv.fp32_precision,
        "matrices": torch.get_float32_matmul_precision(),
        "workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    }


SETTLED = {
    "deterministic": True,
    "warn_only": True,
    "cudnn": True,
    "benchmark": False,
    "fill": False,
    "convolutions": "tf32",
    "matrices": "highest",
    "workspace": ":4096:8",
}


@pytest.fixture(autouse=True)
def unsettled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that nobody has settled; the tests after this one find torch's flags as they were."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "before")
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    held = flags()
    yield
    torch.use_deterministic_algorithms(bool(held["deterministic"]), warn_only=bool(held["warn_only"]))
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = bool(held["cudnn"]), bool(held["benchmark"])
    torch.utils.deterministic.fill_uninitialized_memory = held["fill"]  # type: ignore[attr-defined]
    torch.backends.cudnn.conv.fp32_precision = str(held["convolutions"])
    torch.set_float32_matmul_precision(str(held["matrices"]))
    torch.backends.mkldnn.matmul.fp32_precision = "none"


@pytest.fixture
def broken_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA can't start, as with a driver that is too old for torch."""

    def fail() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040)")

    monkeypatch.setattr(torch.cuda, "_lazy_init", fail)


def test_a_gpu_is_set_to_give_the_same_bits_every_time():
    torch.backends.cudnn.benchmark = True
    set_arithmetic(GPU, deterministic=True)
    assert flags() == SETTLED


def test_the_recipe_may_lift_that_and_the_next_run_of_the_process_has_it_back():
    set_arithmetic(GPU, deterministic=False)
    assert flags() == {**SETTLED, "deterministic": False, "cudnn": False}
    set_arithmetic(GPU, deterministic=True)
    assert flags() == SETTLED


def test_a_process_on_the_cpu_stays_as_it_is():
    before = flags()
    set_arithmetic(CPU, deterministic=True)
    assert (flags(), arithmetic(CPU)) == (before, None)


@pytest.mark.parametrize("deterministic", [True, False])
def test_the_flags_are_told_as_torch_has_them_not_as_they_were_asked_for(deterministic, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    set_arithmetic(GPU, deterministic=deterministic)
    told = arithmetic(GPU)
    assert told is not None
    expected = {"cudnn": "9.10.2", "deterministic": deterministic, "convolutions": "tf32", "matrices": "ieee"}
    assert told.model_dump() == expected
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.conv.fp32_precision = "ieee"
    changed = arithmetic(GPU)
    assert changed is not None
    assert (changed.deterministic, changed.convolutions) == (False, "ieee")


def test_torchs_older_flags_agree_so_that_libraries_which_read_them_do_not_fail():
    torch.set_float32_matmul_precision("high")  # as TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1 does
    set_arithmetic(GPU, deterministic=True)
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == (False, True)


def test_an_environment_without_tf32_is_told_as_that(monkeypatch):
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    set_arithmetic(GPU, deterministic=True)
    told = arithmetic(GPU)
    assert told is not None
    assert told.convolutions == "ieee"


def test_a_cudnn_that_torch_refuses_is_no_version(monkeypatch):
    def refuse() -> int:
        raise RuntimeError("cuDNN version incompatibility")

    monkeypatch.setattr(torch.backends.cudnn, "version", refuse)
    told = arithmetic(GPU)
    assert told is not None
    assert told.cudnn == ""


def test_every_kind_of_gpu_is_named_once(monkeypatch):
    names = ["NVIDIA A100", "NVIDIA H100", "NVIDIA A100"]
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: names[device.index or 0])
    assert gpu_names(GPU) == "NVIDIA A100"
    assert gpu_names(torch.device("cuda", 1)) == "NVIDIA H100"
    assert gpu_names(GPU, 3) == "NVIDIA A100 + NVIDIA H100"


@pytest.mark.usefixtures("broken_cuda")
@pytest.mark.parametrize("deterministic", [True, False])
def test_cuda_that_can_not_start_leaves_a_record_that_tells_how_it_was_set(toy_order, tmp_path, deterministic):
    record = train(toy_order(train={"deterministic": deterministic}), RunFolder(tmp_path), GPU)
    assert RunFolder(tmp_path).read_record() == record
    assert (record.status, record.hardware and record.hardware.device_name) == ("failed", "unknown GPU")
    assert record.reason.startswith("The NVIDIA driver on your system is too old")
    assert record.hardware is not None
    assert record.hardware.arithmetic is not None
    assert record.hardware.arithmetic.deterministic is deterministic
    assert flags()["workspace"] == ":4096:8"


@pytest.mark.usefixtures("broken_cuda")
def test_what_is_done_with_kept_weights_is_set_in_the_same_way(toy_order, tmp_path):
    folder = RunFolder(tmp_path)
    order = toy_order()
    folder.write_order(order)
    train(order, folder, CPU)
    for use in (lambda: evaluate(folder, None, "cuda"), lambda: analyze(folder, {}, (1.0,), "cuda")):
        torch.use_deterministic_algorithms(False)
        with pytest.raises(SklabError, match=r"the GPU can't be used: The NVIDIA driver .* too old .*; --cpu"):
            use()
        assert flags() == SETTLED


@pytest.mark.usefixtures("broken_cuda")
def test_a_price_is_measured_as_the_run_would_compute(toy_order, tmp_path):
    experiment = toy_order().spec.experiment
    (tmp_path / "probe.json").write_text(f'{{"experiment": {experiment.model_dump_json()}}}')
    probe(tmp_path, GPU)
    assert flags() == SETTLED


def test_records_of_before_say_nothing_about_it(toy_order):
    record = RunRecord.of(toy_order(), status="complete")
    old = record.model_copy(update={"hardware": Hardware(host="a", device="cuda", device_name="T4", threads=1)})
    tree = old.model_dump(mode="json")
    del tree["hardware"]["arithmetic"]
    assert RunRecord.model_validate_json(json.dumps(tree)) == old


@pytest.mark.parametrize(("device", "expected"), [(GPU, [(4, True), (64, False), (64, True)]), (CPU, [(2, None)])])
def test_convolutions_are_checked_in_the_batches_and_the_way_of_their_training(
    toy_order, tmp_path, monkeypatch, device, expected
):
    model = toy_order().spec.experiment.model
    plain = Checked(model=model, image_size=8, precision="fp32", memory_format="contiguous", batch=64)
    others = [plain.model_copy(update=update) for update in ({"deterministic": False}, {"batch": 4}, {})]
    (tmp_path / "check.json").write_text(CheckOrder(networks=(plain, *others)).model_dump_json())
    checked = []

    def verdict(networks, dtype, memory_format, device, batch):
        how = torch.backends.cudnn.deterministic if device == "cuda" else None
        checked.append((batch, how))
        return [numerics.Verdict(SMALL, dtype, memory_format, device, 0.0, 0.0, 0.0, batch, 1e-4)]

    monkeypatch.setattr(numerics, "check", verdict)
    monkeypatch.setattr(jobs, "ensure_starts", lambda _: None)
    check(tmp_path, device, "some device")
    assert checked == expected
    result = CheckResult.model_validate_json((tmp_path / "result.json").read_text())
    assert [finding.batch for finding in result.findings] == [batch for batch, _ in expected]


@pytest.mark.usefixtures("broken_cuda")
def test_a_check_of_convolutions_says_that_the_gpu_can_not_be_used_and_one_of_data_needs_none(toy_order, tmp_path):
    experiment = toy_order().spec.experiment
    asked = Checked(model=experiment.model, image_size=8, precision="fp32", memory_format="contiguous")
    (tmp_path / "check.json").write_text(CheckOrder(networks=(asked,)).model_dump_json())
    with pytest.raises(SklabError, match="the GPU can't be used: The NVIDIA driver"):
        check(tmp_path, GPU, "some device")
    (tmp_path / "check.json").write_text(CheckOrder().model_dump_json())
    check(tmp_path, GPU, "some device")
    assert (tmp_path / "result.json").exists()


@pytest.mark.parametrize(("devices", "streams"), [(1, 1), (2, 0)])
def test_a_process_that_only_watches_over_gpus_takes_nothing_of_them(
    toy_order, tmp_path, monkeypatch, devices, streams
):
    stream = Mock()
    monkeypatch.setattr(torch.cuda, "Stream", stream)
    Attempt(toy_order(train={"devices": devices}), RunFolder(tmp_path), Process(GPU))
    assert stream.call_count == streams
