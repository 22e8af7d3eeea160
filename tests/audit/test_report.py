"""The page is safe with hostile data, complete without a network, and right about the numbers it shows."""

import base64
import copy
import hashlib
import io
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from choices import a_choice, candidate
from elr.audit import charts
from elr.audit import report as module
from elr.audit.report import Report, Suspect, check_choice, render
from elr.errors import ArgumentError

NBSP = "\N{NO-BREAK SPACE}"
DASH = "\N{EN DASH}"
HOSTILE = [
    "<script>alert(1)</script>",
    "\"'><img src=http://evil.example/x onerror=alert(1)>",
    "</style></title></svg><script>",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.elif\u202c\u2066",
    "A" * 10_000,
    "مرحبا\u200f",
    "nul\x00 surrogate\udcff bell\x07",
]
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Checks that tags balance; keeps elements and text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.words = [], [], []
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"attribute twice in {tag}: {attrs}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in ("td", "th", "dt", "dd", "li", "p"):
            self.words.append(" ")

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        curly = {"\N{LEFT SINGLE QUOTATION MARK}": "'", "\N{RIGHT SINGLE QUOTATION MARK}": "'"}
        return re.sub(r"[ \n]+", " ", "".join(self.words)).translate(str.maketrans(curly))

    def all(self, tag: str, **wanted) -> list[dict]:
        classes = wanted.pop("class_", None)
        found = [attrs for name, attrs in self.elements if name == tag and wanted.items() <= attrs.items()]
        return [attrs for attrs in found if classes is None or classes in (attrs.get("class") or "").split()]


def png(side: int = 8) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.arange(side * side, dtype=np.uint8).reshape(side, side)).save(out, "PNG")
    return out.getvalue()


def jpeg() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (96, 96), "navy").save(out, "JPEG")
    return out.getvalue()


def flipping(num_classes: int, *pairs: tuple[int, int, float]) -> np.ndarray:
    matrix = np.eye(num_classes)
    for clean, given_class, rate in pairs:
        matrix[clean, given_class] += rate
        matrix[clean, clean] -= rate
    return matrix


def fractions(epochs: int) -> list[dict]:
    return [
        {
            "epoch": epoch,
            "loss": 2.0 / epoch,
            "fraction_correct_on_wrong": 0.5 + 0.001 * epoch,
            "fraction_memorized_on_wrong": 0.3,
            "fraction_incorrect_on_wrong": 0.2 - 0.001 * epoch,
            "fraction_correct_on_clean": 0.9,
            "test_accuracy": 0.8,
            "agreement_with_given_labels": 0.6,
            "agreement_with_targets": 0.7,
        }
        for epoch in range(1, epochs + 1)
    ]


def a_report(**changes) -> Report:
    plain = Report(
        title="Pets",
        out="elr-out",
        command="elr fit pets.csv --label kind",
        created="2026-01-31 12:00",
        num_examples=1437,
        num_classes=3,
        class_names=["cat", "dog", "bird"],
        noise_rate=0.398,
        noise_rate_interval=(0.373, 0.423),
        num_label_issues=571,
        transition_matrix=flipping(3, (1, 0, 0.25), (0, 1, 0.125)),
        suspects=[Suspect(row=7, id="a.png", given_label="cat", predicted_label="dog", label_quality=0.0123)],
        settings={"network": "mlp", "lam": 3.0, "mixup": False, "seed": 123456, "schedule": None},
        history=fractions(5),
        confusions=[
            {"given": "cat", "clean": "dog", "num_rows": 1203},
            {"given": "dog", "clean": "cat", "num_rows": 1},
        ],
    )
    return replace(plain, **changes)


def of_classes(count: int, **changes) -> Report:
    names = [f"class {i}" for i in range(count)]
    matrix = np.full((count, count), 0.2 / count) + 0.8 * np.eye(count)
    return a_report(num_classes=count, class_names=names, transition_matrix=matrix, **changes)


# What the page says


