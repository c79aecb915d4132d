"""`{in}`, `{out}`, `{stem}` ... in the commands and paths of a vitte-dist.toml.

A value is a list of words: usually one, several for `{needs.NAME}` or a step with several outputs.
In an array command, an element that is nothing but a placeholder becomes as many elements; in a
shell command every word is quoted. `{{` and `}}` are braces.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping

Values = Mapping[str, tuple[str, ...]]

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class TemplateError(ValueError):
    """A placeholder that means nothing here; the message says so."""


def in_shell(template: str, values: Values) -> str:
    """Substitute into a shell command, quoting. Raises TemplateError."""
    return _substitute(template, lambda key: shlex.join(_lookup(key, values)))


def in_words(template: str, values: Values) -> tuple[str, ...]:
    """Substitute into one element of an array command. Raises TemplateError."""
    match = _PLACEHOLDER.fullmatch(template)
    if match is not None and match[1] is not None:
        return _lookup(match[1], values)
    return (in_path(template, values),)


def in_path(template: str, values: Values) -> str:
    """Substitute where exactly one word can stand. Raises TemplateError."""

    def one(key: str) -> str:
        words = _lookup(key, values)
        if len(words) != 1:
            raise TemplateError(f"`{{{key}}}` stands for {len(words)} words here")
        return words[0]

    return _substitute(template, one)


def placeholders(template: str) -> set[str]:
    """The names between braces."""
    return {match[1] for match in _PLACEHOLDER.finditer(template) if match[1] is not None}


def _substitute(template: str, value_of: Callable[[str], str]) -> str:
    def replace(match: re.Match[str]) -> str:
        if match[0] in {"{{", "}}"}:
            return match[0][0]
        if match[1] is None:
            raise TemplateError(f"a lone `{match[0]}`")
        return value_of(match[1])

    return _PLACEHOLDER.sub(replace, template)


def _lookup(key: str, values: Values) -> tuple[str, ...]:
    if key not in values:
        known = ", ".join(f"{{{name}}}" for name in values)
        raise TemplateError(f"`{{{key}}}` means nothing here (known: {known})")
    return values[key]
