"""The long description of the distribution: README.md with links that lead somewhere outside of the repository too.

All else stands in pyproject.toml. Where [project.urls] names a `Repository`, relative links and pictures of the README
get its address in front; without one, a link becomes its words and a picture what it shows, so that none is dead.
"""

import re
import sys
from pathlib import Path

from setuptools import setup

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\]\([^()]*\))*)\]\((?!\w+:|#)([^()\s]+)\)")


def outside(text, repository=None):
    """Markdown of this repository as it is shown elsewhere."""

    def replaced(match):
        picture, shown, target = match.groups()
        shown = outside(shown, repository)
        if repository is None:
            return shown
        view = "raw" if picture else "blob"
        return f"{picture}[{shown}]({repository.rstrip('/')}/{view}/main/{target})"

    return LINK.sub(replaced, text)


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    setup(
        long_description=outside(
            (ROOT / "README.md").read_text(encoding="utf-8"), project.get("urls", {}).get("Repository")
        ),
        long_description_content_type="text/markdown",
    )
