"""What nodes say in sentences, recognised and said again in the user's language.

A node explains itself in English: why a shard ran where it ran, what is wrong with its mesh. Such
a sentence may come from another node, of another version, over the wire, or from the record of an
old run; so it is not sent as a number with parameters that both sides would have to agree on. It is
recognised here by its template, which is the message id, and its fields are put into the
translation. A sentence that is not known here is shown as it came.

Rules: this is loaded for languages other than English only, and only for people: JSON carries what
the node said. Fields named in NESTED hold sentences themselves and are translated, too, down to
NESTING_MAX; the input may be a peer's, so its length is bounded, and a template must match all of
it. Held to what nodes really say by tests/cli/test_cli_sentences.py, which reads their sources, and
by a real build that loses a peer.

Not here: errors (`mesh.errors` has codes and parameters), and what the command line says itself.
"""

from __future__ import annotations

import re
from functools import lru_cache
from string import Formatter

from cli.i18n import t

NESTED = frozenset({"sentence", "detail", "note"})
NESTING_MAX = 8
SENTENCE_CHARS_MAX = 4096
"""Longer ones are not looked at: no template with its fields comes near."""

_FIELDS = {
    "count": r"\d+",
    "known": r"\d+",
    "seconds": r"\d+",
    "ms": r"\d+\.\d",
    "warm": r"\d+%",
    "age": r"\d+ (?:s|min|h)",
    "node": r"[^;:]+?",
    "tool": r"/.+",
    "own": r"\S+",
    "platform": r"\S+",
    "phase": r"[a-z]+",
}
"""What a field looks like; anything else is any text."""


def said(template: str) -> str:
    """Marks a message id for `scripts/i18n.py`."""
    return template


TEMPLATES = (
    # why a shard ran where it ran
    said("{sentence}; before that {node}: {detail}"),
    said("its result was already known: same command, same inputs, same tools"),
    said("its result was known from {node}: same command, same inputs, same tools"),
    said("a slot was free on this machine when its turn came"),
    said("it was stolen: {node} asked for work while this machine's slots were busy"),
    said("the step must run in place, here"),
    said("the step must run on the machine that started it"),
    said("something it needs failed"),
    said("it needs `{step}`, which failed"),
    said("the run ended before it could start"),
    said("it failed on {node}"),
    said("no node could run it"),
    said("it is {phase}"),
    said("it is {phase} on {node}"),
    # what each node had to do with it
    said("was not asked: the result was known"),
    said("did not ask for work while this shard waited, or others came first"),
    said("{phase}: {detail}"),
    said("its role may not build"),
    said("a slot was free here"),
    said("a second copy, because the first takes long"),
    said("a second copy, because the first takes long; {sentence}"),
    said("it asked for work; round trip {ms} ms, {warm} of inputs warm"),
    said("the connection ended"),
    said("it stopped renewing its lease"),
    said("it let the lease expire {count} times"),
    said("it held the shard for {seconds} s without an end"),
    said("its outputs could not be fetched"),
    said("an input was lost here"),
    said("one of its tools was replaced here while it ran"),
    said("the list of its inputs could not be fetched"),
    said("{count} inputs could not be fetched"),
    said("{tool} is in a folder that others' shards cannot see"),
    said("it is {own}, and {platform} is needed"),
    said("{tool} is missing"),
    said("{tool} differs"),
    # health, and notes about members
    said("its datagrams come, ours do not reach it"),
    said("no datagrams between us; it lives, as others or its stream say"),
    said("no member answers this node: its datagrams do not leave, though theirs come"),
    said("no datagram of any member reaches this node"),
    said("{node} sent data that does not match its digest"),
    said("bubblewrap is not installed"),
    said("bubblewrap does not run: {reason}"),
    said("bubblewrap may not run: {reason}"),
    said("the sandbox was turned off in the settings"),
    said("{sentence}; fix: `{command}`"),
    said("stole {count} shards since it started"),
    said("never seen by this node"),
    said("for {age}"),
    said("unstable, {note}"),
    said("unstable: not used until it stays"),
    said("no stream yet"),
)
"""Where two match, the first one counts: the ones that hold others come first."""


def translate(sentence: str, depth: int = 0) -> str:
    """The sentence in the user's language, or as it is."""
    found = recognise(sentence) if depth < NESTING_MAX else None
    if found is None:
        return sentence
    template, fields = found
    told = {
        name: translate(text, depth + 1) if name in NESTED else text
        for name, text in fields.items()
    }
    return t(template).format(**told)


def recognise(sentence: str) -> tuple[str, dict[str, str]] | None:
    """The template and the fields of a sentence."""
    if len(sentence) > SENTENCE_CHARS_MAX:
        return None
    for template, pattern in _patterns():
        match = pattern.fullmatch(sentence)
        if match is not None:
            return template, match.groupdict()
    return None


@lru_cache(maxsize=1)
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    holders = [template for template in TEMPLATES if template.startswith("{sentence}")]
    rest = [template for template in TEMPLATES if template not in holders]
    rest.sort(key=lambda template: (template.count("{"), template.startswith("{phase}")))
    return tuple((template, _pattern(template)) for template in [*holders, *rest])


def _pattern(template: str) -> re.Pattern[str]:
    pattern = ""
    for words, field, _, _ in Formatter().parse(template):
        pattern += re.escape(words)
        if field is not None:
            pattern += f"(?P<{field}>{_FIELDS.get(field, '.+')})"
    return re.compile(pattern, re.DOTALL)