def test_the_summary_is_for_a_person_in_a_hurry():
    text = Page(render(a_report())).text
    assert (
        f"About 39.8{NBSP}% of the 1,437 labels look wrong (95{NBSP}% interval 37.3{DASH}42.3{NBSP}%): 571 rows" in text
    )
    assert "Most often: 'cat' should be 'dog' (1,203 rows), 'dog' should be 'cat' (1 row)." in text  # as elr audit
    assert "issues.csv" in text
    assert "elr predict elr-out DATA --out predictions.csv" in text
    assert "elr fit pets.csv --label kind" in text
    assert "also counts examples that are ambiguous or that the model cannot learn" in text


def test_an_interval_that_is_not_known_is_left_out():
    text = Page(render(a_report(noise_rate_interval=(math.nan, math.nan)))).text
    assert "interval" not in text
    assert "nan" not in text.lower()


def test_the_summary_says_how_many_of_the_suspects_are_expected_to_be_wrong_where_that_is_known():
    assert "expected to be wrong" not in Page(render(a_report())).text
    text = Page(render(a_report(expected_precision=0.434))).text
    assert f"571 rows to look at, of which about 43.4{NBSP}% are expected to be wrong." in text


def test_the_summary_names_the_noisiest_classes():
    text = Page(render(a_report())).text
    assert f"Noisiest classes: 'dog' (25.0{NBSP}%), 'cat' (12.5{NBSP}%), the share of its examples" in text


def test_what_to_do_next_has_the_commands():
    text = Page(render(a_report(cleaned="pets cleaned.csv"))).text
    assert "elr clean elr-out --decisions decisions.csv --out 'pets cleaned.csv'" in text
    assert "elr clean elr-out" not in Page(render(a_report())).text


def test_the_best_epoch_is_explained_where_it_is_there():
    rows = [{"method": "elr", "test_accuracy_last": 0.93}, {"method": "cross_entropy", "test_accuracy_last": 0.71}]
    assert "best epoch" not in Page(render(a_report(comparison=rows))).text
    rows = [row | {"test_accuracy_best": 0.95} for row in rows]
    assert "the best epoch was picked with the test labels and flatters" in Page(render(a_report(comparison=rows))).text


def test_two_fractions_of_memorized_labels_are_told_apart():
    one = Page(render(a_report(measured={"fraction_memorized": 0.36}))).text
    assert "fraction memorized, final model" in one
    assert "Counted in each epoch, as it trains. The fraction memorized of the final model" in one
    assert "final model" not in Page(render(a_report())).text


def test_no_suspects():
    report = a_report(num_label_issues=0, suspects=[], noise_rate=0.0, transition_matrix=np.eye(3), confusions=[])
    text = Page(render(report)).text
    assert text.count("No label contradicts the evidence.") == 2
    assert "Most often" not in text


def test_suspects_without_a_share_of_wrong_labels():
    """Of a network that memorized its labels: rows stand out, and nobody knows how many others are wrong."""
    suspects = [Suspect(row=7, id=None, given_label="cat", predicted_label="dog", label_quality=0.1)]
    rates = {"noise_rate": math.nan, "noise_rate_interval": (0.0, 1.0)}
    page = Page(render(a_report(num_label_issues=1, suspects=suspects, **rates))).text
    assert "How many of the 1,437 labels are wrong cannot be said. 1 row to look at." in page
    assert "Which class was written for which Not known" in page
    assert not re.search("95.% interval|Noisiest|estimated share of right labels", page)


def test_suspects_come_worst_first_and_their_number_is_bounded():
    suspects = [
        Suspect(row=i, id=None, given_label="cat", predicted_label="dog", label_quality=1 - i / 1000)
        for i in range(500)
    ]
    section = Page(render(a_report(suspects=suspects))).text.split("Next The 200 rows")[1]
    section = "The 200 rows" + section
    assert "The 200 rows of lowest label quality" in section
    assert [int(row) for row in re.findall(r"(\d+) cat dog", section)] == list(range(499, 299, -1))


def test_a_card_has_its_picture_and_both_labels():
    card = Suspect(
        row=7,
        id="x.png",
        given_label="cat",
        predicted_label="dog",
        label_quality=0.0001,
        thumbnail=png(),
        fields={"k": "v"},
    )
    page = Page(render(a_report(suspects=[card, replace(card, row=8, thumbnail=jpeg())])))
    (small, large) = page.all("img")
    assert small["src"].startswith("data:image/png;base64,")
    assert large["src"].startswith("data:image/jpeg;base64,")
    assert (small.get("class"), large.get("class")) == ("pixels", None)
    assert "cat" in small["alt"]
    assert "dog" in small["alt"]
    assert page.text.count(f"<{NBSP}0.001") == 2
    assert len(page.all("del")) == 2


