"""The review in a real browser: it loads, filters, decides by keyboard alone, keeps and exports what was decided."""

import csv
import hashlib
import io
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import elr
from elr.audit.cleaning.decision_file import run_name
from elr.audit.cleaning.decisions import clean
from elr.audit.report import Report, Suspect, render
from elr.data.records import ReadOptions

playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (apt-get install chromium)")

NAMES = ["cat", "=1+1", 'a "dog", \r\nbig', "<script>alert(1)</script>", "\u202etac\u2066", "مرحبا\u200f"]
HOSTILE = [*NAMES, "'\"><img src=x onerror=alert(1)>", "X" * 10_000]


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def tab(browser):
    """Opens a page; whatever it complains of, or asks the network for, fails the test."""
    complaints, contexts = [], []

    def open_page(path, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        page.on(
            "request", lambda asked: asked.url.startswith(("file:", "data:", "blob:")) or complaints.append(asked.url)
        )
        page.set_default_timeout(5000)
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def picture() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(out, "PNG")
    return out.getvalue()


def a_report(names=NAMES, count=120, **changes) -> Report:
    classes = len(names)
    suspects = [
        Suspect(
            row=(7 * i) % count,
            id=f"id-{i}",
            given_label=names[i % classes],
            predicted_label=names[(i + 1 + i // classes % 2) % classes],
            label_quality=i / count,
            fields={"color": ["red", "Green"][i % 2], "text": f"word{i} " * 20, names[-1]: names[-1]},
        )
        for i in range(count)
    ]
    plain = Report(
        title="Pets",
        out="run",
        command="elr fit pets.csv",
        created="2026-01-31",
        num_examples=200,
        num_classes=classes,
        class_names=names,
        noise_rate=0.4,
        noise_rate_interval=(0.3, 0.5),
        num_label_issues=count,
        transition_matrix=0.5 * np.eye(classes) + 0.5 * np.roll(np.eye(classes), 1, axis=1),
        suspects=suspects,
        settings={"network": "mlp"},
        history=[{"epoch": i, "loss": 1 / i} for i in range(1, 5)],
    )
    return replace(plain, **changes)


def written(folder, report=None):
    path = folder / "report.html"
    path.write_text(render(report or a_report()), encoding="utf-8")
    return path


def rows(page) -> list[int]:
    words = page.locator(".item .where:nth-of-type(2)").all_inner_texts()
    return [int(text.partition("row ")[2].partition(",")[0]) for text in words]


def exported(page) -> str:
    with page.expect_download() as download:
        page.get_by_role("button", name="Export decisions.csv").press("Enter")
    return download.value.path().read_bytes().decode("utf-8")


def test_filter_search_sort_and_pages(tab, tmp_path):
    page = tab(written(tmp_path))
    assert page.locator(".item").count() == 50
    assert page.locator("#worst").is_hidden()
    assert page.locator("#page").inner_text() == "page 1 of 3"
    assert rows(page)[:3] == [0, 7, 14]
    page.get_by_role("button", name="Next").click()
    assert page.locator("#page").inner_text() == "page 2 of 3"
    assert rows(page)[0] == 50 * 7 % 120
    page.get_by_label("Sort by").select_option("row")
    assert rows(page) == list(range(50))
    page.get_by_label("Search").fill("WORD17 ")
    assert rows(page) == [17 * 7 % 120]
    page.get_by_label("Search").fill("green")
    assert page.locator("#page").inner_text() == "page 1 of 2"
    page.get_by_label("Search").fill("nowhere")
    assert page.locator(".item").count() == 0
    page.get_by_role("button", name="Show all").click()
    pair = page.get_by_label("Given → suggested")
    assert pair.locator("option").first.inner_text() == "all (120)"
    assert pair.locator("option").nth(1).inner_text() == "\u2068cat\u2069 → \u2068=1+1\u2069 (10)"
    pair.select_option(index=1)
    assert page.locator(".item").count() == 10
    page.locator(".item").first.get_by_role("button", name="Keep").click()
    page.locator("#status").select_option("open")
    assert page.locator(".item").count() == 9
    page.get_by_label("Sort by").select_option("given")
    assert page.locator(".item").count() == 9


def test_the_keyboard_alone_decides_and_the_browser_remembers(tab, tmp_path):
    page = tab(written(tmp_path))
    page.keyboard.press("j")  # nothing has the focus yet: into the list
    assert page.evaluate("document.activeElement.className") == "item"
    for key in ("a", "x", "s", "j", "ArrowDown", "k", "a", "u", "a"):  # rows 0, 7 decided, 14 skipped, then row 28
        page.keyboard.press(key)
    assert page.locator("#count").inner_text() == "3 of 120 decided"
    assert page.locator("#said").inner_text() == f"Row 28 accepted, \u2068{NAMES[5]}\u2069. 3 of 120 decided."
    page.keyboard.press("o")
    page.keyboard.press("ArrowDown")  # the first of the other classes, for row 35
    page.wait_for_function("document.getElementById('count').textContent.startsWith('4')")
    text = exported(page)
    lines = list(csv.reader(io.StringIO(text, newline="")))
    assert lines[0] == ["row", "id", "given_label", "decision", "label"]
    assert lines[1] == ["0", "id-0", "cat", "accept", "=1+1"]
    assert lines[2] == ["7", "id-1", "=1+1", "keep", "=1+1"]
    assert lines[3] == ["28", "id-4", NAMES[4], "accept", NAMES[5]]
    assert lines[4] == ["35", "id-5", NAMES[5], "accept", "cat"]  # chosen, but what was suggested
    assert len(lines) == 5
    assert text.startswith('row,id,given_label,decision,label\r\n0,"id-0","cat",accept,"=1+1"\r\n')  # of no run
    page.reload()
    assert page.locator("#count").inner_text() == "4 of 120 decided"
    assert page.locator(".item.accept").count() == 3
    assert page.locator(".item").nth(1).locator(".verdict").inner_text() == "kept: =1+1"
    assert exported(page) == text
    other = tab(written(tmp_path, a_report(created="another run")))
    assert other.locator("#count").inner_text() == "0 of 120 decided"


def test_moving_past_the_last_turns_the_page(tab, tmp_path):
    page = tab(written(tmp_path))
    page.keyboard.press("j")
    page.keyboard.press("End")
    page.keyboard.press("a")
    assert page.locator("#page").inner_text() == "page 2 of 3"
    assert page.evaluate("document.activeElement.matches('.item:first-child')")
    page.keyboard.press("ArrowUp")
    assert page.locator("#page").inner_text() == "page 1 of 3"
    page.keyboard.press("n")
    page.keyboard.press("n")
    page.keyboard.press("n")
    assert page.locator("#page").inner_text() == "page 3 of 3"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("ax")  # letters in the search decide nothing
    assert page.locator("#count").inner_text() == "1 of 120 decided"


def test_without_storage_the_page_works_and_says_so(browser, tmp_path):
    page = browser.new_page()
    page.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new Error('denied'); }})")
    page.goto(written(tmp_path).as_uri())
    assert page.get_by_text("This browser does not keep decisions").is_visible()
    page.locator(".item").first.press("a")
    assert page.locator("#count").inner_text() == "1 of 120 decided"
    page.close()


