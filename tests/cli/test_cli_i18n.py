"""French: complete, well-formed, and really spoken; everything a machine reads stays English."""

from __future__ import annotations

import gettext
import importlib.util
import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fake_node import FakeNode, failure_view, run_view, status_view

from cli import i18n
from mesh.errors import NoSuchRun, catalogue

ROOT = Path(i18n.LOCALE_DIR).parent.parent


def load_script() -> Any:
    spec = importlib.util.spec_from_file_location("i18n_script", ROOT / "scripts" / "i18n.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script() -> Any:
    return load_script()


def test_every_message_is_translated_and_the_mo_is_fresh() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "i18n.py", "check"], capture_output=True, text=True
    )
    assert done.stdout == ""
    assert done.returncode == 0, done.stderr


def test_the_check_finds_what_is_wrong(script: Any, tmp_path: Path) -> None:
    po = tmp_path / "vitte.po"
    text = (Path(i18n.LOCALE_DIR) / "fr/LC_MESSAGES/vitte.po").read_text(encoding="utf-8")
    text = text.replace('msgstr "en vie"', 'msgstr ""')
    text = text.replace("a quitté {mesh}", "a quitté {maillage}")
    po.write_text(text.replace("# -- click --", 'msgid "gone"\nmsgstr "parti"\n\n# -- click --'))
    found = script.problems(po)
    assert "untranslated: 'alive' (cli/status.py)" in found
    assert "superfluous: 'gone'" in found
    assert any(problem.startswith("other fields: '{node} has left {mesh}'") for problem in found)
    assert "vitte.mo is not what vitte.po compiles to" in found
    assert len(found) == 4


def test_all_sources_of_messages_are_collected(script: Any) -> None:
    messages = script.messages()
    assert ("alive",) in messages
    assert ("{count} node", "{count} nodes") in messages
    assert ("The run was cancelled",) in messages
    assert ("Usage:",) in script.click_messages()


def test_the_compiled_file_is_what_gettext_reads(script: Any) -> None:
    header = "Plural-Forms: nplurals=2; plural=(n > 1);\nContent-Type: text/plain; charset=UTF-8\n"
    entries = {
        ("",): (header,),
        ("a",): ("à",),
        ("one", "many"): ("un", "plusieurs"),
        ("unfinished",): ("",),
    }
    loaded = gettext.GNUTranslations(BytesIO(script.compile_mo(entries)))
    assert loaded.gettext("a") == "à"
    assert [loaded.ngettext("one", "many", count) for count in (0, 1, 2)] == [
        "un",
        "un",
        "plusieurs",
    ]
    assert loaded.gettext("unfinished") == "unfinished"


def test_error_codes_are_unique() -> None:
    codes = [cls.code for cls in catalogue()]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("args", "environment", "language"),
    [
        ([], {}, "en"),
        ([], {"LANG": "fr_FR.UTF-8"}, "fr"),
        ([], {"LANG": "fr_FR.UTF-8", "LC_ALL": "C"}, "en"),
        ([], {"LANG": "en_US.UTF-8", "LC_MESSAGES": "fr_CA"}, "fr"),
        ([], {"LC_ALL": "en_GB", "VITTE_LANG": "fr"}, "fr"),
        (["--lang", "en"], {"VITTE_LANG": "fr"}, "en"),
        (["dist", "status", "--lang=fr"], {}, "fr"),
        (["dist", "run", "--", "x", "--lang=fr"], {}, "en"),
        ([], {"LANG": "de_DE.UTF-8"}, "en"),
        (["--lang"], {}, "en"),
    ],
)
def test_which_language(args: list[str], environment: dict[str, str], language: str) -> None:
    assert i18n.choose(args, environment) == language


def test_french_is_spoken(tmp_path: Path, vitte: Any) -> None:
    with FakeNode(tmp_path / "n", status=status_view(), explain=NoSuchRun(run="abc")):
        home = ("--home", str(tmp_path / "n"))
        status = vitte("dist", "status", "--lang", "fr", *home)
        error = vitte("dist", "explain", "--lang", "fr", *home)
    assert "maillage atelier (abababab), 3 nœuds, bac à sable : bwrap" in status.out
    assert "paris-1 (ici)" in status.out
    assert "4 fragments en attente" in status.out
    assert error.err.splitlines() == [
        "error[VM408]: Il n'y a pas d'exécution `abc` sur ce nœud",
        "conseil : `vitte dist logs` sans exécution montre la plus récente",
    ]


def test_failures_in_french(tmp_path: Path, vitte: Any) -> None:
    failed = run_view(ok=False, exit_code=1, failed=1, failures=[failure_view()])
    with FakeNode(tmp_path / "n", run=failed):
        done = vitte("dist", "run", "build", "--lang=fr", "--home", str(tmp_path / "n"))
    assert "build échoué : 3 fragments en 3.1 s" in done.out
    assert "ÉCHEC compile bad.c sur lyon-2 : code de sortie 1" in done.err


def test_json_is_the_same_in_every_language(tmp_path: Path, vitte: Any) -> None:
    with FakeNode(tmp_path / "n", status=status_view(), explain=NoSuchRun(run="abc")):
        home = ("--json", "--home", str(tmp_path / "n"))
        assert vitte("dist", "status", "--lang=fr", *home) == vitte("dist", "status", *home)
        french = json.loads(vitte("dist", "explain", "--lang=fr", *home).out)
    assert french["error"]["message"] == "There is no run `abc` on this node"


def test_help_and_clicks_own_words_are_french(vitte_process: Any) -> None:
    done = vitte_process("dist", "--help", VITTE_LANG="fr")
    assert done.out.startswith("Utilisation : vitte dist")
    assert "Affiche cette aide et quitte." in done.out
    assert "Commandes:" in done.out
    wrong = vitte_process("--lang", "fr", "dist", "run", "build", "--jobs", "x")
    assert wrong.code == 2
    assert "erreur : Valeur incorrecte pour '--jobs'" in wrong.err


def test_a_language_we_do_not_have(vitte_process: Any) -> None:
    asked = vitte_process("--lang", "xx", "dist", "status")
    assert (asked.code, "choose one of en, fr" in asked.err) == (2, True)
    inherited = vitte_process("dist", "status", LANG="xx_XX.UTF-8")
    assert "error[VM101]: No node is running" in inherited.err
