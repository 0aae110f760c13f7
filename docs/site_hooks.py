"""What MkDocs does to the pages: links that leave docs/ lead to the repository."""

import posixpath
import re
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
REPOSITORY = "https://github.com/lulcmap/lulcmap/blob/main"

_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((\.\./[^)#\s]*|decisions/?)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Lead the links of a page that leave docs/ to the file in the repository.

    Raises:
        FileNotFoundError: a link leads to no file.

    """
    folder = posixpath.dirname(f"docs/{page.file.src_uri}")

    def led(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, found[2]))
        if path.startswith("docs/") and not path.endswith("decisions"):
            return found[0]
        if not (PROJECT / path).exists():
            raise FileNotFoundError(f"{page.file.src_uri} leads to {path}, which does not exist")
        return f"[{found[1]}]({REPOSITORY}/{path}{found[3] or ''})"

    return _LINK.sub(led, markdown)
