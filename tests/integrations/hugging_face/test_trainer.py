import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import Trainer, default_data_collator

import datasets
from elr import ELRConfig, ELRLoss
from elr.errors import ArgumentError, CheckpointError
from elr.integrations.hugging_face import ELRTrainer, ELRTrainerMixin
from elr.integrations.hugging_face.memory import FILE
from elr.integrations.hugging_face.numbered import INDEX
from scripts import ROOT
from tiny_trainer import CLASSES, model, sentences, trainer


class Items(torch.utils.data.Dataset):
    """A map-style data set of torch, with a column that no model takes."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, row):
        return self.rows[row] | {"comment": "not for the model"}


def hub(rows):
    return datasets.Dataset.from_list(rows).add_column("comment", ["not for the model"] * len(rows))


def table(made):
    return made.elr_loss.targets.table.clone()


def weights(made):
    return torch.cat([each.detach().flatten() for each in made.model.parameters()])


def by_hand(rows, *, batch, epochs, lam=3.0, beta=0.7, seed=None):
    """The same training in a loop of one's own, in the order of the rows."""
    network, loss = model().train(), ELRLoss(len(rows), CLASSES, lam=lam, beta=beta).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(epochs):
        for start in range(0, len(rows), batch):
            index = list(range(start, min(start + batch, len(rows))))
            inputs = default_data_collator([rows[row] for row in index])
            labels = inputs.pop("labels")
            optimizer.zero_grad()
            loss(network(**inputs).logits, labels, torch.tensor(index)).backward()
            optimizer.step()
    return torch.cat([each.detach().flatten() for each in network.parameters()]), loss.targets.table


PLAIN = {"optim": "sgd", "learning_rate": 0.1, "max_grad_norm": 0.0, "lr_scheduler_type": "constant"}
IN_ORDER = PLAIN | {"train_sampling_strategy": "sequential"}


@pytest.mark.parametrize("kind", [list, Items, hub])
@pytest.mark.parametrize("remove", [True, False])
def test_it_trains_as_a_loop_of_ones_own(tmp_path, kind, remove):
    rows = sentences()[0]

    def collate(items):
        assert remove is False or all("comment" not in item for item in items)
        return default_data_collator([{k: v for k, v in item.items() if k != "comment"} for item in items])

    made = trainer(tmp_path, kind(rows), settings={"data_collator": collate}, remove_unused_columns=remove, **IN_ORDER)
    made.train()
    expected, targets = by_hand(rows, batch=8, epochs=2)
    assert torch.allclose(weights(made), expected, atol=1e-6)
    assert torch.allclose(table(made), targets, atol=1e-6)


def test_settings_reach_the_loss(tmp_path):
    rows = sentences()[0]
    ways = [
        {"lam": 1.0, "beta": 0.5},
        {"elr": ELRConfig(lam=1.0, beta=0.5)},
        {"elr": ELRLoss(48, 3, lam=1.0, beta=0.5)},
    ]
    expected, targets = by_hand(rows, batch=8, epochs=2, lam=1.0, beta=0.5)
    for settings in ways:
        made = trainer(tmp_path, rows, settings=settings, **IN_ORDER)
        made.train()
        assert torch.allclose(weights(made), expected, atol=1e-6)
        assert torch.allclose(table(made), targets, atol=1e-6)


@pytest.mark.parametrize(("batch", "steps", "count"), [(4, 4, 48), (8, 2, 48), (8, 2, 44), (5, 3, 44)])
def test_accumulated_batches_are_one_large_batch(tmp_path, batch, steps, count):
    """The mean is over all rows of a step, also of the last, shorter one."""
    rows = sentences(count)[0]
    changes = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": steps}
    made = trainer(tmp_path, rows, **IN_ORDER | changes)
    made.train()
    expected, targets = by_hand(rows, batch=batch * steps, epochs=2)
    assert torch.allclose(weights(made), expected, atol=1e-5)
    assert torch.allclose(table(made), targets, atol=1e-5)


