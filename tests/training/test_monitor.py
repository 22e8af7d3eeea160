import math

import numpy as np
import pytest
import torch

from elr.errors import ArgumentError
from elr.training import monitor as monitor_module
from elr.training.monitor import Course, Monitor, fractions, gradient_measures
from elr.training.progress import parts


def test_fractions_of_a_case_counted_by_hand():
    #            right: 0 0 1   wrong: memorized, correct, incorrect, memorized
    clean = [0, 0, 1, 0, 1, 2, 2]
    given = [0, 0, 1, 1, 2, 0, 1]
    predicted = [0, 1, 1, 1, 1, 1, 1]
    assert fractions(predicted, given, clean) == {
        "fraction_correct_on_wrong": 1 / 4,
        "fraction_memorized_on_wrong": 2 / 4,
        "fraction_incorrect_on_wrong": 1 / 4,
        "fraction_correct_on_clean": 2 / 3,
    }


def test_no_wrong_labels_is_not_a_number():
    measured = fractions([0, 1], [0, 1], [0, 1])
    assert math.isnan(measured["fraction_memorized_on_wrong"])
    assert measured["fraction_correct_on_clean"] == 1.0


def logits_for(classes, count=3):
    return torch.nn.functional.one_hot(torch.tensor(classes), count).float()


def by_rows(classes, most=3):
    """The classes that targets favor, some at a time."""
    rows = torch.arange(len(classes)).split(most)
    return zip(rows, torch.tensor(classes).split(most), strict=True)


def test_monitor_follows_two_epochs():
    monitor = Monitor([0, 1, 2, 2], clean_labels=[0, 1, 1, 2])
    monitor.update(torch.tensor([2, 0]), logits_for([1, 0]))
    monitor.update(torch.tensor([1, 3]), logits_for([0, 0]))
    first = monitor.end_epoch()
    assert first["agreement_with_given_labels"] == 1 / 4
    assert math.isnan(first["change"])
    assert first["fraction_correct_on_wrong"] == 1.0
    assert first["fraction_correct_on_clean"] == 1 / 3
    monitor.update(torch.arange(4), logits_for([0, 1, 2, 0]))
    second = monitor.end_epoch(by_rows([0, 1, 1, 0]))
    assert second["change"] == 2 / 4
    assert second["fraction_memorized_on_wrong"] == 1.0
    assert second["agreement_with_targets"] == 3 / 4


def test_rows_not_seen_do_not_count():
    monitor = Monitor([0, 1, 1])
    monitor.update(torch.tensor([0]), logits_for([0]))
    first = monitor.end_epoch()
    assert first["agreement_with_given_labels"] == 1.0
    assert math.isnan(first["change"])
    monitor.update(torch.tensor([1]), logits_for([0]))
    assert monitor.end_epoch()["agreement_with_given_labels"] == 0.0


def test_state_goes_on_between_epochs():
    monitor, again = Monitor([0, 1]), Monitor([0, 1])
    monitor.update(torch.arange(2), logits_for([0, 1]))
    monitor.end_epoch()
    again.load_state_dict(monitor.state_dict())
    for each in (monitor, again):
        each.update(torch.arange(2), logits_for([0, 2]))
    assert str(monitor.end_epoch()) == str(again.end_epoch())  # as text: NaN is NaN


def test_lengths_that_differ_are_refused():
    with pytest.raises(ArgumentError, match="2 given and 3 clean"):
        Monitor([0, 1], clean_labels=[0, 1, 2])
    with pytest.raises(ArgumentError, match="one each per example"):
        fractions([0], [0, 1], [0, 1])


def test_gradient_measures_of_a_case_counted_by_hand():
    gradients = [[-0.5, 0.4, 0.1], [0.3, -0.2, -0.1], [0.7, 0.0, -0.7]]
    probs = [[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.9, 0.05, 0.05]]
    measured = gradient_measures(gradients, probs, labels=[0, 1, 2], clean_labels=[0, 1, 0])
    assert measured["gradient_on_clean"] == pytest.approx((-0.5 - 0.2) / 2)
    assert measured["gradient_on_wrong"] == pytest.approx(0.7)
    assert measured["gradient_cross_entropy_on_clean"] == pytest.approx((0.6 - 1 + 0.5 - 1) / 2)
    assert measured["gradient_cross_entropy_on_wrong"] == pytest.approx(0.9)
    with pytest.raises(ArgumentError, match="1 gradients, 1 probabilities, 2 given and 1 clean"):
        gradient_measures([[0.0, 0.0]], [[0.5, 0.5]], [0, 1], [0])


def seen(monitor, *epochs):
    """The measures of each epoch, in which these classes were predicted of all rows."""
    measured = []
    for classes in epochs:
        monitor.update(torch.arange(len(classes)), logits_for(classes))
        measured.append(monitor.end_epoch())
    return measured


