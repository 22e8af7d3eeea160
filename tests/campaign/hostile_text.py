"""Labels, ids, names of columns and files that would be script, markup, formulas or orders to a terminal."""

from __future__ import annotations

import csv
import json
import random
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from campaign.made import clusters
from campaign.made_pictures import BLUE, RED, encoded, picture
from campaign.outcomes import accepted, contents, inside, kept
from campaign.trials import EXECUTED, SILENT, NotHere, need, trial

SCRIPT = "<script>document.title='ran'</script>"
BREAKS = f"</script>{SCRIPT}<!--"
IMAGE = "\"'><img src=x onerror=\"document.title='ran'\">"
TEMPLATE = "{{7*7}}{% for x in ().__class__.__base__.__subclasses__() %}${7*7}#{7*7}"
MARKDOWN = "[x](javascript:alert(1))![](http://example.invalid/x.png)|---|`"
TERMINAL = "\x1b]0;ran\x07\x1b[2J\x1b[31m\x9b31m\u202e"
FORMULAS = ['=HYPERLINK("http://example.invalid")', "+1+cmd|' /C calc'!A0", "-1+1", "@SUM(1)", "\t=1+1", "=1"]
SPELLS = [SCRIPT, BREAKS, IMAGE, TEMPLATE, MARKDOWN, TERMINAL, *FORMULAS]
NAMES = (f"a {SCRIPT}{IMAGE}", f"=1+1 {BREAKS}{TERMINAL}{TEMPLATE}{MARKDOWN}")


def hostile_table(folder: Path) -> pd.DataFrame:
    """data.csv: classes, ids, cells and columns are hostile; the first rows are under a wrong label."""
    frame = clusters(160, wrong=10, names=NAMES)
    frame["key"] = [f"{SPELLS[row % len(SPELLS)]}{row}" for row in range(len(frame))]
    frame[f"city {IMAGE}{TERMINAL}"] = [SPELLS[row % 5] for row in range(len(frame))]
    frame.to_csv(folder / "data.csv", index=False)
    return frame


def hostile_run(folder: Path) -> pd.DataFrame:
    frame = hostile_table(folder)
    outcome = inside(
        "fit", "data.csv", "--label", "label", "--id", "key", "--epochs", "20", "--out", "run", "--json", folder=folder
    )
    accepted(outcome)
    harmless(outcome.err)
    return frame


def harmless(text: str) -> None:
    """Nothing in it steers a terminal."""
    found = sorted({repr(char) for char in text if not char.isprintable() and char not in "\n\t\xa0"})
    need(not found, EXECUTED, f"a terminal would be told {found}")


@trial("hostile_text", quick=True)
def what_commands_print(folder: Path, _: random.Random) -> None:
    frame = hostile_run(folder)
    for command in (
        ("inspect", "data.csv", "--label", "label", "--id", "key"),
        ("audit", "run"),
        ("explain", "run", "0", "5"),
        ("report", "run"),
        ("predict", "run", "data.csv", "--out", "p.csv"),
    ):
        outcome = inside(*command, folder=folder)
        accepted(outcome)
        harmless(outcome.err + outcome.out)
    found = pd.read_csv(folder / "p.csv", keep_default_na=False)
    need(set(found["predicted_label"]) <= set(NAMES), SILENT, "predictions have other names than the classes")
    need(found["id"].tolist() == frame["key"].tolist(), SILENT, "predictions have other ids than the data")
    for bad in (f"{TERMINAL}.csv", f"no\n{TERMINAL}"):
        outcome = inside("fit", bad, "--label", TERMINAL, "--out", "run2", folder=folder)
        need(outcome.code == 2, SILENT, outcome.words)
        harmless(outcome.err)
    outcome = inside("explain", "run", f"x{TERMINAL}", folder=folder)
    need(outcome.code == 2, SILENT, outcome.words)
    harmless(outcome.err)


