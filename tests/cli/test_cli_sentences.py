"""Sentences of nodes in the user's language: every template is one that nodes use, and the other
way round for what the scheduler and the views say."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
from fake_node import FakeNode, status_view
from hypothesis import given
from hypothesis import strategies as st

from cli import i18n
from cli.sentences import NESTING_MAX, TEMPLATES, recognise, translate

ROOT = Path(i18n.LOCALE_DIR).parent.parent
NODE_SOURCES = ("mesh/node", "mesh/scheduler", "mesh/executor", "mesh/ports/actions.py")
ONLY_JOINED = ("{phase}: {detail}", "for {age}", "it is {phase}", "it is {phase} on {node}")
"""Templates with too few words of their own to be looked for."""


@pytest.fixture
def french() -> Iterator[None]:
    i18n.activate("fr")
    yield
    i18n.activate("en")


def node_texts() -> str:
    """All literal text in the sources of nodes, adjacent pieces joined as the compiler does."""
    texts = []
    for name in NODE_SOURCES:
        top = ROOT / name
        for path in sorted(top.rglob("*.py")) if top.is_dir() else [top]:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant))
            texts += [node.value for node in constants if isinstance(node.value, str)]
    return "\n".join(texts)


def test_every_template_is_something_that_nodes_say() -> None:
    texts = node_texts()
    stale = [
        (template, words)
        for template in TEMPLATES
        if template not in ONLY_JOINED
        for words, *_ in Formatter().parse(template)
        if len(words.strip(" ;:`,")) > 2 and words.strip(" ;:`,") not in texts
    ]
    assert stale == []


@pytest.mark.parametrize(
    ("english", "french_words"),
    [
        (
            "a slot was free on this machine when its turn came",
            "une place était libre sur cette machine quand son tour est venu",
        ),
        (
            "it was stolen: lyon-2 asked for work while this machine's slots were busy",
            (
                "il a été volé : lyon-2 demandait du travail alors que les places de cette machine"
                " étaient prises"
            ),
        ),
        (
            (
                "a slot was free on this machine when its turn came; before that lyon-2: it stopped"
                " renewing its lease; before that brest: the connection ended"
            ),
            (
                "une place était libre sur cette machine quand son tour est venu ; avant cela"
                " lyon-2 : il a cessé de renouveler son bail ; avant cela brest : la connexion"
                " a pris fin"
            ),
        ),
        (
            (
                "granted: a second copy, because the first takes long; it asked for work; round"
                " trip 3.1 ms, 75% of inputs warm"
            ),
            (
                "granted : une seconde copie, car la première dure ; il demandait du travail ;"
                " aller-retour 3.1 ms, 75% des entrées déjà là"
            ),
        ),
        (
            "bubblewrap is not installed; fix: `apt install bubblewrap`",
            "bubblewrap n'est pas installé ; remède : `apt install bubblewrap`",
        ),
        ("unstable, for 12 min", "instable, depuis 12 min"),
        ("declined: /usr/bin/cc differs", "declined : /usr/bin/cc est différent"),
        ("a sentence of another version", "a sentence of another version"),
        ("", ""),
    ],
)
@pytest.mark.usefixtures("french")
def test_a_sentence_is_said_in_french(english: str, french_words: str) -> None:
    assert translate(english) == french_words


@given(st.text(max_size=60))
def test_names_may_be_anything(name: str) -> None:
    found = recognise(f"it needs `{name}x`, which failed")
    assert found == ("it needs `{step}`, which failed", {"step": f"{name}x"})


@pytest.mark.usefixtures("french")
def test_a_peer_that_nests_for_ever_gets_no_further_than_the_bound() -> None:
    hostile = "phase: " * 500 + "the connection ended"
    told = translate(hostile)
    assert told.count("phase : ") == NESTING_MAX
    assert told.endswith("the connection ended")


def test_status_and_explain_speak_french_and_json_does_not(tmp_path: Path, vitte: Any) -> None:
    health = "no datagram of any member reaches this node"
    why = "no node could run it"
    shard = {"index": 0, "name": "cc a.c", "phase": "failed", "source": "", "where": ""}
    reasons = [{"node": "lyon-2", "reason": "its role may not build"}]
    moment = {"at_s": 0.5, "phase": "lost", "where": "lyon-2", "detail": "the connection ended"}
    told = {**shard, "seconds": 0.0, "why": why, "nodes": reasons, "timeline": [moment]}
    explain = {"schema": "vitte.explain/1", "run": "ab", "state": "done", "shards": [told]}
    with FakeNode(tmp_path / "n", status=status_view(health=[health]), explain=explain):
        home = ("--home", str(tmp_path / "n"), "--lang", "fr")
        status = vitte(*home, "dist", "status").out
        explained = vitte(*home, "dist", "explain", "ab", "cc").out
        as_json = vitte(*home, "--json", "dist", "status").out
    assert "# aucun datagramme d'aucun membre n'atteint ce nœud" in status
    for words in (
        "aucun nœud ne pouvait l'exécuter",
        "son rôle ne lui permet pas de construire",
        "la connexion a pris fin",
    ):
        assert words in explained
    assert health in as_json