def test_batches_are_those_of_the_trainer(tmp_path):
    """The order of rows is that of a plain Trainer of this seed."""
    seen = {}

    def collate(name):
        def call(items):
            seen.setdefault(name, []).append([tuple(item["input_ids"]) for item in items])
            return default_data_collator(items)

        return call

    for name, kind in (("plain", Trainer), ("elr", ELRTrainer)):
        trainer(tmp_path, kind=kind, settings={"data_collator": collate(name)}).train()
    assert seen["plain"] == seen["elr"]


def test_grouped_by_length(tmp_path):
    """Batches are those of a plain Trainer, and of rows of like lengths."""
    rows, seen = sentences(240)[0], {}
    for row, item in enumerate(rows):
        for name in ("input_ids", "attention_mask"):
            item[name] = item[name][: 4 + row % 5]
    rows = hub(rows)

    def pad(name):
        def call(items):
            seen.setdefault(name, []).append([tuple(item["input_ids"]) for item in items])
            wide = [{k: v + [0] * (8 - len(v)) for k, v in item.items() if k != "labels"} for item in items]
            return default_data_collator([w | {"labels": i["labels"]} for w, i in zip(wide, items, strict=True)])

        return call

    changes = {"train_sampling_strategy": "group_by_length", "num_train_epochs": 1}
    for name, kind in (("plain", Trainer), ("elr", ELRTrainer)):
        trainer(tmp_path, rows, kind=kind, settings={"data_collator": pad(name)}, **changes).train()
    assert seen["plain"] == seen["elr"]
    assert np.mean([len({len(ids) for ids in batch}) for batch in seen["elr"]]) < 2


@pytest.mark.parametrize("mistaken", [False, True])
def test_evaluate_and_predict_leave_targets_alone(tmp_path, mistaken):
    rows = sentences()[0]
    seen = []

    def metrics(found):
        seen.append((found.predictions.shape, found.label_ids.shape))
        return {"accuracy": float((found.predictions.argmax(1) == found.label_ids).mean())}

    made = trainer(tmp_path, rows, settings={"eval_dataset": rows, "compute_metrics": metrics})
    made.train()
    before, labels = table(made), made._memory.labels.clone()
    if mistaken:
        made.model.train()
        made.model.eval = lambda: made.model
        made.elr_loss.train()
    found = made.evaluate()
    predicted = made.predict(rows)
    assert torch.equal(table(made), before)
    assert torch.equal(made._memory.labels, labels)
    assert seen == [((48, 3), (48,))] * 2
    assert predicted.predictions.shape == (48, 3)
    if not mistaken:  # the loss of the model, not of ELR
        logits = torch.from_numpy(predicted.predictions)
        expected = torch.nn.functional.cross_entropy(logits, torch.tensor([row["labels"] for row in rows]))
        assert found["eval_loss"] == pytest.approx(float(expected), abs=1e-5)


def test_evaluation_during_training_changes_nothing(tmp_path):
    rows = sentences()[0]
    plain, watched = (
        trainer(tmp_path, rows, settings={"eval_dataset": rows}, **changes)
        for changes in ({}, {"eval_strategy": "steps", "eval_steps": 1})
    )
    plain.train()
    watched.train()
    assert torch.equal(table(plain), table(watched))
    assert torch.equal(weights(plain), weights(watched))


@pytest.mark.parametrize("at", [3, 6, 8])
def test_a_resumed_run_ends_as_an_unbroken_one(tmp_path, at):
    changes = {"save_strategy": "steps", "save_steps": 1, "num_train_epochs": 2, "seed": 7}
    whole = trainer(tmp_path / "whole", network=model(dropout=0.1), **changes)
    whole.train()
    assert (tmp_path / "whole" / f"checkpoint-{at}" / FILE).is_file()
    resumed = trainer(tmp_path / "other", network=model(dropout=0.1), **changes)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{at}"))
    assert torch.equal(weights(whole), weights(resumed))
    assert torch.equal(table(whole), table(resumed))
    assert whole.audit().equals(resumed.audit())


