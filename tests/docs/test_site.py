"""The documentation as a site: built of the same Markdown, without network, every page and link of it."""

import re
import shutil
import sys
from pathlib import Path

import pytest
from support.namespace import ROOT, in_own_network

pytestmark = pytest.mark.slow


def test_the_site_is_built_without_network_and_has_every_page(tmp_path: Path) -> None:
    mkdocs = Path(sys.executable).with_name("mkdocs")
    if not mkdocs.exists():
        pytest.skip("mkdocs is not installed: make docs")
    ran = in_own_network(str(mkdocs), "build", "--strict", "--site-dir", str(tmp_path / "site"))
    assert ran.returncode == 0, ran.stderr
    pages = {page.relative_to(tmp_path / "site").as_posix() for page in (tmp_path / "site").rglob("*.html")}
    sources = {
        path.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for path in (ROOT / "docs").rglob("*.md")
    }
    # A folder's README is its index.
    wanted = {re.sub(r"README\.html$", "index.html", source) for source in sources}
    assert wanted | {"index.html", "architecture.html", "contributing.html", "security.html", "changelog.html"} <= pages
    index = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    pictures = re.findall(r'<img[^>]+src="([^":]+)"', index)
    assert pictures
    assert all((tmp_path / "site" / picture).is_file() for picture in pictures)
    assert not re.findall(r'(?:src|href)="https?://(?:fonts|cdn|unpkg)', index), "what it needs comes with it"
    assert (tmp_path / "site" / "search" / "search_index.json").is_file()
    shutil.rmtree(tmp_path / "site")