@trial("hostile_text", quick=True)
def formulas_for_spreadsheets(folder: Path, _: random.Random) -> None:
    """issues.csv is for people, and has none; corrected data are data, and stay what they are."""
    frame = hostile_run(folder)
    accepted(inside("audit", "run", "--export", "ranking.csv", folder=folder))
    accepted(inside("audit", "run", "--export", "ranking.parquet", folder=folder))
    for path in (folder / "run" / "issues.csv", folder / "ranking.csv"):
        with path.open(encoding="utf-8", newline="") as lines:
            cells = [cell for line in csv.reader(lines) for cell in line]
        bad = [cell for cell in cells if cell[:1] in tuple("=+-@\t\r") and not re.fullmatch(r"-?[\d.e+-]+", cell)]
        need(not bad, EXECUTED, f"{path.name} has formulas: {bad[:3]}")
    exact = pd.read_parquet(folder / "ranking.parquet")
    need(set(exact["id"]) == set(frame["key"]), SILENT, "ranking.parquet has other ids than the data")
    worst = exact["row"].head(10).tolist()
    need(len(set(worst) & set(range(10))) >= 7, SILENT, f"of 10 wrong labels only these were found: {worst}")
    before = (folder / "data.csv").read_bytes()
    row = worst[0]
    other = NAMES[0] if frame["label"][row] == NAMES[1] else NAMES[1]
    decisions = pd.DataFrame(
        {"row": [row], "id": [""], "given_label": [frame["label"][row]], "decision": ["relabel"], "label": [other]}
    )
    decisions.to_csv(folder / "decisions.csv", index=False)
    accepted(inside("clean", "run", "--decisions", "decisions.csv", "--out", "new.csv", folder=folder))
    new = pd.read_csv(folder / "new.csv", keep_default_na=False)
    expected = pd.read_csv(folder / "data.csv", keep_default_na=False)
    expected.loc[row, "label"] = other
    need(new.equals(expected), SILENT, "the corrected copy differs in more than one label")
    need((folder / "data.csv").read_bytes() == before, SILENT, "the data have changed")


