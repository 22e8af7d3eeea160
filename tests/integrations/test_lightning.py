import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, random_split

import lightning_ranks
from blobs import N, blobs
from elr.data.indexed import with_index
from elr.errors import ArgumentError, CheckpointError, DataWarning
from elr.integrations.lightning import ELRCallback
from elr.methods.loss.elr_loss import ELRLoss
from lightning_ranks import data, module_class, trainer

lightning = pytest.importorskip("lightning.pytorch")
pytestmark = pytest.mark.filterwarnings("ignore")

_, GIVEN, CLEAN = blobs()


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def package(request):
    return pytest.importorskip(request.param)


def loader(**settings):
    return DataLoader(data(), **{"batch_size": 20} | settings)


def first_rows(count):
    return TensorDataset(*(values[:count] for values in data().tensors))


def fitted(package=lightning, *, loaders=None, valid=None, **settings):
    callback, net = ELRCallback(num_classes=3), module_class(package)()
    found = trainer(package, callback, **settings)
    found.fit(net, loader() if loaders is None else loaders, valid)
    return callback, net


def test_it_is_the_loop_that_one_would_write(package):
    callback, net = fitted(package)
    other = module_class(package)()
    loss, optimizer = ELRLoss(N, 3), torch.optim.SGD(other.network.parameters(), lr=0.05)
    features, labels = data().tensors
    for _ in range(3):
        for rows in torch.arange(N).split(20):
            optimizer.zero_grad()
            loss(other.network(features[rows]), labels[rows], rows).backward()
            optimizer.step()
    assert torch.equal(callback.loss.targets.table, loss.targets.table)
    assert all(torch.equal(a, b) for a, b in zip(net.network.parameters(), other.network.parameters(), strict=True))


def test_it_finds_wrong_labels():
    callback, _ = fitted(max_epochs=25)
    found = callback.audit(GIVEN, class_names=["a", "b", "c"])
    wrong = GIVEN != CLEAN
    assert wrong[found.ranking[: wrong.sum()]].mean() > 0.9
    assert "given_label" in found.to_frame()


@pytest.mark.parametrize("where", ["fit", "module", "datamodule", "datamodule, dicts of settings"])
def test_rows_come_from_wherever_the_loader_comes(package, where):
    base = module_class(package)

    class Net(base):
        def train_dataloader(self):
            return loader(shuffle=True)

    class Data(package.LightningDataModule):
        def setup(self, stage):
            self.rows = data()

        def train_dataloader(self):
            return DataLoader(dataset=self.rows, batch_size=20, shuffle=True)

    callback = ELRCallback(num_classes=3)
    net = Net() if where == "module" else base()
    found = trainer(package, callback, max_epochs=2, reload_dataloaders_every_n_epochs=int("dicts" in where))
    found.fit(
        net, **{"module": {}, "fit": {"train_dataloaders": loader(shuffle=True)}}.get(where, {"datamodule": Data()})
    )
    assert sorted(net.rows) == sorted([*range(N), *range(N)])
    assert net.rows != sorted(net.rows)
    assert callback.loss.targets.num_examples == N


def test_loaders_are_left_as_they_were():
    mine = loader()
    fitted(loaders=mine)
    assert len(next(iter(mine))) == 2


def test_data_with_row_numbers_stay_as_they_are():
    _, net = fitted(loaders=DataLoader(with_index(data()), batch_size=20), max_epochs=1)
    assert net.rows == list(range(N))


def test_a_part_of_the_data_has_the_rows_of_the_whole():
    part, _ = random_split(data(), [80, 40], torch.Generator().manual_seed(0))
    callback, net = fitted(loaders=DataLoader(part, batch_size=20), max_epochs=1)
    assert sorted(net.rows) == sorted(part.indices)
    with pytest.warns(DataWarning, match="40 of 120 rows have no target"):
        callback.audit(GIVEN)


@pytest.mark.filterwarnings("ignore")
def test_validation_and_sanity_check_never_touch_targets(package):
    callback, net = fitted(package, valid=loader(), num_sanity_val_steps=2, val_check_interval=2)
    assert len(net.validated) > 2 + 6
    assert all(net.validated)
    plain, _ = fitted(package)
    assert torch.equal(callback.loss.targets.table, plain.loss.targets.table)


