import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from skorch.callbacks import EpochScoring
from skorch.dataset import Dataset
from torch import nn
from torch.utils.data import Subset

from blobs import N, blobs
from elr.errors import ArgumentError, DataWarning
from elr.integrations.skorch import ELRCriterion, ELRNet
from elr.methods.loss.elr_loss import ELRLoss

X, GIVEN, CLEAN = blobs()
WRONG = GIVEN != CLEAN


def net(**settings):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))
    return ELRNet(
        module, **{"max_epochs": 20, "lr": 0.1, "batch_size": 20, "verbose": 0, "train_split": None} | settings
    )


def table(fitted):
    return fitted.criterion_.loss.targets.table


def test_it_learns_what_the_labels_hide_and_finds_the_wrong_ones():
    fitted = net().fit(X, GIVEN)
    assert (fitted.predict(X) == CLEAN).mean() > 0.95
    found = fitted.audit(class_names=["a", "b", "c"])
    assert WRONG[found.ranking[: WRONG.sum()]].mean() > 0.9
    assert set(found.to_frame()["given_label"]) == {"a", "b", "c"}


def test_probabilities_are_probabilities():
    fitted = net(max_epochs=2).fit(X, GIVEN)
    probs = fitted.predict_proba(X)
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, atol=1e-5)
    with torch.no_grad():
        logits = fitted.module_(torch.from_numpy(X))
    np.testing.assert_allclose(probs, torch.softmax(logits, dim=1).numpy(), atol=1e-6)


def test_it_is_the_loop_that_one_would_write():
    fitted = net(max_epochs=3, iterator_train__shuffle=False).fit(X, GIVEN)
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))
    loss, optimizer = ELRLoss(N, 3), torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(3):
        for rows in torch.arange(N).split(20):
            optimizer.zero_grad()
            loss(module(torch.from_numpy(X)[rows]), torch.from_numpy(GIVEN)[rows], rows).backward()
            optimizer.step()
    assert torch.equal(table(fitted), loss.targets.table)
    assert torch.equal(fitted.module_[0].weight, module[0].weight)


def test_shuffled_rows_find_their_targets():
    """After one epoch with beta near 0 the target of a row is what the network said of this very row."""
    fitted = net(max_epochs=1, lr=0.0, criterion__beta=0.0, iterator_train__shuffle=True, batch_size=7).fit(X, GIVEN)
    np.testing.assert_allclose(table(fitted).numpy(), fitted.predict_proba(X), atol=1e-3)


@pytest.mark.parametrize("dataset", [lambda: Dataset(X, GIVEN), lambda: Subset(Dataset(X, GIVEN), np.arange(N)[::-1])])
def test_rows_are_those_of_the_data_that_fit_is_given(dataset):
    fitted = net(max_epochs=1, lr=0.0, criterion__beta=0.0).fit(dataset(), None)
    order = slice(None) if isinstance(dataset(), Dataset) else slice(None, None, -1)
    np.testing.assert_allclose(table(fitted).numpy(), fitted.predict_proba(X)[order], atol=1e-3)
    with pytest.raises(ArgumentError, match="fit was given no y"):
        fitted.audit()
    assert len(fitted.audit(GIVEN[order]).labels) == N


def test_rows_set_aside_for_validation_have_no_targets():
    from skorch.dataset import ValidSplit

    fitted = net(train_split=ValidSplit(0.25, stratified=True, random_state=0), max_epochs=2).fit(X, GIVEN)
    seen = (table(fitted).sum(dim=1) > 0).numpy()
    train, valid = fitted.get_split_datasets(X, GIVEN)
    assert np.flatnonzero(seen).tolist() == sorted(train.indices)
    with pytest.warns(DataWarning, match=f"{len(valid)} of {N} rows have no target"):
        fitted.audit()
    assert np.isfinite(fitted.history[:, "valid_loss"]).all()


def test_validation_and_prediction_leave_the_targets_alone():
    fitted = net(max_epochs=1).fit(X, GIVEN)
    before = table(fitted).clone()
    fitted.predict_proba(X)
    fitted.score(X, GIVEN)
    fitted.validation_step((torch.from_numpy(X), torch.from_numpy(GIVEN)))
    assert torch.equal(table(fitted), before)


def test_scores_of_training_rows_see_pairs():
    fitted = net(max_epochs=2, callbacks=[EpochScoring("accuracy", on_train=True, name="train_acc")]).fit(X, GIVEN)
    assert len(fitted.history[:, "train_acc"]) == 2