def test_checkpoints_of_others_are_refused(tmp_path):
    changes = {"save_strategy": "epoch", "num_train_epochs": 1}
    trainer(tmp_path, kind=Trainer, **changes).train()
    with pytest.raises(CheckpointError, match="no checkpoint of an ELRTrainer"):
        trainer(tmp_path, **changes).train(resume_from_checkpoint=True)
    trainer(tmp_path / "b", **changes).train()
    (last,) = (tmp_path / "b").glob("checkpoint-*")
    with pytest.raises(CheckpointError, match="48 rows, this one has 24"):
        trainer(tmp_path / "b", sentences(24)[0], **changes).train(resume_from_checkpoint=str(last))
    turned = sentences()[0][::-1]
    with pytest.raises(ArgumentError, match="another order"):
        trainer(tmp_path / "b", turned, **changes | {"num_train_epochs": 2}).train(resume_from_checkpoint=str(last))
    (last / FILE).write_bytes(b"spoiled")
    with pytest.raises(CheckpointError, match="cannot be read"):
        trainer(tmp_path / "b", **changes).train(resume_from_checkpoint=str(last))


def test_the_best_model_is_loaded_and_the_rest_stays(tmp_path):
    changes = {
        "save_strategy": "epoch",
        "eval_strategy": "epoch",
        "load_best_model_at_end": True,
        "save_total_limit": 1,
    }
    made = trainer(tmp_path, settings={"eval_dataset": sentences()[0]}, **changes)
    made.train()
    assert len(made.audit()) == 48


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision(tmp_path, precision):
    rows = sentences()[0]
    if precision == "fp16" and not torch.cuda.is_available():
        made = trainer(tmp_path, rows, network=model().to(torch.bfloat16))  # weights in half precision as well
    else:
        made = trainer(tmp_path, rows, **{precision: True}, use_cpu=not torch.cuda.is_available())
    made.train()
    assert table(made).dtype == torch.float32
    assert torch.isfinite(table(made)).all()
    assert (table(made).sum(dim=1) > 0.4).all()


def test_it_finds_planted_wrong_labels(tmp_path):
    rows, given, clean = sentences(240, wrong=0.25)
    names = {0: "sport", 1: "politics", 2: "weather"}
    made = trainer(tmp_path, rows, network=model(id2label=names), num_train_epochs=10, learning_rate=5e-3)
    made.train()
    found = made.audit()
    columns = ["row", "given_label", "predicted_label", "label_quality", "is_label_issue", "expected_precision"]
    assert list(found.columns) == columns
    assert sorted(found["row"]) == list(range(240))
    assert found["label_quality"].is_monotonic_increasing
    assert (found["given_label"] == [names[given[row]] for row in found["row"]]).all()
    suspects = set(found[found["is_label_issue"]]["row"])
    wrong = set(np.flatnonzero(given != clean))
    assert len(suspects & wrong) > 0.6 * len(wrong)
    assert len(suspects & wrong) > 0.8 * len(suspects)
    with pytest.raises(ArgumentError, match="self_confidence"):
        made.audit(score="aum")


def test_class_names_of_the_data_set(tmp_path):
    rows = datasets.Dataset.from_list(sentences()[0]).cast_column("labels", datasets.ClassLabel(names=["a", "b", "c"]))
    made = trainer(tmp_path, rows)
    with pytest.raises(ArgumentError, match="call train"):
        made.audit()
    made.train()
    assert set(made.audit()["given_label"]) == {"a", "b", "c"}


def test_a_second_training(tmp_path):
    made = trainer(tmp_path, num_train_epochs=1)
    made.train()
    first = table(made)
    made.train()
    assert not torch.equal(table(made), first)
    store = made.elr_loss
    made.train_dataset = sentences(24, seed=1)[0]
    made.train()
    assert made.elr_loss is not store
    assert table(made).shape == (24, 3)
    assert len(made.audit()) == 24


