from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from elr.runs.bench.show.pictures import draw, rate_figure, seconds_figure
from elr.runs.bench.show.results import Results
from elr.runs.bench.show.summary import summarize
from tiny_bench import bench, cell, joined, result

COLUMNS = [
    ("digits", "none", None),
    ("digits", "symmetric", 0.8),
    ("digits", "symmetric", 0.4),
    ("digits", "human", "worst"),
    ("digits", "human", "aggre"),
]


@pytest.fixture
def found():
    scores = {"elr": 0.75, "mae": 0.5}
    return joined(
        *(
            bench({name: (score, score - rank / 16) for name, score in scores.items()}, column=column)
            for rank, column in enumerate(COLUMNS)
        )
    )


def lines_of(axes):
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_each_noise_has_a_panel_and_clean_labels_are_a_rate_of_zero(found):
    figure = rate_figure(summarize(found), "digits")
    symmetric, human = figure.axes
    assert (symmetric.get_title(), human.get_title()) == ("digits, symmetric", "digits, human")
    assert list(lines_of(symmetric)) == ["elr", "mae"]
    line = lines_of(symmetric)["elr"]
    np.testing.assert_allclose(line.get_xdata(), [0, 0.4, 0.8], atol=0.04)
    np.testing.assert_allclose(line.get_ydata(), [0.75, 0.75 - 2 / 32, 0.75 - 1 / 32])
    assert [text.get_text() for text in human.get_xticklabels()] == ["worst", "aggre"]
    assert [text.get_text() for text in symmetric.texts] == ["mae", "elr"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["elr", "mae"]


def test_bars_are_a_standard_deviation_to_each_side(found):
    axes = rate_figure(summarize(found), "digits").axes[0]
    [elr, _] = [collection.get_segments() for collection in axes.collections]
    half = np.std([0.75, 0.75 - 2 / 16], ddof=1)
    np.testing.assert_allclose(elr[1][:, 1], [0.75 - 2 / 32 - half, 0.75 - 2 / 32 + half])


def test_clean_labels_beside_human_ones_alone_have_a_panel(found):
    kept = [each for each in found.results if each.cell.noise != "symmetric"]
    some = Results(cells=[each.cell for each in kept], results=kept)
    assert [axes.get_title() for axes in rate_figure(summarize(some), "digits").axes] == ["digits", "digits, human"]


def test_incomplete_means_are_hollow():
    summary = summarize(bench({"elr": (0.5, 0.6), "mae": (0.4, 0.5)}, missing=[("mae", 1)]))
    figure = rate_figure(summary, "digits")
    hollow = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert [line.get_ydata()[0] for line in hollow] == [0.4]
    assert figure.legends[0].get_texts()[-1].get_text() == "hollow: some seeds are missing"


def test_seconds_have_a_panel_for_each_column(found):
    figure = seconds_figure(summarize(found, against="mae"), "digits", mixed="threads 1 and 2")
    assert len(figure.axes) == len(COLUMNS)
    axes = figure.axes[1]
    assert axes.get_title() == "digits, symmetric 0.8"
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "seconds of training (NOT COMPARABLE)"
    assert lines_of(axes)["elr"].get_xdata() == [2.0]
    assert len(axes.collections) == 4  # bars both ways of two methods
    figure.draw_without_rendering()


def test_many_methods_have_names_that_do_not_hide_one_another():
    names = [f"method_{number}" for number in range(18)]
    summary = summarize(bench({name: (0.9 + number / 1e4,) for number, name in enumerate(names)}))
    figure = rate_figure(summary, "digits")
    figure.draw_without_rendering()
    boxes = sorted((text.get_window_extent() for text in figure.axes[0].texts), key=lambda box: box.y0)
    assert all(below.y0 + 0.75 * below.height <= above.y0 for below, above in pairwise(boxes))
    lines = lines_of(figure.axes[0]).values()
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == 18
    legend = figure.legends[0].get_window_extent()
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.x1


@pytest.mark.parametrize("seconds", [(0.001, 900.0), (2.0, 2.1), (1.0, 30.0), (5.0, 5.0)])
def test_ticks_of_seconds_are_few_and_plain(seconds):
    results = [result(name, seconds=value) for name, value in zip("ab", seconds, strict=True)]
    figure = seconds_figure(summarize(Results(cells=[each.cell for each in results], results=results)), "digits")
    figure.draw_without_rendering()
    [axes] = figure.axes
    low, high = axes.get_xlim()
    shown = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert 2 <= len(shown) <= 12


def test_pictures_are_written_for_each_data_set(tmp_path, found):
    odd = bench({"a $x$ b": (0.5,), "_b": (0.6,)}, column=("My Data/$1$", "symmetric", 0.2))
    same = bench({"elr": (0.5,)}, column=("My-Data-1-", "symmetric", 0.2))
    whole = joined(found, odd, same)
    summary = summarize(whole)
    paths = draw(whole, summary, tmp_path / "new" / "folder")
    assert sorted({path.name.removesuffix(path.suffix) for path in paths}) == sorted(
        f"{name}-{kind}" for name in ("digits", "My-Data-1", "My-Data-1-2") for kind in ("noise-rate", "seconds")
    )
    assert len(paths) == 12
    for path in paths:
        assert path.stat().st_size > 1000
    with Image.open(tmp_path / "new" / "folder" / "digits-seconds.png") as image:
        assert image.format == "PNG"
    assert draw(whole, summary, tmp_path / "new" / "folder") == paths


def test_nothing_finished_on_a_data_set_is_an_empty_panel(tmp_path, found):
    whole = Results(cells=[*found.cells, cell(column=("faces", "symmetric", 0.2))], results=found.results)
    assert len(draw(whole, summarize(whole), tmp_path)) == 8