def test_a_label_that_the_model_would_keep_is_not_struck():
    kept = Suspect(row=7, id=None, given_label="cat", predicted_label="cat", label_quality=0.4)
    assert not Page(render(a_report(suspects=[kept]))).all("del")


def test_rows_of_a_table_keep_their_columns():
    rows = [
        Suspect(row=1, id=None, given_label="a", predicted_label="b", label_quality=0.1, fields={"text": "one"}),
        Suspect(row=2, id=None, given_label="a", predicted_label="b", label_quality=0.2, fields={"stars": "5"}),
    ]
    page = Page(render(a_report(suspects=rows)))
    assert f"Row Given Suggested Quality text stars 1 a b 0.100 one {DASH} 2 a b 0.200 {DASH} 5" in page.text


def test_settings_stand_as_they_are():
    text = Page(render(a_report())).text
    for shown in ("lam 3.0", "mixup no", "seed 123456", f"schedule {DASH}", "network mlp"):
        assert shown in text


def test_measured_numbers_are_marked():
    assert "Measured" not in Page(render(a_report())).text
    measured = {"test_accuracy": 0.9333, "num_wrong_labels": 1576, "unknown": None}
    text = Page(render(a_report(measured=measured))).text
    assert "Measured, not estimated trusted labels" in text
    assert f"test accuracy 93.3{NBSP}%" in text
    assert "number of wrong labels 1,576" in text
    assert f"unknown {DASH}" in text


def test_the_comparison_marks_the_best_of_each_column():
    rows = [
        {"method": "elr", "test_accuracy_last": 0.93, "fraction_memorized": 0.05, "seconds": 12.31},
        {"method": "cross_entropy", "test_accuracy_last": 0.71, "fraction_memorized": 0.85, "seconds": 11.9},
    ]
    html = render(a_report(comparison=rows))
    best = re.findall(r'<td class="n best"><bdi>([^<]*)', html)
    assert best == [f"93.0{NBSP}%", f"5.0{NBSP}%"]
    assert "test accuracy, at the end" in Page(html).text


def test_notes_are_announced_at_the_top():
    text = Page(render(a_report(notes=["Only 3 examples of bird.", "One seed."]))).text
    assert text.index("2 notes") < text.index("What to do next") < text.index("Only 3 examples of bird.")


# Curves


def figures(**changes) -> dict[str, dict]:
    report = a_report(**changes)
    return {figure["name"]: figure for figure in charts.figures(module._runs(report), expected=0.6)}


def test_memorization_is_drawn_where_clean_labels_are_known_else_agreement():
    assert list(figures()) == ["memorization", "fraction_correct_on_clean", "test_accuracy"]
    blind = [{k: v for k, v in row.items() if "fraction" not in k and k != "test_accuracy"} for row in fractions(5)]
    assert list(figures(history=blind)) == ["agreement"]
    assert list(figures(history=[{"epoch": 1, "loss": 2.0}])) == ["loss"]
    assert list(figures(history=[])) == []


def test_methods_are_drawn_on_one_scale_and_the_pages_own_only_once():
    compared = figures(comparison_history={"cross_entropy": fractions(9), "elr": fractions(3)})
    assert [panel["title"] for panel in compared["memorization"]["panels"]] == ["elr", "cross_entropy"]
    (panel,) = compared["test_accuracy"]["panels"]
    assert [line["label"] for line in panel["lines"]] == ["elr", "cross_entropy"]
    ends = [panel["places"][-1][0] for panel in compared["memorization"]["panels"]]
    assert ends[0] < ends[1] == charts.BOX["right"]


def test_gaps_stay_gaps():
    history = [{"epoch": i, "test_accuracy": v} for i, v in enumerate([0.1, 0.2, None, 0.4, math.nan, 0.6, 0.7], 1)]
    (panel,) = figures(history=history)["test_accuracy"]["panels"]
    (line,) = panel["lines"]
    assert line["path"].count("M") == 2
    assert line["path"].count("L") == 2
    assert len(line["dots"]) == 1
    assert len(panel["places"]) == 5