def test_a_new_model_has_new_targets(tmp_path):
    made = trainer(tmp_path, settings={"model_init": lambda: model()})
    made.train()
    first = table(made)
    made.train()
    assert torch.equal(table(made), first)


def test_a_loss_that_was_handed_in_is_for_its_training_set(tmp_path):
    made = trainer(tmp_path, settings={"elr": ELRLoss(48, 3)}, num_train_epochs=1)
    made.train()
    made.train_dataset = sentences(48, seed=1)[0]
    with pytest.raises(ArgumentError, match="a new one"):
        made.train()
    with pytest.raises(ArgumentError, match="40 rows of 3 classes"):
        trainer(tmp_path, settings={"elr": ELRLoss(40, 3)}).train()


def test_rows_that_training_did_not_see_are_left_out(tmp_path):
    made = trainer(tmp_path, sentences(44)[0], num_train_epochs=1, dataloader_drop_last=True)
    made.train()
    with pytest.warns(UserWarning, match="4 of 44 rows were not trained on"):
        assert len(made.audit()) == 40


class Stamped(Trainer):
    """A user's own: of its own step and its own loader."""

    def training_step(self, *args, **kwargs):
        self.steps = getattr(self, "steps", 0) + 1
        return super().training_step(*args, **kwargs)


class StampedELR(ELRTrainerMixin, Stamped):
    pass


class OwnLoader(ELRTrainerMixin, Trainer):
    def get_train_dataloader(self):
        return torch.utils.data.DataLoader(self.train_dataset, batch_size=8, collate_fn=default_data_collator)


def test_the_mixin(tmp_path):
    made = trainer(tmp_path, kind=StampedELR, settings={"lam": 1.0}, **IN_ORDER)
    made.train()
    assert made.steps == 12
    expected, targets = by_hand(sentences()[0], batch=8, epochs=2, lam=1.0)
    assert torch.allclose(weights(made), expected, atol=1e-6)
    assert torch.allclose(table(made), targets, atol=1e-6)
    with pytest.raises(ArgumentError, match="no row numbers"):
        trainer(tmp_path, kind=OwnLoader).train()


def test_what_elr_cannot_learn_from_is_refused(tmp_path):
    rows = sentences()[0]

    def made(data=None, *, network=None, settings=None, **changes):
        return trainer(tmp_path, data, network=network, settings=settings, **changes)

    with pytest.raises(ArgumentError, match=r"label_smoothing_factor is 0\.1"):
        made(label_smoothing_factor=0.1)
    with pytest.raises(ArgumentError, match="compute_loss_func"):
        made(settings={"compute_loss_func": lambda *_, **__: 0.0})
    with pytest.raises(ArgumentError, match="multi_label_classification"):
        made(network=model(problem_type="multi_label_classification"))
    with pytest.raises(ArgumentError, match="num_labels 1"):
        made(network=model(num_labels=1)).train()
    with pytest.raises(ArgumentError, match="has no row numbers"):
        made(datasets.Dataset.from_list(rows).to_iterable_dataset(), max_steps=3)
    with pytest.raises(ArgumentError, match="dict of splits"):
        made(datasets.DatasetDict(train=datasets.Dataset.from_list(rows)))
    with pytest.raises(ArgumentError, match="has no labels"):
        made([{k: v for k, v in row.items() if k != "labels"} for row in rows]).train()
    with pytest.raises(ArgumentError, match="soft labels"):
        made([row | {"labels": [0.2, 0.3, 0.5]} for row in rows]).train()
    with pytest.raises(ArgumentError, match="label"):
        made([row | {"labels": 3} for row in rows]).train()
    with pytest.raises(ArgumentError, match="label"):
        made([row | {"labels": -1} for row in rows]).train()
    with pytest.raises(ArgumentError, match="both given"):
        made(settings={"lam": 1.0, "elr": ELRConfig()})
    with pytest.raises(ArgumentError, match=r"mixup = 1\.0"):
        made(settings={"elr": ELRConfig(mixup=1.0)})
    with pytest.raises(ArgumentError, match="lam"):
        made(settings={"lam": -1.0})
    with pytest.raises(ArgumentError, match="class_shares"):
        made(settings={"elr": ELRLoss(48, 3, class_shares=torch.ones(3))})
    empty = made(rows)
    empty.train_dataset = None
    with pytest.raises(ArgumentError, match="no train_dataset"):
        empty.train()
    with pytest.raises(ArgumentError, match=INDEX):
        made([row | {INDEX: 1} for row in rows], remove_unused_columns=False).train()