def test_a_search_gives_each_fold_its_own_table():
    search = GridSearchCV(net(max_epochs=3), {"criterion__lam": [0.0, 3.0], "lr": [0.1]}, cv=3, error_score="raise")
    search.fit(X, GIVEN)
    assert len(table(search.best_estimator_)) == N
    assert search.best_estimator_.criterion_.settings["lam"] == search.best_params_["criterion__lam"]


def test_a_pipeline_and_a_clone():
    pipeline = make_pipeline(StandardScaler(), net(max_epochs=3)).fit(X, GIVEN)
    assert pipeline.predict_proba(X).shape == (N, 3)
    assert len(pipeline[-1].audit().labels) == N
    again = clone(pipeline[-1])
    assert not again.initialized_
    assert again.get_params()["criterion"] is ELRCriterion


def test_pickling_keeps_the_targets():
    fitted = net(max_epochs=2).fit(X, GIVEN)
    again = pickle.loads(pickle.dumps(fitted))
    assert torch.equal(table(again), table(fitted))
    assert np.array_equal(again.audit().label_quality, fitted.audit().label_quality)


def test_parameters_that_are_saved_have_the_targets(tmp_path):
    fitted = net(max_epochs=2).fit(X, GIVEN)
    fitted.save_params(f_params=tmp_path / "module.pt", f_criterion=tmp_path / "criterion.pt")
    again = net().initialize()
    again.load_params(f_params=tmp_path / "module.pt", f_criterion=tmp_path / "criterion.pt")
    assert torch.equal(table(again), table(fitted))


def test_fits_begin_anew_and_partial_fits_go_on():
    whole = net(max_epochs=4, iterator_train__shuffle=False).fit(X, GIVEN)
    parts = net(max_epochs=2, iterator_train__shuffle=False)
    parts.partial_fit(X, GIVEN).partial_fit(X, GIVEN)
    assert torch.equal(table(parts), table(whole))
    warm = net(max_epochs=2, warm_start=True, iterator_train__shuffle=False).fit(X, GIVEN).fit(X, GIVEN)
    assert torch.equal(table(warm), table(whole))
    with pytest.raises(ArgumentError, match="goes on with 60 rows, and the targets are of 120"):
        parts.partial_fit(X[:60], GIVEN[:60])
    assert len(table(parts.fit(X[:60], GIVEN[:60]))) == 60


def test_a_criterion_that_is_an_instance_is_not_carried_on():
    criterion = ELRCriterion(lam=1.0)
    fitted = net(criterion=criterion, max_epochs=1).fit(X, GIVEN)
    assert len(table(fitted.fit(X[:50], GIVEN[:50]))) == 50


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int64])
def test_labels_of_any_integers(dtype):
    assert len(net(max_epochs=1).fit(X, GIVEN.astype(dtype)).audit().labels) == N


def test_collate_functions_see_pairs():
    def collate(pairs):
        inputs, labels = zip(*pairs, strict=True)
        return torch.tensor(np.array(inputs)), torch.tensor(labels)

    assert len(net(max_epochs=1, iterator_train__collate_fn=collate).fit(X, GIVEN).audit().labels) == N


@pytest.mark.parametrize(
    ("labels", "settings", "message"),
    [
        (GIVEN.astype(float), {}, "y has dtype float64 and shape .120,.: expected class numbers"),
        (np.array(["a", "b", "c"])[GIVEN], {}, "LabelEncoder"),
        (GIVEN - 1, {}, "y has -1"),
        (GIVEN, {"criterion": nn.CrossEntropyLoss}, "criterion is CrossEntropyLoss: expected ELRCriterion"),
        (GIVEN, {"criterion__lam": -1.0}, "lam"),
        (GIVEN, {"iterator_train": lambda dataset, **_: iter([])}, "expected a DataLoader"),
    ],
)
def test_what_cannot_be_is_refused(labels, settings, message):
    with pytest.raises(ArgumentError, match=message):
        net(**settings).fit(X, labels)


def test_a_module_that_gives_probabilities_is_refused():
    module = nn.Sequential(nn.Linear(8, 3), nn.Softmax(dim=1))
    with pytest.raises(ArgumentError, match="leave out the softmax at its end"):
        ELRNet(module, verbose=0, train_split=None).fit(X, GIVEN)


def test_another_net_does_not_tell_rows():
    with pytest.raises(ArgumentError, match="train with ELRNet"):
        NeuralNetClassifier(nn.Linear(8, 3), criterion=ELRCriterion, verbose=0).fit(X, GIVEN)
    with pytest.raises(ArgumentError, match="the net was not fitted yet"):
        net().audit()


def test_without_skorch_the_extra_is_named():
    code = "import sys; sys.modules['skorch'] = None; import elr.integrations.skorch"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "needs skorch: pip install '.[skorch]'" in found.stderr
