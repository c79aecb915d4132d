r"""Make rules, as compilers write them with `-M` and `-MD`: `target: prerequisite ...`.

Rules
- `\` before a newline continues the line; `$$` is `$`; `\#`, `\:`, `\[`, `\|`, `\*` are literal.
- Before a space, backslashes count in pairs: `\ ` is a space in the name, `\\ ` is a name that ends
  in a backslash. Elsewhere a backslash is itself (GCC's libcpp/mkdeps.cc writes it that way).
- A word that ends in `:` ends the targets. `-MP` adds empty rules for headers; they come out as
  rules of their own.

Whatever the text, parsing never fails: what makes no sense is a word. Deliberately not here: make
variables, pattern rules, recipes.
"""

from __future__ import annotations

import re

import attrs

_WORD = re.compile(
    r"""(?:
        (?:\\\\)+(?=[ \t])            # paired backslashes before a separator: handled in _unescape
      | (?:\\\\)*\\[ \t]              # an escaped space
      | \\(?!\r?\n)                   # a lone backslash that does not continue the line
      | [^\s\\]
    )+""",
    re.VERBOSE,
)
_ESCAPED = re.compile(r"(\\+)([ \t])|(\\+)$|\\([#:\[\]|*])|\$\$")
_CONTROL = re.compile(r"[^\S \n]")
"""White space other than blanks and ends of lines: whether it separates is left to `_WORD`."""
_SPACE = re.compile(r"(?:[ \t\f\v]|\\\r?\n)+")


@attrs.frozen
class MakeRule:
    targets: tuple[str, ...]
    prerequisites: tuple[str, ...]


def parse_rules(text: str) -> tuple[MakeRule, ...]:
    """All rules of the text, in order; lines without a colon are ignored."""
    rules = []
    for words in _logical_lines(text):
        rule = _rule(words)
        if rule is not None:
            rules.append(rule)
    return tuple(rules)


def prerequisites(text: str) -> tuple[str, ...]:
    """The prerequisites of all rules, each once, in order of appearance."""
    if (plain := _plain(text)) is not None:
        return plain
    found: dict[str, None] = {}
    for rule in parse_rules(text):
        found.update(dict.fromkeys(rule.prerequisites))
    return tuple(found)


def _plain(text: str) -> tuple[str, ...] | None:
    """The same for one rule without special characters, which nearly all are; else None."""
    if "$" in text or _CONTROL.search(text):
        return None
    joined = text.replace("\\\n", " ").removesuffix("\n")
    target, colon, rest = joined.partition(": ")
    usual = colon and ":" not in target and not any(each in joined for each in ("\\", "\n"))
    words = rest.split(" ")
    if not usual or ": " in rest or rest.endswith(":"):
        return None
    return tuple(dict.fromkeys(word for word in words if word))


def _logical_lines(text: str) -> list[list[str]]:
    """The raw words of each line, continuation lines joined."""
    lines: list[list[str]] = [[]]
    position = 0
    while position < len(text):
        space = _SPACE.match(text, position)
        if space is not None:
            position = space.end()
            continue
        word = _WORD.match(text, position)
        if word is not None:
            lines[-1].append(word[0])
            position = word.end()
            continue
        lines.append([])  # a newline, or a control character that cannot be in a name
        position += 1
    return lines


def _rule(words: list[str]) -> MakeRule | None:
    for index, word in enumerate(words):
        if word.endswith(":") and not word.endswith("\\:"):
            targets = [*words[:index], *([word[:-1]] if word != ":" else [])]
            return MakeRule(
                tuple(_unescape(target) for target in targets),
                tuple(_unescape(each) for each in words[index + 1 :]),
            )
    return None


def _unescape(word: str) -> str:
    def replace(match: re.Match[str]) -> str:
        slashes, space, final, other = match.groups()
        if space is not None:
            return "\\" * (len(slashes) // 2) + space
        if final is not None:
            # Only the doubled ones stood before a separator; a lone one is the name's own.
            return "\\" * ((len(final) + 1) // 2)
        return str(other) if other is not None else "$"

    return _ESCAPED.sub(replace, word)