def opened(page: Path, folder: Path) -> dict[str, Any]:
    """What a browser makes of a page: its title, what it complained of, what it asked the network for."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright import sync_api
    except ImportError as error:
        raise NotHere("playwright is not installed") from error
    if chromium is None:
        raise NotHere("no chromium on this machine")
    asked: list[str] = []
    said: list[str] = []
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.goto(page.as_uri())
        for key in ("j", "j", "a", "r", "k", "e", "?", "Enter", "Escape"):  # whatever the review makes of them
            tab.keyboard.press(key)
        tab.wait_for_timeout(200)
        found = {"title": tab.title(), "images": tab.locator("img[src=x]").count(), "asked": asked, "said": said}
        found["scripts"] = tab.locator("script").count()
        browser.close()
    return found


@trial("hostile_text")
def a_report_in_a_browser(folder: Path, _: random.Random) -> None:
    hostile_run(folder)
    pages = [folder / "run" / "report.html"]
    harmless_run = folder / "plain"
    clusters(160, wrong=10).to_csv(folder / "plain.csv", index=False)
    accepted(inside("fit", "plain.csv", "--label", "label", "--epochs", "20", "--out", harmless_run, folder=folder))
    plain = opened(harmless_run / "report.html", folder)
    for page in pages:
        found = opened(page, folder)
        need(found["title"] != "ran" and not found["said"], EXECUTED, f"a script of the data ran: {found}")
        need(
            found["scripts"] == plain["scripts"] and not found["images"], EXECUTED, f"elements came from data: {found}"
        )
        outside = [url for url in found["asked"] if not url.startswith(("file:", "data:", "blob:"))]
        need(not outside, EXECUTED, f"the page asked for {outside}")


@trial("hostile_text", quick=True)
def a_report_as_a_parser_sees_it(folder: Path, _: random.Random) -> None:
    """No script and no image but our own, without a browser."""
    from html.parser import HTMLParser

    hostile_run(folder)
    page = (folder / "run" / "report.html").read_text(encoding="utf-8")

    class Seen(HTMLParser):
        tags: list[tuple[str, dict[str, str | None]]] = []  # noqa: RUF012 - one parser

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.tags.append((tag, dict(attrs)))

    seen = Seen()
    seen.tags = []
    seen.feed(page)
    handlers = [(tag, name) for tag, attributes in seen.tags for name in attributes if name.startswith("on")]
    need(not handlers, EXECUTED, f"handlers: {handlers[:3]}")
    links = [value for _, attributes in seen.tags for name, value in attributes.items() if name in ("href", "src")]
    bad = [link for link in links if link and link != "data:," and not link.startswith(("#", "data:image/"))]
    need(not bad, EXECUTED, f"links that lead out: {bad[:3]}")
    need(page.count("<script") == 2, EXECUTED, f"{page.count('<script')} scripts")
    need("Content-Security-Policy" in page, EXECUTED, "no policy")
    harmless(page)


@trial("hostile_text", quick=True)
def the_card_of_a_model(folder: Path, _: random.Random) -> None:
    hostile_run(folder)
    text = (folder / "run" / "README.md").read_text(encoding="utf-8")
    harmless(text)
    body = text.split("---\n", 2)[2]
    prose = "\n".join(line for line in body.splitlines() if not line.startswith("    "))
    need(re.search(r"(?<!\\)<(script|img)", prose) is None, EXECUTED, "markup of the data is in the card")
    need(re.search(r"(?<!\\)\]\(javascript", prose) is None, EXECUTED, "a link of the data is in the card")
    import yaml

    front = yaml.safe_load(text.split("---\n")[1])
    need(front["library_name"] == "elr", SILENT, f"{front}")


@trial("hostile_text", quick=True)
def tasks_for_label_studio(folder: Path, _: random.Random) -> None:
    hostile_run(folder)
    accepted(inside("audit", "run", "--export-label-studio", "tasks.json", folder=folder))
    root = ElementTree.parse(folder / "tasks.xml").getroot()
    tags = sorted({element.tag for element in root.iter()})
    need(set(tags) <= {"View", "Text", "Choices", "Choice", "Image"}, EXECUTED, f"elements of the data: {tags}")
    choices = [element.get("value") for element in root.iter("Choice")]
    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    said = {task["predictions"][0]["result"][0]["value"]["choices"][0] for task in tasks}
    need(len(choices) == 2 and said <= set(choices), SILENT, f"{said} are not among {choices}")
    need(len(tasks) >= 7, SILENT, f"{len(tasks)} tasks")


@trial("hostile_text", quick=True)
def images_of_hostile_names_for_cvat_and_fiftyone(folder: Path, _: random.Random) -> None:
    classes = {"a <b>&\"'": RED, "=b {{x}}": BLUE}
    for name, color in classes.items():
        (folder / "d" / name).mkdir(parents=True)
        for number in range(20):
            spell = f"{TERMINAL}<img onerror=x>&'\" {number}.png" if number % 2 else f"=1+{number}.png"
            other = BLUE if color == RED and number < 3 else color
            (folder / "d" / name / spell).write_bytes(encoded(picture(other, seed=number + 50 * (color == RED))))
    before = contents(folder / "d")
    accepted(inside("fit", "d", "--epochs", "20", "--out", "run", "--json", folder=folder))
    for option, out in (("--export-cvat", "c.zip"), ("--export-fiftyone", "f"), ("--export-label-studio", "t.json")):
        outcome = inside("audit", "run", option, out, folder=folder)
        accepted(outcome)
        harmless(outcome.err + outcome.out)
    with zipfile.ZipFile(folder / "c.zip") as archive:
        names = archive.namelist()
        need(all(".." not in Path(name).parts and not name.startswith("/") for name in names), EXECUTED, f"{names}")
        root = ElementTree.fromstring(archive.read("annotations.xml"))
        tagged = {element.get("label") for element in root.iter("tag")}
        need(tagged <= set(classes), SILENT, f"{tagged}")
    need(json.loads((folder / "f" / "labels.json").read_text())["classes"] == sorted(classes), SILENT, "classes")
    kept(before, folder / "d")


@trial("hostile_text", quick=True)
def labels_that_are_paths(folder: Path, _: random.Random) -> None:
    """Classes become folders only where they are folders; a decision cannot name another place."""
    (folder / "inner").mkdir()
    for name, color in (("cat", RED), ("dog", BLUE)):
        (folder / "inner" / "d" / name).mkdir(parents=True)
        for number in range(8):
            (folder / "inner" / "d" / name / f"{number}.png").write_bytes(encoded(picture(color, seed=number)))
    accepted(inside("fit", "d", "--epochs", "2", "--out", "run", "--json", folder=folder / "inner"))
    for label in ("../../evil", "/tmp/elr-evil", "..", ".", "dog/../../../evil", "dog\0"):
        (folder / "inner" / "decisions.csv").write_text(
            f'row,id,given_label,decision,label\n0,,cat,relabel,"{label}"\n', encoding="utf-8"
        )
        outcome = inside("clean", "run", "--decisions", "decisions.csv", "--out", "new", folder=folder / "inner")
        need(outcome.code == 2 and "line 2" in outcome.err, SILENT, outcome.words)
    need(not (folder / "evil").exists() and not Path("/tmp/elr-evil").exists(), EXECUTED, "a folder was made outside")
    need(sorted(path.name for path in folder.iterdir()) == ["inner"], EXECUTED, "something lies outside")
    need(not (folder / "inner" / "new").exists(), EXECUTED, "a copy was made")


@trial("hostile_text")
def tables_whose_labels_are_paths(folder: Path, _: random.Random) -> None:
    frame = clusters(names=("../../x", "/etc/passwd"))
    frame.to_csv(folder / "data.csv", index=False)
    accepted(inside("fit", "data.csv", "--label", "label", "--epochs", "2", "--out", "run", "--json", folder=folder))
    accepted(inside("audit", "run", "--export-label-studio", "t.json", "--export-cleanlab", "c", folder=folder))
    need(
        {path.name for path in folder.iterdir()} == {"data.csv", "run", "t.json", "t.xml", "c"}, EXECUTED, "more files"
    )