@pytest.mark.parametrize("epochs", [1, 2, 5000])
def test_curves_of_any_length_stay_inside_their_box_and_small(epochs):
    html = render(a_report(history=fractions(epochs)))
    assert len(html) < 400_000
    box = charts.BOX
    for d in re.findall(r'class="line" d="M([\d. L-]+)"', html):
        for point in re.split("[ML]", d):
            x, y = (float(number) for number in point.split())
            assert box["left"] <= x <= box["right"]
            assert box["top"] <= y <= box["bottom"]


def test_labels_at_the_ends_do_not_overlap():
    history = [{"epoch": epoch, "test_accuracy": 0.9} for epoch in (1, 2)]
    many = {f"method {i}": [{"epoch": epoch, "test_accuracy": 0.9 + i / 1e4} for epoch in (1, 2)] for i in range(8)}
    (panel,) = figures(history=history, comparison_history=many)["test_accuracy"]["panels"]
    heights = sorted(line["y"] for line in panel["lines"])
    assert min(np.diff(heights)) >= 14 - 1e-9
    assert charts.BOX["top"] <= heights[0]
    assert heights[-1] <= charts.BOX["bottom"]


# Transition matrix


def test_up_to_20_classes_show_numbers():
    page = Page(render(of_classes(20)))
    assert len(page.all("table", class_="heat")) == 1
    assert len(page.all("td", class_="kept")) == 20
    assert not page.all("svg", class_="grid")


def test_up_to_100_classes_show_a_grid_and_pairs():
    html = render(replace(of_classes(100), transition_matrix=flipping(100, (3, 5, 0.4), (9, 1, 0.2))))
    page = Page(html)
    assert len(page.all("svg", class_="grid")) == 1
    assert not page.all("table", class_="heat")
    assert "M5 3h1v1h-1z" in html
    assert page.text.index("class 3") < page.text.index("class 9")
    assert len(html) < 100_000


def test_300_classes_show_pairs_only():
    html = render(replace(of_classes(300), transition_matrix=flipping(300, (3, 5, 0.4))))
    page = Page(html)
    assert not page.all("svg", class_="grid")
    assert not page.all("table", class_="heat")
    assert "class 5" in page.text
    assert len(html) < 65_000


def test_a_dense_grid_of_100_classes_stays_small():
    rng = np.random.default_rng(0)
    matrix = rng.dirichlet(np.ones(100), size=100)
    assert len(render(replace(of_classes(100), transition_matrix=matrix))) < 250_000


# Safety


def hostile_report() -> Report:
    count = len(HOSTILE)
    suspects = [
        Suspect(
            row=i,
            id=HOSTILE[i],
            given_label=HOSTILE[i],
            predicted_label=HOSTILE[i - 1],
            label_quality=0.1,
            thumbnail=png() if i % 2 else None,
            fields={name: name for name in HOSTILE},
        )
        for i in range(count)
    ]
    return Report(
        title="".join(HOSTILE[:3]),
        out=HOSTILE[1],
        command=HOSTILE[2],
        created=HOSTILE[0],
        num_examples=100,
        num_classes=count,
        class_names=HOSTILE,
        noise_rate=0.5,
        noise_rate_interval=(0.4, 0.6),
        num_label_issues=50,
        transition_matrix=np.roll(np.eye(count), 1, axis=1) * 0.5 + np.eye(count) * 0.5,
        suspects=suspects,
        settings={name: name for name in HOSTILE},
        choice=hostile_choice(),
        history=fractions(3),
        method=HOSTILE[0],
        comparison=[dict.fromkeys(["method", *HOSTILE], name) for name in HOSTILE],
        comparison_history={name: [{**row, name: 1.0} for row in fractions(3)] for name in HOSTILE},
        measured=dict.fromkeys(HOSTILE, 0.5),
        notes=HOSTILE,
        warnings=HOSTILE,
    )


def hostile_choice() -> dict:
    """As a report.json that was tampered with has it."""
    choice = a_choice()
    settings = [setting | {"text": name} for setting, name in zip(choice["settings"], HOSTILE, strict=False)]
    return choice | {"text": "".join(HOSTILE), "settings": settings + choice["settings"][len(settings) :]}


def words(text: str) -> set[str]:
    return set(text.split())