def test_without_scripts_the_worst_are_listed(tab, tmp_path):
    page = tab(written(tmp_path), java_script_enabled=False)
    assert page.locator("#review").is_hidden()
    assert page.locator("#worst tbody tr").count() == 120


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_hostile_names_do_nothing_and_a_phone_shows_all(tab, tmp_path, scheme):
    report = a_report(names=HOSTILE, title=HOSTILE[-2])
    pictured = [replace(each, thumbnail=picture() if i % 2 else None) for i, each in enumerate(report.suspects)]
    for suspects in (report.suspects, pictured):
        path = written(tmp_path, replace(report, suspects=suspects))
        page = tab(path, viewport={"width": 390, "height": 800}, color_scheme=scheme)
        assert page.locator(".item").count() == 50
        assert page.locator("script").count() == 2
        assert page.locator("img:not([src^='data:image/'])").count() == 0
        page.locator(".item").nth(5).press("a")
        widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1]
        assert "\u202e" not in page.locator("body").inner_text()
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
        (_, line) = csv.reader(io.StringIO(exported(page), newline=""))
        assert line[2:] == [HOSTILE[5], "accept", HOSTILE[6]]


def test_what_was_decided_goes_through_elr_clean(tab, tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=90)
    given = truth.copy()
    given[:12] = (given[:12] + 1) % 3
    names = np.array(NAMES[:3], dtype=object)
    frame = pd.DataFrame({"x": 4 * truth + rng.normal(size=90), "note": "=2+2, 'kept'", "y": names[given]})
    source = tmp_path / "pets.csv"
    frame.to_csv(source, index=False, lineterminator="\n")
    before = hashlib.sha256(source.read_bytes()).digest()
    options = ReadOptions(label="y", ignore=("note",))
    outcome = elr.fit(source, out=tmp_path / "run", options=options, config=elr.FitConfig(epochs=30))
    assert outcome.fitted.audit.num_label_issues >= 8
    page = tab(outcome.report)
    assert page.locator("html").inner_text().count("elr clean") == 1
    page.keyboard.press("j")
    for _ in range(5):
        page.keyboard.press("a")
    page.keyboard.press("x")
    decisions = tmp_path / "decisions.csv"
    decisions.write_bytes(exported(page).encode())
    with decisions.open(newline="", encoding="utf-8") as lines:
        assert {line["run"] for line in csv.DictReader(lines)} == {run_name(outcome.fitted.run)}
    done = clean(tmp_path / "run", decisions, tmp_path / "clean.csv")
    assert (done.num_decisions, done.num_changed) == (6, 5)
    audit = outcome.fitted.audit
    expected = frame["y"].to_numpy().copy()
    expected[audit.ranking[:5]] = np.array(sorted(NAMES[:3]), dtype=object)[audit.predicted_labels[audit.ranking[:5]]]
    with (tmp_path / "clean.csv").open(newline="", encoding="utf-8") as handle:
        found = list(csv.reader(handle))[1:]
    assert [row[2] for row in found] == expected.tolist()
    assert {row[1] for row in found} == {"=2+2, 'kept'"}
    assert hashlib.sha256(source.read_bytes()).digest() == before


