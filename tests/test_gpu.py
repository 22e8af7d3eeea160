"""The same on a GPU as on a processor, without waiting for it; skipped where there is none."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from blobs import METHODS, examples
from elr.data.examples import Examples
from elr.data.transforms import ImageTransform
from elr.methods.elr import ELRConfig
from elr.methods.loss.elr_loss import ELRLoss
from elr.methods.loss.fused import elr_loss
from elr.networks.spec import NetworkSpec
from elr.targets.store import trusted_rows
from elr.training import cuda_graphs as graphs
from elr.training.config import TrainingConfig
from elr.training.loop import Training

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.fixture(autouse=True)
def _a_device_of_its_own():
    """Accelerate decides on the device once in a process; other tests ask for the processor."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@contextmanager
def no_waiting() -> Iterator[None]:
    """Within it, whatever makes the host wait for the GPU is an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Synchronization debug mode is a prototype")
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("clamp", [0.0, 1e-4])
@pytest.mark.parametrize("index_on", ["cpu", "cuda"])
@pytest.mark.parametrize("repeats", [False, True])
def test_loss_gradient_and_targets_are_those_of_the_processor(clamp, index_on, repeats):
    generator = torch.Generator().manual_seed(0)
    here, there = ELRLoss(60, 5, clamp=clamp), ELRLoss(60, 5, clamp=clamp).cuda()
    for _ in range(4):
        index = torch.randperm(60, generator=generator)[:40]
        if repeats:
            index = index // 2
        logits = (4 * torch.randn(40, 5, generator=generator)).requires_grad_()
        labels = torch.randint(5, (40,), generator=generator)
        sent = logits.detach().cuda().requires_grad_()
        loss, other = here(logits, labels, index), there(sent, labels.cuda(), index.to(index_on))
        (3.0 * loss).backward()
        (3.0 * other).backward()
        torch.testing.assert_close(other.cpu(), loss, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(sent.grad.cpu(), logits.grad, atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(there.targets.table.cpu(), here.targets.table, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("index_on", ["cpu", "cuda"])
def test_targets_may_stay_in_memory(index_on):
    here, there = ELRLoss(60, 5), ELRLoss(60, 5)
    for step in range(20):
        generator = torch.Generator().manual_seed(step)
        index, logits = torch.randperm(60, generator=generator)[:40], torch.randn(40, 5, generator=generator)
        labels = torch.randint(5, (40,), generator=generator)
        loss, other = here(logits, labels, index), there(logits.cuda(), labels.cuda(), index.to(index_on))
        torch.testing.assert_close(other.cpu(), loss, atol=1e-5, rtol=1e-5)
    assert there.targets.table.device.type == "cpu"
    torch.testing.assert_close(there.targets.table, here.targets.table, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_label_probabilities_and_other_precisions(dtype):
    generator = torch.Generator().manual_seed(1)
    logits = (4 * torch.randn(64, 10, generator=generator)).to(dtype).requires_grad_()
    labels, targets = (torch.rand(64, 10, generator=generator).softmax(dim=1) for _ in range(2))
    sent = logits.detach().cuda().requires_grad_()
    found = elr_loss(sent, labels.cuda(), targets.cuda(), lam=3.0, clamp=1e-4)
    expected = elr_loss(logits, labels, targets, lam=3.0, clamp=1e-4)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.cpu(), other, atol=1e-5, rtol=1e-5)
    found[0].backward()
    expected[0].backward()
    assert sent.grad.dtype == dtype
    torch.testing.assert_close(sent.grad.cpu(), logits.grad, atol=1e-5, rtol=1e-2)


def test_a_step_of_the_loss_does_not_wait():
    loss = ELRLoss(64, 10).cuda()
    logits, labels = torch.randn(32, 10, device="cuda", requires_grad=True), torch.zeros(32, dtype=torch.int64).cuda()
    index = torch.arange(32)
    on_device = index.cuda()
    loss(logits, labels, on_device).backward()  # whatever is made ready once
    with no_waiting():
        loss(logits, labels, on_device).backward()
        with trusted_rows([loss.targets]):
            loss(logits, labels, on_device).backward()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_step_of_training_on_images_does_not_wait(precision):
    rng = np.random.default_rng(0)
    images = Examples(rng.integers(256, size=(96, 3, 32, 32), dtype=np.uint8), rng.integers(10, size=96))
    method = ELRConfig().build([NetworkSpec("fast", 10).build(generator_seed=0)], num_examples=96, num_classes=10)
    transform = ImageTransform([0.5] * 3, [0.25] * 3, padding=4, flip=True, cutout=8)
    training = Training(method, images, config=TrainingConfig(batch_size=32, precision=precision), transform=transform)
    assert training.accelerator.device.type == "cuda"
    assert method.losses[0].targets.table.is_cuda
    with trusted_rows(method.stores):
        for batch, share in training._batches():  # makes ready what is made once
            training._step(batch, share)
        with no_waiting():
            for batch, share in training._batches():
                assert batch.inputs.is_cuda
                training._step(batch, share)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("generations", [1, 2])
def test_replayed_passes_train_as_launched_ones(precision, generations, monkeypatch):
    rng = np.random.default_rng(0)
    images = Examples(rng.integers(256, size=(91, 3, 32, 32), dtype=np.uint8), rng.integers(10, size=91))
    histories, shapes = [], []
    record = graphs.record
    monkeypatch.setattr(graphs, "record", lambda network, inputs: shapes.append(len(inputs)) or record(network, inputs))
    for cuda_graphs in (False, True):
        network = NetworkSpec("resnet18", 10).build(generator_seed=0)
        settings = ELRConfig(hold=0.5, posterior=True, snapshots=int(generations > 1))
        method = settings.build([network], num_examples=91, num_classes=10)
        config = TrainingConfig(
            epochs=4, batch_size=32, precision=precision, cuda_graphs=cuda_graphs, generations=generations
        )
        training = Training(method, images, config=config, transform=ImageTransform([0.5] * 3, [0.25] * 3, padding=4))
        training.run()
        assert "forward" not in vars(network)
        histories.append([record["loss"] for record in training.history])
        buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
        assert buffers["bn1.num_batches_tracked"] == 3 * 4 / generations
    np.testing.assert_allclose(*histories, rtol=0.02)
    assert sorted(shapes) == [30, 31]


@pytest.mark.parametrize("method", ["elr", "cross entropy", "elr in bfloat16"])
def test_training_goes_as_on_a_processor(method, tmp_path):
    histories = []
    for device in ("cpu", "auto"):
        AcceleratorState._reset_state(reset_partial_state=True)
        config = TrainingConfig(epochs=3, batch_size=20, device=device)
        (tmp_path / device).mkdir()
        training = Training(METHODS[method](), examples(), config=config, folder=tmp_path / device)
        training.run()
        histories.append([record["loss"] for record in training.history])
        assert training.pred_probs().device.type == "cpu"
    np.testing.assert_allclose(histories[0], histories[1], rtol=1e-3, atol=1e-3)


def test_a_run_resumes_on_a_gpu(tmp_path):
    for name in ("whole", "part"):
        (tmp_path / name).mkdir()
    config = TrainingConfig(epochs=3, batch_size=20)
    whole = Training(METHODS["elr"](), examples(), config=config, folder=tmp_path / "whole")
    whole.run()

    def stop(progress):
        if progress.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Training(METHODS["elr"](), examples(), config=config, folder=tmp_path / "part").run(on_progress=stop)
    rest = Training(METHODS["elr"](), examples(), config=config, folder=tmp_path / "part")
    rest.run(resume=True)
    losses = [[record["loss"] for record in training.history] for training in (whole, rest)]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    torch.testing.assert_close(rest.pred_probs(), whole.pred_probs())
