"""Pages of the site that are made of files elsewhere, and links from pages to files outside docs/.

README.md, CONTRIBUTING.md, CHANGELOG.md and the notebook are written once, for GitHub. They become pages here. A link
to one of them leads to its page; another file outside docs/ is copied into the site, under source/.
"""

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

# File of the repository → page of the site.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "docs/quickstart.ipynb": "quickstart.md",
}
SOURCES = {page: source for source, page in PAGES.items()}
LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)#\s]+)")  # the path of a link that is not a URL or an anchor


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of `PAGES`."""
    root = Path(config.docs_dir).parent
    for source, page in PAGES.items():
        text = (root / source).read_text(encoding="utf-8")
        content = notebook_to_markdown(json.loads(text)) if source.endswith(".ipynb") else text
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links that do not lead to a file of docs/ as they stand."""
    root, here = Path(config.docs_dir).parent, page.file.src_uri
    folder = posixpath.dirname(SOURCES.get(here, f"docs/{here}"))

    def rewrite(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, found[1]))
        if target in PAGES:
            uri = PAGES[target]
        elif target.startswith("docs/"):
            uri = target.removeprefix("docs/")
        elif (root / target).is_file():
            uri = f"source/{target}"
            if files.get_file_from_path(uri) is None:
                files.append(File.generated(config, uri, abs_src_path=str(root / target)))
        else:
            return found[1]  # MkDocs reports it
        return posixpath.relpath(uri, posixpath.dirname(here) or ".")

    return LINK.sub(rewrite, markdown)


def notebook_to_markdown(notebook: dict[str, Any]) -> str:
    """The cells of a notebook and the texts that they print."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            text = "".join(output.get("text") or output["data"]["text/plain"])
            parts.append(f"```text\n{text.rstrip()}\n```")
    return "\n\n".join(parts) + "\n"