def test_standing_disagreement_and_dropped_objections_counted_by_hand():
    given = [0, 1, 2, 2]
    measured = seen(
        Monitor(given),
        [0, 0, 0, 1],
        [0, 0, 1, 1],
        [0, 0, 1, 1],  # rows 1 and 3 have said another class three times
        [0, 0, 1, 1],  # row 2 too: the most
        [0, 1, 2, 0],  # rows 1 and 2 give in, row 3 does not
        [0, 0, 2, 1],  # row 1 objects again, but not yet for long
    )
    standing = [record["standing_disagreement"] for record in measured]
    dropped = [record["objections_dropped"] for record in measured]
    assert all(map(math.isnan, standing[:2]))
    assert standing[2:] == [2 / 4, 3 / 4, 0.0, 0.0]
    assert all(map(math.isnan, dropped[:2]))
    assert dropped[2:] == [0.0, 0.0, 2 / 3, 1 / 3]


def test_chance_is_that_of_shuffled_labels():
    (measured,) = seen(Monitor([0, 0, 1, 1]), [0, 0, 0, 1])
    assert measured["agreement_by_chance"] == pytest.approx(0.75 * 0.5 + 0.25 * 0.5)


def test_targets_are_measured_against_clean_labels():
    monitor = Monitor([0, 1, 2, 2], clean_labels=[0, 1, 1, 0])
    monitor.update(torch.arange(4), logits_for([0, 1, 2, 2]))
    measured = monitor.end_epoch(by_rows([0, 0, 1, 2]))
    assert measured["target_accuracy"] == 2 / 4
    assert measured["target_accuracy_on_wrong"] == 1 / 2


def test_rows_that_said_nothing_do_not_count_against_the_targets():
    monitor = Monitor([0, 1, 2, 2], clean_labels=[0, 1, 1, 0])
    monitor.update(torch.tensor([0, 2, 3]), logits_for([0, 2, 1]))
    measured = monitor.end_epoch(by_rows([0, 1, 1, 1]))
    assert measured["agreement_with_targets"] == 2 / 3  # rows 0 and 3, of three
    assert measured["target_accuracy"] == 3 / 4


def test_gradients_are_asked_for_the_rows_seen_at_their_logits():
    monitor = Monitor([0, 1, 2, 1], clean_labels=[0, 1, 1, 0])
    logits = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    monitor.update(torch.tensor([2, 0, 3]), logits)
    asked = []

    def gradients(index, at):
        asked.append((index, at))
        return torch.full_like(at, 0.25)

    measured = monitor.end_epoch(gradients=gradients)
    ((index, at),) = asked
    assert index.tolist() == [0, 2, 3]
    torch.testing.assert_close(at, logits[[1, 0, 2]])
    assert measured["gradient_on_clean"] == measured["gradient_on_wrong"] == 0.25
    probs = torch.softmax(logits, dim=1)
    assert measured["gradient_cross_entropy_on_clean"] == pytest.approx(float(probs[1, 0]) - 1)
    assert measured["gradient_cross_entropy_on_wrong"] == pytest.approx(float(probs[0, 1] + probs[2, 0]) / 2)
    assert "gradient_on_clean" not in monitor.end_epoch(gradients=lambda index, at: None)


def test_a_sample_of_many_rows_has_both_kinds():
    given = torch.arange(50_000) % 3
    clean = torch.where(torch.arange(50_000) < 300, (given + 1) % 3, given)
    monitor = Monitor(given.numpy(), clean_labels=clean.numpy())
    logits = torch.randn(50_000, 3, generator=torch.Generator().manual_seed(0))
    for index in torch.randperm(50_000, generator=torch.Generator().manual_seed(0)).split(500):
        monitor.update(index, logits[index])
    asked = []
    monitor.end_epoch(gradients=lambda index, at: asked.append((index, at)))
    ((index, at),) = asked
    assert len(index) == 2_000 + 300
    assert set(range(300)) <= set(index.tolist())
    torch.testing.assert_close(at, logits[index])


def test_state_remembers_opinions():
    epochs = [0, 0, 1], [0, 0, 1], [0, 2, 1], [0, 2, 0]
    whole, first, second = (Monitor([1, 1, 1]) for _ in range(3))
    expected = seen(whole, *epochs)
    seen(first, *epochs[:2])
    second.load_state_dict(first.state_dict())
    assert [str(record) for record in seen(second, *epochs[2:])] == [str(record) for record in expected[2:]]


def test_margins_are_the_mean_over_the_epochs_counted_by_hand():
    monitor = Monitor([0, 2, 1])
    monitor.update(torch.tensor([1, 0]), torch.tensor([[1.0, 4.0, 2.0], [3.0, 2.5, -1.0]]))
    monitor.end_epoch()
    monitor.update(torch.tensor([0]), torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.bfloat16))
    monitor.end_epoch()
    np.testing.assert_allclose(monitor.margins, [(0.5 - 1.0) / 2, -2.0, np.nan])


