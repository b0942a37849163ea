"""A real MediaWiki with pages of one's own, on SQLite and PHP's own server."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from xml.sax.saxutils import escape

import pytest

_CODE = Path("/usr/share/mediawiki")
_LIMIT_SECONDS = 300
_PAGE = (
    "<page><title>{title}</title><ns>{ns}</ns><revision><timestamp>2026-01-01T00:00:00Z</timestamp>"
    "<contributor><username>Tester</username></contributor><model>wikitext</model><format>text/x-wiki</format>"
    '<text xml:space="preserve">{text}</text></revision></page>\n'
)
# What Wikipedia's extension Disambiguator does, which Debian does not ship: the word becomes a property of the page.
_DISAMBIGUATOR = """
$wgHooks['GetDoubleUnderscoreIDs'][] = static function ( &$ids ) { $ids[] = 'disambiguation'; };
$wgExtensionMessagesFiles['Disambiguator'] = __DIR__ . '/words.php';
"""
_WORDS = "<?php $magicWords['en'] = [ 'disambiguation' => [ 0, '__DISAMBIG__' ] ];"
_NAMESPACES = {"Talk": 1, "User": 2, "Template": 10, "Category": 14}


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require_mediawiki() -> None:
    """Skip where there is no MediaWiki; fail where there has to be one."""
    missing = not (_CODE / "api.php").is_file() or subprocess.call(["which", "php"], stdout=subprocess.DEVNULL) != 0
    if missing:
        what = "needs Debian's packages mediawiki, php-cli, php-sqlite3, php-mbstring, php-xml and php-intl"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(what)


class MediaWikiServer:
    """A site of its own in a folder; a context manager that serves it.

    Args:
        folder: Where its database is; made.
        pages: Wikitext by title.
        extracts: Whether it has the extension that gives plain text.
    """

    def __init__(self, folder: Path, pages: Mapping[str, str], extracts: bool = True) -> None:
        require_mediawiki()
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port = folder, free_port()
        self._environment = {
            **os.environ,
            "MW_INSTALL_PATH": str(_CODE),
            "MW_CONFIG_FILE": str(folder / "LocalSettings.php"),
            "PHP_CLI_SERVER_WORKERS": "4",
        }
        self._install(extracts)
        self.add(pages)

    @property
    def api_url(self) -> str:
        """Where its API is."""
        return f"http://127.0.0.1:{self.port}/api.php"

    def add(self, pages: Mapping[str, str]) -> None:
        """Put pages into it."""
        xml = self.folder / "pages.xml"
        with xml.open("w", encoding="utf-8") as file:
            file.write('<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="en">\n')
            for title, text in pages.items():
                ns = _NAMESPACES.get(title.partition(":")[0], 0) if ":" in title else 0
                file.write(_PAGE.format(title=escape(title), ns=ns, text=escape(text)))
            file.write("</mediawiki>\n")
        self._maintain("importDump.php", "--no-updates", str(xml))
        self._maintain("refreshLinks.php")

    def dump(self, path: Path) -> None:
        """Write a dump of its pages' current revisions."""
        self._maintain("dumpBackup.php", "--current", f"--output=file:{path}")

    def __enter__(self) -> Self:
        command = ["php", "-d", "opcache.enable_cli=1", "-S", f"127.0.0.1:{self.port}", "-t", str(_CODE)]
        with (self.folder / "server.log").open("w") as log:
            # A session of its own, so that its workers end with it.
            self._server = subprocess.Popen(
                command, cwd=_CODE, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + _LIMIT_SECONDS
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.api_url}?action=query&format=json", timeout=10).read()
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
            else:
                return self
        raise TimeoutError(f"MediaWiki does not answer: {(self.folder / 'server.log').read_text()[-500:]}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.killpg(self._server.pid, 9)
        self._server.wait()

    def _install(self, extracts: bool) -> None:
        places = ["--dbpath", str(self.folder), "--confpath", str(self.folder)]
        server = ["--server", f"http://127.0.0.1:{self.port}", "--scriptpath", ""]
        names = ["--dbtype", "sqlite", "--dbname", "wiki", "--pass", "a-password-for-tests", "Test", "Admin"]
        self._maintain("install.php", *places, *server, *names)
        (self.folder / "words.php").write_text(_WORDS)
        with (self.folder / "LocalSettings.php").open("a") as settings:
            settings.write("\n$wgJobRunRate = 0;\n$wgMaxArticleSize = 20000;\n" + _DISAMBIGUATOR)
            if extracts:
                settings.write("wfLoadExtension( 'TextExtracts' );\n")

    def _maintain(self, script: str, *arguments: str) -> None:
        done = subprocess.run(
            ["php", str(_CODE / "maintenance" / script), *arguments],
            env=self._environment if script != "install.php" else {**os.environ, "MW_INSTALL_PATH": str(_CODE)},
            capture_output=True,
            text=True,
            timeout=_LIMIT_SECONDS,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{script}: {done.stdout[-500:]} {done.stderr[-500:]}")