WHY = {
    "blind": True,
    "epochs": [1, 2, 3],
    "given": [50, None, 0],
    "favored": [50, 80, 100],
    "votes": [["mlp, lam 3", "=1+1", 97, True], ["linear", "cat", 60, False]],
    "space": "Euclidean distance of the prepared features",
    "neighbors": [[28, "id-4", "=1+1", False, 0.25, "<b>bold</b> 7"], [1000, None, "cat", True, 0.5, None]],
    "differences": [["<i>col</i>", "12", "10 to 20", 1, 40]],
    "notes": ["<script>a note</script>"],
}


def test_why_a_label_is_suspect_is_opened_and_closed_and_stays_text(tab, tmp_path):
    report = a_report()
    first, *others = sorted(report.suspects, key=lambda suspect: suspect.label_quality)
    page = tab(written(tmp_path, replace(report, suspects=[replace(first, why=WHY), *others])))
    item = page.locator(".item").first
    assert page.locator('button[value="why"]').count() == 1
    item.focus()
    page.keyboard.press("e")
    assert page.locator('button[value="why"]').get_attribute("aria-expanded") == "true"
    why = item.locator(".why")
    assert why.locator("svg path.favored").get_attribute("d").count("L") == 2
    assert why.locator("svg path.given").get_attribute("d").count("M") == 2
    text = why.inner_text()
    for told in (
        "Course, epochs 1 to 3, by all networks that never saw this label",
        "1 of 2 networks that never saw this label agree with it",
        "mlp, lam 3 (chosen: decides): =1+1 97 %",
        "row 28, id-4, distance 0.25",
        "<b>bold</b> 7",
        "(itself a suspect)",
        "12 (10 to 20)",
        "<script>a note</script>",
    ):
        assert told in text
    assert why.locator("b, i, script").count() == 0
    assert page.locator("#count").inner_text() == "0 of 120 decided"
    page.keyboard.press("e")
    assert item.locator(".why").count() == 0
    page.keyboard.press("j")
    page.keyboard.press("e")  # nothing is known of the next
    assert page.locator(".why").count() == 0