ELEMENTS = words(
    """html head meta link title style body header h1 h2 h3 p nav a main section strong span ol ul li code pre dl dt dd
    div
    table thead tbody tr th td figure figcaption svg path text tspan g rect line circle bdi img del details summary
    script button label select option input kbd progress"""
)
ATTRIBUTES = words(
    """lang charset http-equiv content name rel href class style id aria-label aria-hidden title role tabindex scope
    src alt
    type value max disabled hidden autocomplete spellcheck placeholder aria-live data-issues
    viewbox d x y x1 x2 y1 y2 cx cy r width height opacity text-anchor"""
)


@pytest.mark.parametrize("make", [hostile_report, a_report, lambda: of_classes(50), lambda: of_classes(300)])
def test_only_known_elements_and_no_address_outside_the_page(make):
    html = render(make())
    page = Page(html)
    html.encode("utf-8")
    assert {tag for tag, _ in page.elements} <= ELEMENTS
    assert {name for _, attrs in page.elements for name in attrs} <= ATTRIBUTES
    addresses = [value for _, attrs in page.elements for key, value in attrs.items() if key in ("src", "href")]
    assert all(re.match(r"#[a-z]+$|data:", address) for address in addresses)
    anchors = {address[1:] for address in addresses if address.startswith("#")}
    assert anchors <= {attrs.get("id") for _, attrs in page.elements}
    css = html[html.index("<style>") : html.index("</style>")]
    assert not re.search(r"url\(|@import|https?:", css)
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    script = html.rpartition("<script>")[2].partition("</script>")[0] if page.all("script") else review_script()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'"
    )
    assert script == review_script()


def review_script() -> str:
    templates = Path(module.__file__).with_name("templates")
    return "".join(templates.joinpath(name).read_text() for name in ("why.js", "review.js"))


def test_the_script_never_makes_markup_of_text():
    forbidden = "innerHTML|outerHTML|insertAdjacent|document\\.write|eval|Function\\(|fetch|XMLHttp|http|import"
    assert not re.search(forbidden, review_script())


def test_hostile_names_stay_text():
    html = render(hostile_report())
    for name in HOSTILE[:3]:
        assert name not in html
    assert re.findall("<script[^>]*>", html) == ['<script type="application/json" id="review-data">', "<script>"]
    assert "<img src=http" not in html
    assert "7 * 7" in html
    assert not re.search("[\0-\b\v\f\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", html)
    isolated = re.sub(r"<bdi[^>]*>.*?</bdi>", "", html, flags=re.DOTALL)
    bare = re.sub(r"&#x2068;.*?&#x2069;", "", isolated, flags=re.DOTALL)
    bare = re.sub("<script.*?</script>", "", bare, flags=re.DOTALL)
    assert "مرحبا" not in bare


def test_long_names_are_cut_and_their_beginning_is_in_a_title():
    html = render(hostile_report())
    page = Page(html)
    assert "A" * 4001 not in re.sub('"classes".*?"columns"', "", html)  # decisions are exported with the whole name
    assert any(len(attrs.get("title", "")) == 1000 for attrs in page.all("bdi"))
    assert len(html) < 1_000_000


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=60))
def test_any_name_gives_a_page_that_parses(name):
    suspect = Suspect(row=1, id=name, given_label=name, predicted_label="dog", label_quality=0.1, fields={name: name})
    html = render(a_report(class_names=[name, "dog", "bird"], title=name, out=name, suspects=[suspect], notes=[name]))
    html.encode("utf-8")
    assert {tag for tag, _ in Page(html).elements} <= ELEMENTS


def test_equal_reports_give_equal_pages():
    assert render(hostile_report()) == render(hostile_report())


# What the script reads


def embedded(html: str) -> dict:
    return json.loads(html.partition('id="review-data">')[2].partition("</script>")[0])


