"""Makes the site of the same Markdown that is read in the repository.

The pages at the repository's root become pages of the site, and links between them and docs/ are turned to where each
is there; a link to a file that is no page keeps its words and says where the file is.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the root's pages."""
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, files: Files, **_: object) -> str:
    """Turn the links of a page to where they lead on the site."""
    source = page.file.src_uri
    origin = {there: here for here, there in PAGES.items()}.get(source, f"docs/{source}")
    folder = (ROOT / origin).parent
    depth = source.count("/")

    def turned(link: "re.Match[str]") -> str:
        mark, words, target = link.groups()
        path, hash_mark, fragment = target.partition("#")
        if "://" in target or target.startswith(("#", "mailto:")):
            return link[0]
        named = (folder / path).resolve()
        inside = named.relative_to(ROOT).as_posix() if named.is_relative_to(ROOT) else path
        on_site = PAGES.get(inside, inside.removeprefix("docs/") if inside.startswith("docs/") else "")
        if on_site and not on_site.endswith(".md") and (named / "README.md").is_file():
            on_site += "/README.md"
        if on_site and files.get_file_from_path(on_site):
            return f"{mark}[{words}]({'../' * depth}{on_site}{hash_mark}{fragment})"
        return words if words.strip("`") == inside else f"{words} (`{inside}`)"

    return _LINK.sub(turned, markdown)
