import pytest
import torch

from elr import ELRLoss
from elr.errors import ArgumentError, CheckpointError
from elr.integrations.hugging_face.memory import FILE, Memory


def filled(count=4):
    memory = Memory(ELRLoss(num_examples=count, num_classes=2))
    memory.learn(torch.tensor([[0.0, 2.0], [2.0, 0.0]]), torch.tensor([1, 1]), torch.tensor([0, 2]))
    return memory


def test_a_row_that_comes_twice_in_a_batch_is_one_row():
    memory = Memory(ELRLoss(num_examples=2, num_classes=2))
    memory.learn(torch.zeros(2, 2), torch.tensor([1, 1]), torch.tensor([0, 0]))
    assert memory.labels.tolist() == [1, -1]
    assert memory.loss.targets.table.sum(dim=1) == pytest.approx([0.3, 0.0])


def test_saved_and_taken_back(tmp_path):
    memory, other = filled(), Memory(ELRLoss(num_examples=4, num_classes=2))
    memory.save(tmp_path)
    other.load(tmp_path)
    assert torch.equal(memory.loss.targets.table, other.loss.targets.table)
    assert torch.equal(memory.labels, other.labels)
    with pytest.raises(CheckpointError, match="training set of 4 rows"):
        Memory(ELRLoss(num_examples=5, num_classes=2)).load(tmp_path)
    with pytest.raises(CheckpointError, match="does not fit"):
        Memory(ELRLoss(num_examples=4, num_classes=3)).load(tmp_path)
    (tmp_path / FILE).unlink()
    with pytest.raises(CheckpointError, match=FILE):
        other.load(tmp_path)


def test_audit_of_what_was_seen():
    with pytest.warns(UserWarning, match="2 of 4 rows"):
        found = filled().audit(["cat", "dog"])
    assert found["row"].tolist() == [2, 0]
    assert found["predicted_label"].tolist() == ["cat", "dog"]
    with pytest.raises(ArgumentError, match="nothing was trained"):
        Memory(ELRLoss(num_examples=2, num_classes=2)).audit(["cat", "dog"])


def test_other_labels_are_refused():
    memory = filled()
    with pytest.raises(ArgumentError, match=r"row 2 .* came with label 0, and before with label 1"):
        memory.learn(torch.zeros(1, 2), torch.tensor([0]), torch.tensor([2]))
    memory.contradictions += 1  # as an accelerator counts them
    with pytest.raises(ArgumentError, match="other labels than before"):
        memory.settle()