def test_all_suspects_are_embedded_as_they_are():
    suspects = [
        Suspect(
            row=i,
            id=name,
            given_label=name,
            predicted_label=HOSTILE[0],
            label_quality=i / 10,
            thumbnail=png() if i == 2 else None,
            fields={name: "=1+1"} if i == 3 else {},
        )
        for i, name in enumerate(HOSTILE)
    ]
    report = a_report(suspects=suspects, class_names=HOSTILE, num_classes=8, transition_matrix=np.eye(8))
    data = embedded(render(report))
    assert data["names"] == HOSTILE
    assert data["columns"] == [HOSTILE[3]]
    assert [row[:5] for row in data["rows"][:3]] == [[i, HOSTILE[i], i, 0, i / 10] for i in range(3)]
    assert base64.b64decode(data["rows"][2][5]) == png()
    assert data["rows"][3][5:] == [0, ["=1+1"]]
    assert len(data["rows"][5][1]) == 200


def test_the_key_of_the_decisions_tells_runs_apart_but_not_their_place():
    keys = [embedded(render(a_report(**changes)))["key"] for changes in ({}, {"out": "moved"}, {"created": "later"})]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("pictures", [False, True])
def test_a_page_of_40_000_suspects_stays_below_5_megabytes(pictures):
    rng = np.random.default_rng(0)
    classes = [f"class {i}" for i in range(10)]
    noise = "".join(chr(0x21 + i % 94) for i in range(2000)) + "äöü&<>" * 50
    image = png(64) + bytes(rng.integers(0, 256, 2500, dtype=np.uint8))

    def fields(i: int) -> dict:
        return {f"column {k}": f"{i * k % 9973 / 7:.4f}" for k in range(11)} | {"text": noise[i % 1500 :][:300]}

    suspects = [
        Suspect(
            row=int(row),
            id=f"folder/of/class/image-{row:06d}.png",
            given_label=classes[i % 10],
            predicted_label=classes[i % 7 - 7],
            label_quality=i / 40_000,
            thumbnail=image if pictures else None,
            fields=fields(i),
        )
        for i, row in enumerate(rng.permutation(100_000)[:40_000])
    ]
    report = of_classes(10, num_examples=100_000, num_label_issues=40_000, suspects=suspects, history=fractions(100))
    html = render(report)
    assert 3_000_000 < len(html.encode()) < 5_000_000
    rows = embedded(html)["rows"]
    assert len(rows) == 40_000  # every one of them, though not all with cells
    with_cells, with_picture = (sum(len(row) > place and row[place] != 0 for row in rows) for place in (6, 5))
    assert with_picture > 300 if pictures else with_cells > 3000


@pytest.mark.parametrize("length", [0, 10_000])
def test_where_even_the_rows_have_no_room_the_worst_are_embedded(length):
    suspects = [
        Suspect(row=i, id="é" * 200, given_label="cat", predicted_label="dog", label_quality=0.1) for i in range(20_000)
    ]
    names = [f"{i}" + "x" * length for i in range(300)]
    report = a_report(suspects=suspects, class_names=names, num_classes=300, transition_matrix=np.eye(300))
    html = render(report)
    assert len(html.encode()) < 5_000_000
    rows = embedded(html)["rows"]
    assert [row[0] for row in rows] == list(range(len(rows)))
    assert 3_000 < len(rows) < 20_000


# Shape of the page


def test_headings_tables_and_pictures_are_marked_up():
    page = Page(render(a_report(comparison=[{"method": "elr", "seconds": 1.0}])))
    assert len(page.all("h1")) == 1
    assert page.all("html", lang="en")
    assert all("scope" in attrs for attrs in page.all("th"))
    assert all(attrs.get("aria-label") or attrs.get("aria-hidden") for attrs in page.all("svg"))
    assert "viewport" in str(page.all("meta"))


def test_dark_and_print_are_thought_of():
    html = render(a_report())
    assert "@media screen and (prefers-color-scheme: dark)" in html
    assert "@media print" in html


# How settings were chosen


def test_the_page_says_how_settings_were_chosen_where_some_were():
    page = Page(render(a_report(choice=a_choice())))
    assert page.all("section", id="choice")
    assert "Settings: lam 7" in page.text
    text = page.text.replace(NBSP, " ").replace(DASH, "-")
    assert "1: lam 7 10 60.0 % 60.0 % - yes 2: lam 2 10 59.5 % 59.5 % 0.5 ± 2.0 yes" in text
    assert "16 more candidates stand in run.json" in page.text
    assert len(page.all("path", class_="faint")) == 10 + 1, "the settings that were not chosen, and the key"
    assert (
        "The same data, trained by each method"
        in Page(render(a_report(choice=a_choice(), comparison=[{"method": "elr", "seconds": 1.0}]))).text
    )
    assert not Page(render(a_report())).all("section", id="choice")


