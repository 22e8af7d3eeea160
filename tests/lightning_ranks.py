"""Train with Lightning on as many processes as asked for, the same batches over all of them; see test_lightning.py."""

import sys
import warnings

import torch
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

from blobs import blobs, network

BATCH = 20


def data():
    features, given, _ = blobs()
    return TensorDataset(torch.from_numpy(features), torch.from_numpy(given))


def module_class(package):
    class Net(package.LightningModule):
        def __init__(self):
            super().__init__()
            self.network = network()
            self.rows, self.validated = [], []

        def training_step(self, batch, _):
            inputs, labels, index = batch
            self.rows += index.tolist()
            return self.elr_loss(self.network(inputs), labels, index)

        def validation_step(self, batch, _):
            inputs, labels = batch
            before = self.elr_loss.targets.table.clone()
            self.elr_loss(self.network(inputs), labels, torch.arange(len(labels)))  # a mistake that must do no harm
            self.validated.append(torch.equal(before, self.elr_loss.targets.table))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.05)

    return Net


def trainer(package, *callbacks, **settings):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    usual = {"enable_checkpointing": False, "max_epochs": 3, "devices": 1}
    return package.Trainer(callbacks=list(callbacks), **quiet, **usual | settings)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    import lightning.pytorch as package

    from elr.integrations.lightning import ELRCallback

    ranks, path = int(sys.argv[1]), sys.argv[2]
    callback, net = ELRCallback(num_classes=3), module_class(package)()
    several = {"strategy": "ddp", "devices": ranks} if ranks > 1 else {}
    # Lightning gives rank r of R the rows r, r + R, ... of this order: the batches of R ranks are one batch of all.
    order = None if ranks > 1 else DistributedSampler(data(), num_replicas=1, rank=0)
    loader = DataLoader(data(), batch_size=BATCH // ranks, sampler=order)
    run = trainer(package, callback, **several)
    run.fit(net, loader)
    if run.global_rank == 0:
        table, weights = callback.loss.targets.table, torch.cat([each.flatten() for each in net.network.parameters()])
        quality = callback.audit(blobs()[1]).label_quality
        torch.save({"table": table, "weights": weights.detach(), "quality": quality, "ranks": run.world_size}, path)