def test_classes_that_begin_alike_can_be_told_apart_wherever_one_decides(tab, tmp_path):
    names = [
        f"Home & Garden > Kitchen & Dining > Cookware and bakeware > {each} > Accessories" for each in ("Pans", "Pots")
    ]
    names.append("Other")
    for thumbnail in (None, picture()):
        suspects = [replace(each, thumbnail=thumbnail) for each in a_report(names=names).suspects]
        page = tab(written(tmp_path, a_report(names=names, suspects=suspects)))
        item = page.locator(".item").first
        assert item.locator(".flip").inner_text() == f"{names[0]} → {names[1]}"
        assert [text.strip("\u2068\u2069") for text in item.locator("option").all_inner_texts()[1:]] == names
        pairs = page.locator("#pair option").all_inner_texts()
        assert any(f"\u2068{names[0]}\u2069 → \u2068{names[1]}\u2069" in text for text in pairs)
        widths = [item.locator(part).bounding_box()["width"] for part in ("css=.flip", "css=.acts")]
        assert widths[0] > 350 if thumbnail is None else widths[0] == widths[1]  # controls leave room for the names
        item.press("a")
        assert item.locator(".verdict").inner_text() == f"accepted: {names[1]}"
        assert names[1] in item.get_attribute("aria-label")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for table in ("#transition thead th", "#transition tbody th"):
            texts = page.locator(table).all_inner_texts()
            assert len(set(texts)) == len(texts) == 3


@pytest.mark.parametrize("way", ["at first", "after a click on the background", "after a button"])
def test_keys_act_on_the_suspect_that_looks_selected(tab, tmp_path, way):
    page = tab(written(tmp_path))
    page.locator(".item").first.scroll_into_view_if_needed()
    if way == "after a click on the background":
        page.locator(".item").nth(1).focus()
        page.locator("h1").evaluate("made => made.ownerDocument.activeElement.blur()")
    elif way == "after a button":
        page.locator(".item").first.press("a")
        page.locator("#undo").focus()
        page.keyboard.press("u")
        page.locator("#undo").focus()
    selected = page.locator(".item[aria-current]")
    words = selected.locator(".where").first.inner_text()
    page.keyboard.press("x")
    assert page.locator(".item.keep .where").first.inner_text() == words
    assert page.locator("#count").inner_text() == "1 of 120 decided"
    assert page.evaluate("document.activeElement.matches('.item[aria-current]')")


def test_a_key_decides_on_nothing_that_is_not_seen(tab, tmp_path):
    page = tab(written(tmp_path))
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.keyboard.press("a")
    assert page.locator("#count").inner_text() == "0 of 120 decided"
    assert page.evaluate("document.activeElement.matches('.item:first-child')")
    page.keyboard.press("a")
    assert page.locator("#count").inner_text() == "1 of 120 decided"


@pytest.mark.parametrize("field", ["#search", "#pair", "#status"])
def test_keys_in_a_field_decide_nothing(tab, tmp_path, field):
    page = tab(written(tmp_path))
    page.locator(field).focus()
    page.keyboard.press("a")
    page.keyboard.press("x")
    assert page.locator("#count").inner_text() == "0 of 120 decided"


def test_a_card_shows_the_name_of_the_file_however_long_its_folder_is(tab, tmp_path):
    names = ["a class of a name that is longer than a card is wide, by far, and goes on " * n + "end" for n in (2, 3)]
    plain = a_report(names=names)
    suspects = [
        replace(each, thumbnail=picture(), id=f"{each.given_label}/IMG_{each.row:04}.jpg") for each in plain.suspects
    ]
    path = written(tmp_path, replace(plain, suspects=suspects))
    for page, place in ((tab(path), ".item .where"), (tab(path, java_script_enabled=False), ".card .where")):
        assert page.locator(place).first.inner_text().endswith("/IMG_0000.jpg")
