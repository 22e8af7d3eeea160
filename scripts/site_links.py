"""Look up every link, anchor and picture of a folder of HTML.

    python scripts/site_links.py site

Links to the web are read, not followed: that they are addresses is all that can be known without a network.
"""

from __future__ import annotations

import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script", "img", "link", "iframe", "source"}  # what a browser fetches to show the page
NO_PAGE = {"404.html"}  # a server shows it at any address, so that its links begin at the root


class Found(HTMLParser):
    """What a page links to, and the anchors that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.anchors.update(value for name in ("id", "name") if (value := values.get(name)))
        for name in ("href", "src"):
            if name in values and not (tag == "link" and values.get("rel") == "canonical"):
                self.links.append((tag, values[name] or ""))


@cache
def read(page: Path) -> Found:
    """A page, read once."""
    found = Found()
    found.feed(page.read_text(encoding="utf-8"))
    return found


def fault(page: Path, tag: str, link: str) -> str | None:
    """What is wrong with a link of a page, or None."""
    try:
        parts = urlsplit(link)
    except ValueError:
        return "no address"
    if parts.scheme in {"mailto", "data", "javascript"}:
        return None
    if parts.scheme or parts.netloc:
        if tag in LOADED:
            return "fetched from the network"
        return None if parts.scheme in {"http", "https"} and "." in parts.netloc else "no address"
    if parts.path.startswith("/"):
        return "begins at the root, which a folder of files does not have"
    goal = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if goal.is_dir():
        return "a folder" if parts.path not in {".", ".."} and not (goal / "index.html").is_file() else None
    if not goal.is_file():
        return "no such file"
    anchor = unquote(parts.fragment)
    if anchor and goal.suffix == ".html" and anchor not in read(goal).anchors:
        return "no such anchor"
    return None


def faults(folder: Path) -> list[str]:
    """A line for each link in a folder of HTML that leads nowhere."""
    found = []
    for page in sorted(folder.resolve().rglob("*.html")):
        if page.name in NO_PAGE:
            continue
        for tag, link in dict.fromkeys(read(page).links):
            if wrong := fault(page, tag, link):
                found.append(f"{page.relative_to(folder.resolve())}: {link}: {wrong}")
    return found


def main() -> int:
    """Look through the folder that is named, and say what is wrong; status 1 if anything is."""
    folder = Path(sys.argv[1])
    pages = len(list(folder.rglob("*.html")))
    if not pages:
        print(f"{folder} holds no page", file=sys.stderr)
        return 1
    wrong = faults(folder)
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{pages} pages, {len(wrong)} links that lead nowhere", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