def test_labels_by_another_name(tmp_path):
    rows = [{("label" if k == "labels" else k): v for k, v in row.items()} for row in sentences()[0]]
    made = trainer(tmp_path, rows, **IN_ORDER)  # the default collator calls them labels
    made.train()
    expected, _ = by_hand(sentences()[0], batch=8, epochs=2)
    assert torch.allclose(weights(made), expected, atol=1e-6)


@pytest.fixture(scope="module")
def on_ranks(tmp_path_factory):
    def run(ranks, per_device, count, steps):
        folder = tmp_path_factory.mktemp(f"ranks{ranks}")
        script = [str(ROOT / "tests" / "tiny_trainer.py"), str(folder), str(per_device), str(count), str(steps)]
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"] if ranks > 1 else []
        subprocess.run([sys.executable, *launch, *script], check=True, capture_output=True, timeout=300)
        return torch.load(folder / "found.pt", weights_only=True), folder

    return run


@pytest.mark.parametrize("steps", [1, 2])
def test_two_ranks_are_one(on_ranks, steps):
    (one, _), (two, folder) = on_ranks(1, 8, 48, steps), on_ranks(2, 4, 48, steps)
    assert (one["ranks"], two["ranks"]) == (1, 2)
    assert torch.equal(two["tables"][0], two["tables"][1])
    assert torch.allclose(one["tables"][0], two["tables"][0], atol=1e-5)
    assert torch.allclose(one["weights"], two["weights"], atol=1e-5)
    assert torch.equal(two["labels"], one["labels"].expand(2, -1))
    assert two["audit"] == 48
    last = max(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    saved = torch.load(last / FILE, weights_only=True)
    assert torch.equal(saved["loss"]["targets._extra_state"], two["tables"][0])
    assert torch.equal(saved["labels"], two["labels"][0])


def test_rows_that_pad_the_last_batch_leave_ranks_alike(on_ranks):
    two, _ = on_ranks(2, 4, 45, 1)
    assert torch.equal(two["tables"][0], two["tables"][1])
    assert (two["labels"] >= 0).all()
    assert (two["tables"][0].sum(dim=1) > 0.5).all()


def test_without_transformers_the_extra_is_named():
    code = """
import sys
sys.modules["transformers"] = None
import elr, elr.integrations
assert "elr.integrations.hugging_face" not in sys.modules
try:
    import elr.integrations.hugging_face
except elr.ELRError as error:
    assert "pip install 'elr[huggingface]'" in str(error), error
else:
    raise SystemExit(1)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_elr_does_not_load_transformers():
    code = "import sys, elr.cli.main, elr.integrations; raise SystemExit('transformers' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_trainer_can_be_copied_with_its_memory(tmp_path):
    made = trainer(tmp_path, num_train_epochs=1)
    made.train()
    assert torch.equal(copy.deepcopy(made._memory).loss.targets.table, table(made))


def test_a_mixin_behind_its_trainer_is_refused():
    with pytest.raises(ArgumentError, match=r"write class Late\(ELRTrainerMixin, Trainer\)"):
        type("Late", (Trainer, ELRTrainerMixin), {})
    assert type("Both", (type("Loud", (Trainer,), {}), ELRTrainer), {})  # ELRTrainer behind another one: it is asked
