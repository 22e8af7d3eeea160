"""One spelling, the American one, in code, tests and documents."""

import re

import pytest

from scripts import ROOT

PLACES = (
    "src",
    "tests",
    "docs",
    "benchmarks",
    "examples",
    "scripts",
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
)
SUFFIXES = {".py", ".md", ".j2", ".js", ".css", ".toml", ""}
STEMS = (  # of words that end in -ise, -ised, -iser, -ising, -isation there, and with a z here
    *("author", "capital", "categor", "central", "character", "custom", "emphas", "equal", "final", "formal"),
    *("general", "initial", "item", "local", "material", "maxim", "memor", "minim", "modern", "neutral", "normal"),
    *("optim", "organ", "parallel", "parametr", "penal", "polar", "prior", "quant", "random", "real", "recogn"),
    *("regular", "serial", "special", "stabil", "standard", "summar", "symbol", "synchron"),
    *("token", "util", "vector", "visual"),
)
BRITISH = re.compile(
    rf"(?:{'|'.join(STEMS)})is(?:e|ed|er|ers|es|ing|ation|ations)\b"
    r"|(?:label|model|travel|cancel|channel|signal|total|level|tunnel)l(?:ed|ing|er)\b"
    r"|(?:behavi|col|fav|hon|lab|neighb|rum|vap|vig|flav|harb|hum)our"
    r"|\b(?:anal|paral|catal)ys(?:e|ed|er|ing)\b"
    r"|\b(?:cent|fib|lit|theat|met)re[sd]?\b|\bcentring\b"
    r"|\blicen[c]e|\b(?:de|of)fen[c]e\b|\bpracti[s]e"
    r"|\bgr[e]y|\bartef[a]ct|\bcatalogu[e]|\bdialogu[e]|\bprogramm[e]s?\b|\bjudg[e]ment|\backnowledg[e]ment"
    r"|\bper\ cent\b|\bwhil[s]t\b|\bamong[s]t\b|\btoward[s]\b|\blearn[t]\b|\bspel[t]\b|\bburn[t]\b"
    r"|\bfulfi[l]\b|\bskilfu[l]|\bsceptic|\baeropl|\bmou[l]d|\bploug[h]|\bcheq[u]e|\baging\b",
    re.IGNORECASE,
)
TITLES = ("Analysing the Noise Model Error",)  # of papers, as they were published


def texts():
    for place in map(ROOT.joinpath, PLACES):
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if any(part.endswith(".egg-info") for part in path.parts):  # made by an installation
                continue
            if path.is_file() and path.suffix in SUFFIXES and path.name != "test_spelling.py":
                yield path


def british(line):
    for title in TITLES:
        line = line.replace(title, "")
    return BRITISH.findall(line)


@pytest.mark.parametrize("word", ["labelled", "Normalise", "behaviour", "analysing", "centres", "licence", "colour"])
def test_the_pattern_finds(word):
    assert british(f"It is {word}.")


@pytest.mark.parametrize(
    "word", ["labeled", "otherwise", "precise", "noise", "analyses", "rise", "four", "hour", "labels", "parameter"]
)
def test_the_pattern_leaves_alone(word):
    assert not british(f"It is {word}.")


def test_words_are_spelled_as_in_america():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {', '.join(words)}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if (words := british(line))
    ]
    assert not found, "\n".join(found)
