"""How the docstrings of elr are read for the site: `Example:` is an example to type in, not a remark."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object


class Examples(Extension):
    """Gives each docstring the plural that marks an example of Python's prompt in Google's style."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite the docstring of one function, class or module."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