def test_testing_needs_no_loss():
    class Net(module_class(lightning)):
        def test_step(self, batch, batch_idx):
            assert len(batch) == 2

    callback = ELRCallback(num_classes=3)
    trainer(lightning, callback).test(Net(), loader(), verbose=False)
    assert callback.loss is None


def test_a_run_that_is_resumed_ends_as_one_that_was_not(package, tmp_path):
    def run(*, epochs, path=None):
        callback, net = ELRCallback(num_classes=3), module_class(package)()
        found = trainer(package, callback, max_epochs=epochs)
        found.fit(net, loader(), ckpt_path=path)
        return found, callback, net

    _, whole, network = run(epochs=4)
    half, first, _ = run(epochs=2)
    half.save_checkpoint(tmp_path / "half.ckpt")
    _, resumed, other = run(epochs=4, path=tmp_path / "half.ckpt")
    assert not torch.equal(first.loss.targets.table, whole.loss.targets.table)
    assert torch.equal(resumed.loss.targets.table, whole.loss.targets.table)
    pairs = zip(other.network.parameters(), network.network.parameters(), strict=True)
    assert all(torch.equal(one, another) for one, another in pairs)
    again = module_class(package).load_from_checkpoint(tmp_path / "half.ckpt")  # weights alone, no targets among them
    assert not [name for name in again.state_dict() if "target" in name]


def test_a_checkpoint_of_other_data_is_refused(tmp_path):
    callback, net = ELRCallback(num_classes=3), module_class(lightning)()
    found = trainer(lightning, callback, max_epochs=1)
    found.fit(net, loader())
    found.save_checkpoint(tmp_path / "half.ckpt")
    other = trainer(lightning, ELRCallback(num_classes=3), max_epochs=2)
    with pytest.raises(CheckpointError, match="do not fit these training data"):
        other.fit(
            module_class(lightning)(), DataLoader(first_rows(60), batch_size=20), ckpt_path=tmp_path / "half.ckpt"
        )


def test_a_second_fit_goes_on_with_the_targets():
    callback, net = ELRCallback(num_classes=3), module_class(lightning)()
    for _ in range(2):
        trainer(lightning, callback, max_epochs=1).fit(net, loader())
    with pytest.raises(ArgumentError, match="take a new ELRCallback for others"):
        trainer(lightning, callback, max_epochs=1).fit(net, DataLoader(first_rows(60), batch_size=20))


def test_two_processes_are_one(tmp_path):
    found = []
    for ranks in (1, 2):
        path = tmp_path / f"{ranks}.pt"
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run(
            [sys.executable, lightning_ranks.__file__, str(ranks), str(path)], check=True, env=environment, timeout=300
        )
        found.append(torch.load(path, weights_only=False))
    assert [each["ranks"] for each in found] == [1, 2]
    torch.testing.assert_close(found[1]["table"], found[0]["table"], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[1]["weights"], found[0]["weights"], atol=1e-5, rtol=1e-4)
    np.testing.assert_allclose(found[1]["quality"], found[0]["quality"], atol=1e-4)


def test_what_cannot_be_is_refused():
    class Stream(IterableDataset):
        def __iter__(self):
            yield from data()

    with pytest.raises(ArgumentError, match="Stream is an IterableDataset"):
        fitted(loaders=DataLoader(Stream(), batch_size=20))
    with pytest.raises(ArgumentError, match="expected a DataLoader of PyTorch, one"):
        fitted(loaders=[loader(), loader()])
    with pytest.raises(ArgumentError, match="lam"):
        ELRCallback(num_classes=3, lam=-1.0)
    with pytest.raises(ArgumentError, match="num_classes is 'x': expected an integer"):
        ELRCallback("x")
    with pytest.raises(ArgumentError, match="call the trainer's fit with this callback first"):
        ELRCallback(num_classes=3).audit(GIVEN)
    net = module_class(lightning)()
    net.elr_loss = torch.nn.CrossEntropyLoss()
    with pytest.raises(ArgumentError, match="the module has 'elr_loss' already"):
        trainer(lightning, ELRCallback(num_classes=3)).fit(net, loader())


def test_without_lightning_the_extra_is_named():
    gone = "sys.modules['lightning'] = sys.modules['lightning.pytorch'] = sys.modules['pytorch_lightning'] = None"
    found = subprocess.run(
        [sys.executable, "-c", f"import sys; {gone}; import elr.integrations.lightning"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "needs Lightning: pip install '.[lightning]'" in found.stderr