def test_of_two_passes_the_last_one_has_the_margin():
    monitor = Monitor([0])
    for logits in ([[5.0, 0.0]], [[1.0, 3.0]]):
        monitor.begin_pass()
        monitor.update(torch.tensor([0]), torch.tensor(logits))
    monitor.end_epoch()
    np.testing.assert_allclose(monitor.margins, [-2.0])


def test_margins_of_the_ranks_come_together():
    """Each rank has seen one of the rows; the maximum of both is what one process would have."""
    ranks = [Monitor([0, 0]) for _ in range(2)]
    for row, monitor in enumerate(ranks):
        monitor.update(torch.tensor([row]), torch.tensor([[-1.0 - row, 0.0]]))
    for ours, theirs in zip(*(monitor.shared(torch.device("cpu")) for monitor in ranks), strict=True):
        ours.copy_(torch.maximum(ours, theirs))
    ranks[0].end_epoch()
    np.testing.assert_allclose(ranks[0].margins, [-1.0, -2.0])


def test_margins_go_on_from_a_checkpoint():
    first, second = Monitor([0, 1]), Monitor([0, 1])
    first.update(torch.tensor([0, 1]), torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
    first.end_epoch()
    second.load_state_dict(first.state_dict())
    second.update(torch.tensor([0]), torch.tensor([[0.0, 2.0]]))
    second.end_epoch()
    np.testing.assert_allclose(second.margins, [-0.5, 3.0])
    np.testing.assert_allclose(first.margins, [1.0, 3.0])


@pytest.mark.parametrize("kept", [["x"], [torch.zeros(2)], [torch.zeros(5, 3)]])
def test_the_course_of_other_rows_is_refused(kept):
    course = Course(2, epochs=1)
    with pytest.raises(ValueError, match="not that of 2 rows"):
        course.load_state_dict({"epoch": 1, "epochs": [1], "kept": kept})


def test_rows_measured_some_at_a_time_give_the_same(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (50,), generator=generator)
    monitors, found = [Monitor(labels.numpy()) for _ in range(2)], [[], []]
    sizes = [7, 2**16]
    for epoch in range(6):
        rows = torch.randperm(50, generator=generator)[: 30 if epoch == 2 else 50]
        logits = torch.randn(len(rows), 4, generator=generator) + 2.0 * torch.eye(4)[labels[rows].sub(1).clamp(min=0)]
        favored = torch.randint(4, (50,), generator=generator).tolist()
        for number, monitor in enumerate(monitors):
            monkeypatch.setattr(monitor_module, "parts", lambda count, number=number: parts(count, most=sizes[number]))
            monitor.update(rows, logits)
            found[number].append(monitor.end_epoch(by_rows(favored, sizes[number])))
    assert repr(found[0]) == repr(found[1])  # NaN are equal so
    assert found[0][-1]["objections_dropped"] >= 0.0
    states = [monitor.state_dict() for monitor in monitors]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_many_classes_and_epochs_are_counted_in_wider_numbers():
    monitor = Monitor([0, 32_767, 1])
    rows, logits = torch.arange(3), torch.zeros(3, 32_769)
    logits[0, 0] = logits[1, 32_768] = logits[2, 1] = 1.0
    monitor.update(rows, logits)
    assert monitor.previous.dtype == torch.int16
    monitor.end_epoch()
    assert monitor.previous.tolist() == [0, 32_768, 1]
    monitor.margin_counts.fill_(torch.iinfo(torch.int16).max - 1)
    for count in (32_767, 32_768):
        monitor.update(rows, logits)
        measures = monitor.end_epoch()
        assert measures["change"] == 0.0
        assert monitor.margin_counts.tolist() == [count] * 3
    again = Monitor([0, 32_767, 1])
    again.load_state_dict(monitor.state_dict())
    for each in (monitor, again):
        each.update(rows, logits)
    assert str(monitor.end_epoch()) == str(again.end_epoch())
    assert np.array_equal(monitor.margins, again.margins)


def test_few_classes_and_epochs_are_counted_in_narrow_numbers():
    monitor = Monitor([0, 1])
    for _ in range(3):
        monitor.update(torch.arange(2), torch.eye(2))
        monitor.end_epoch()
    kept = {name: value.dtype for name, value in monitor.state_dict().items()}
    assert kept == {
        "previous": torch.int16,
        "stood": torch.uint8,
        "objected": torch.bool,
        "margin_sums": torch.float32,
        "margin_counts": torch.int16,
    }
    assert monitor.margins.tolist() == [1.0, 1.0]
    monitor.update(torch.arange(2), torch.tensor([[2.0, 1.0], [0.0, 0.0]]))
    monitor.end_epoch()
    monitor.margin_counts += 3  # as after 7 epochs: 4 / 7 and 3 / 7 are other numbers in float32
    assert monitor.margins.tolist() == [4 / 7, 3 / 7]