def changed(path, value):
    choice = copy.deepcopy(a_choice())
    place = choice
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return choice


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("text",), 3, "a text is no text"),
        (("settings", 0, "text"), None, "a text is no text"),
        (("settings",), 3, "not as run.json has it"),
        (("settings", 0, "curve"), [[1]], "not as run.json has it"),
        (("settings", 0, "curve"), [["<b>", 0.5]], "epoch '<b>'; expected a number"),
        (("settings", 0, "curve"), [[1, 1.5]], "score of a curve is 1.5"),
        (("candidates", 0), {"setting": 0}, "choice has no 'epoch'"),
        (("candidates", 0, "setting"), 12, "the setting 12 of 12"),
        (("candidates", 0, "epoch"), 0, "the epoch 0"),
        (("candidates", 0, "score"), "0.5", "'0.5' where a number"),
        (("candidates", 0, "behind"), -0.1, "behind of a candidate is -0.1"),
        (("candidates", 0, "chosen"), 1, "chosen is 1"),
        (("candidates",), [candidate(0, 5, 0.4)], "no candidate is chosen"),
    ],
)
def test_what_is_no_choice_is_refused(path, value, message):
    with pytest.raises(ArgumentError, match=message):
        check_choice(changed(path, value))


def test_where_nothing_was_chosen_there_is_nothing_to_check():
    check_choice({})


# Errors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transition_matrix": np.eye(2)}, r"shape \(2, 2\); expected \(3, 3\)"),
        ({"transition_matrix": np.eye(3)[0]}, "shape"),
        ({"transition_matrix": flipping(3, (0, 1, 0.4)).T}, r"noise_matrix as its \.T"),
        ({"transition_matrix": np.full((3, 3), math.nan)}, "sum to 1"),
        ({"class_names": ["cat"]}, "1 names for 3 classes"),
        ({"num_classes": 1}, "at least 2"),
        ({"num_examples": 0}, "at least one"),
        ({"num_label_issues": 2000}, "2000 of 1437"),
        ({"noise_rate": 39.8}, "0.4 for 40 %"),
        ({"expected_precision": 43.4}, "expected_precision is 43.4"),
        ({"noise_rate_interval": (0.5, 0.4)}, "noise_rate_interval"),
        ({"noise_rate_interval": (37.0, 42.0)}, "noise_rate_interval"),
    ],
)
def test_a_report_that_cannot_be_right_is_refused(changes, message):
    with pytest.raises(ArgumentError, match=message):
        a_report(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"row": -1}, "from 0"),
        ({"label_quality": 1.5}, "label_quality"),
        ({"label_quality": math.nan}, "label_quality"),
        ({"thumbnail": b"GIF89a"}, "PNG or JPEG"),
        ({"thumbnail": b""}, "PNG or JPEG"),
        ({"thumbnail": png() + bytes(300_000)}, "shrink"),
    ],
)
def test_a_suspect_that_cannot_be_right_is_refused(changes, message):
    plain = Suspect(row=1, id=None, given_label="cat", predicted_label="dog", label_quality=0.1)
    with pytest.raises(ArgumentError, match=message):
        replace(plain, **changes)


def test_warnings_stand_before_the_estimate():
    text = Page(render(a_report(warnings=["No row is predicted as 'cat'.", "The labels seem to err one way."]))).text
    places = [text.index(word) for word in ("No row is predicted as 'cat'.", "err one way", "39.8")]
    assert places == sorted(places)
    assert "Warning." not in Page(render(a_report())).text


def test_where_nothing_was_learned_no_number_is_said():
    text = Page(
        render(
            a_report(
                noise_rate=math.nan,
                noise_rate_interval=(0.0, 1.0),
                num_label_issues=0,
                transition_matrix=np.eye(3),
                suspects=[],
                warnings=["Nothing was learned."],
            )
        )
    ).text
    assert "How many of the 1,437 labels are wrong cannot be said. No row is called a suspect." in text
    assert "Nothing was learned." in text
    assert "nan" not in text
    assert "Nothing has to be relabeled" not in text
    assert "No label contradicts" not in text
