import numpy as np
import torch
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from elr.runs.export.graph import AsTheyCome, Ensemble, Imputed, Standardized


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
