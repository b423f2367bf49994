"""The documentation as a site: built of the same Markdown, without network, every page and link of it."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.namespace import ROOT, in_own_network, own_network

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


def test_versions_stand_beside_each_other_and_the_newest_is_shown(tmp_path: Path) -> None:
    there = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(there)], check=True, timeout=60)
    for name in ("user.name", "user.email"):
        subprocess.run(["git", "-C", str(there), "config", name, "nobody@localhost"], check=True, timeout=10)
    (there / ".venv").symlink_to(ROOT / ".venv")
    for version in ("1.0.0", "1.1.0"):
        command = [
            *own_network(),
            "make",
            "-C",
            str(there),
            "--old-file=.venv/.installed",
            "docs-version",
            f"VERSION={version}",
        ]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert ran.returncode == 0, ran.stderr

    def shown(path: str) -> str:
        command = ["git", "-C", str(there), "show", f"gh-pages:{path}"]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return str(ran.stdout)

    assert [(one["version"], one["aliases"]) for one in json.loads(shown("versions.json"))] == [
        ("1.1.0", ["latest"]),
        ("1.0.0", []),
    ]
    assert "latest/" in shown("index.html")
    assert all("<title>" in shown(f"{version}/runbook.html") for version in ("1.0.0", "1.1.0"))
