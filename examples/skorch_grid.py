"""ELR in skorch: a search over lam, and the wrong labels of the best net.

    pip install '.[skorch]'
    python examples/skorch_grid.py

Digits with 30 % of the labels replaced. `ELRNet` is skorch's `NeuralNetClassifier`: it goes into `GridSearchCV` as it
is, and each fold has targets of its own. The search sees given labels only.
"""

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from torch import nn

from elr.integrations.skorch import ELRNet
from elr.noise.models import corrupt_symmetric


def main(epochs: int = 30) -> dict[str, float]:
    """Search, fit, audit; the accuracy on clean test labels, and the share of wrong labels among the suspects."""
    pixels, digits = load_digits(return_X_y=True)
    pixels = ((pixels - 4.9) / 6.0).astype(np.float32)
    inputs, test_inputs, clean, test_labels = train_test_split(pixels, digits, test_size=0.25, random_state=0)
    noisy = corrupt_symmetric(clean, noise_rate=0.3, num_classes=10, seed=0)

    torch.manual_seed(0)
    torch.set_num_threads(1)
    net = ELRNet(
        nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)),
        max_epochs=epochs,
        lr=0.02,
        optimizer__momentum=0.9,
        batch_size=64,
        train_split=None,  # all rows are trained on, so that all labels are judged
        verbose=0,
    )
    search = GridSearchCV(net, {"criterion__lam": [0.0, 3.0]}, cv=2).fit(inputs, noisy.labels)
    audit = search.best_estimator_.audit()
    found = {
        "accuracy": float(search.score(test_inputs, test_labels)),
        "precision": float(noisy.is_wrong[audit.is_label_issue].mean()),
        "recall": float(audit.is_label_issue[noisy.is_wrong].mean()),
    }
    print(f"best: {search.best_params_}; accuracy on clean test labels {found['accuracy']:.1%}")
    print(f"{audit.num_label_issues} suspects, {found['precision']:.1%} of them really wrong, which are "
          f"{found['recall']:.1%} of the wrong labels")  # fmt: skip
    print(audit.to_frame().head().to_string(index=False))
    return found


if __name__ == "__main__":
    main()
