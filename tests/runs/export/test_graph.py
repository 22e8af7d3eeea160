import numpy as np
import torch
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, QuantileTransformer, StandardScaler
from torch import nn

from elr.runs.export.graph import Arranged, AsTheyCome, Ensemble, Imputed, LogOdds, Ranked, Standardized


def test_numbers_with_gaps_as_scikit_learn_fills_them():
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(50, 3)) * [1, 1e6, 1e-3]
    numbers[rng.random((50, 3)) < 0.3] = np.nan
    steps = [("impute", SimpleImputer(strategy="median", add_indicator=True)), ("scale", StandardScaler())]
    fitted = Pipeline(steps).fit(numbers)
    scale = Standardized(fitted["scale"].mean_, fitted["scale"].scale_)
    ours = Imputed(fitted["impute"].statistics_, fitted["impute"].indicator_.features_, scale)
    expected = fitted.transform(numbers).astype(np.float32)
    np.testing.assert_array_equal(ours(torch.from_numpy(numbers)).numpy(), expected)


def test_ranks_as_scikit_learn_has_them():
    rng = np.random.default_rng(0)
    columns = [np.exp(4 * rng.normal(size=400)), rng.integers(0, 4, 400), np.where(rng.random(400) < 0.7, 0, 1e9)]
    numbers = np.stack([*columns, np.full(400, 7.0)], axis=1)
    fitted = QuantileTransformer(n_quantiles=64, random_state=0).fit(numbers)
    new = np.concatenate([numbers, 1.5 * numbers - 1, fitted.quantiles_, [[-1e30] * 4, [1e30] * 4]])
    np.testing.assert_allclose(Ranked(fitted.quantiles_)(torch.from_numpy(new)), fitted.transform(new), atol=1e-9)


def test_log_odds_as_scikit_learn_has_them():
    ranks = np.random.default_rng(0).random((50, 2))
    ranks[:2] = [0, 1], [1, 0]
    inner, odds = MinMaxScaler(feature_range=(-0.98, 0.98)), FunctionTransformer(np.arctanh)
    fitted = Pipeline([("inner", inner), ("odds", odds)]).fit(ranks)
    np.testing.assert_allclose(
        LogOdds(inner.scale_, inner.min_)(torch.from_numpy(ranks)), fitted.transform(ranks), atol=1e-12
    )


def test_columns_are_prepared_in_groups():
    arranged = Arranged([[2], [0, 1]], [Standardized(np.ones(1), np.ones(1)), AsTheyCome()])
    assert arranged(torch.tensor([[5.0, 6.0, 7.0]])).tolist() == [[6.0, 5.0, 6.0]]


def test_the_mean_is_over_networks_and_views():
    class Left(nn.Module):
        def forward(self, images):
            return images[:, 0, 0]

    image = torch.tensor([[[[0.0, 2.0]]]])
    found = Ensemble(AsTheyCome(), [Left()], mirrored=True)(image)
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.5]]))


def test_numbers_without_gaps_can_be_saved_by_torch_export(tmp_path):
    model = Imputed(np.zeros(2), np.array([], dtype=np.int64), Standardized(np.zeros(2), np.ones(2)))
    program = torch.export.export(model, (torch.ones(3, 2, dtype=torch.float64),))
    torch.export.save(program, tmp_path / "model.pt2")
    numbers = torch.tensor([[1.0, float("nan")]] * 3, dtype=torch.float64)
    assert torch.export.load(tmp_path / "model.pt2").module()(numbers).tolist() == [[1.0, 0.0]] * 3
