"""The language of the text that people read: English in the source, others as gettext catalogues.

Order: `--lang`, VITTE_LANG, LC_ALL, LC_MESSAGES, LANG. JSON, logs, error codes and flags are never
translated. `t` and `n` take literal strings, because `scripts/i18n.py` collects them from the
syntax tree; the templates and hints of `mesh.errors` are message ids too. gettext is only imported
when the language is not English.

click asks gettext for its own words through the environment variable LANGUAGE. We set it for this
process; `user_environment` gives the environment as the user made it, for whatever we start.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from gettext import NullTranslations

DOMAIN = "vitte"
LOCALE_DIR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "locale")
LANGUAGES = ("en", "fr")

_catalogue: NullTranslations | None = None
_language = "en"
_overridden: str | None = None


def choose(args: Sequence[str], environment: Mapping[str, str]) -> str:
    """The language to speak; one we do not have means English."""
    for wish in (
        _option(args),
        *(environment.get(name) for name in ("VITTE_LANG", "LC_ALL", "LC_MESSAGES", "LANG")),
    ):
        if wish:
            language = wish.replace("-", "_").split("_")[0].split(".")[0].lower()
            return language if language in LANGUAGES else "en"
    return "en"


def _option(args: Sequence[str]) -> str | None:
    for position, word in enumerate(args):
        if word == "--":
            return None
        if word == "--lang":
            return args[position + 1] if position + 1 < len(args) else None
        if word.startswith("--lang="):
            return word.removeprefix("--lang=")
    return None


def activate(language: str) -> None:
    """Speak `language` from now on. Before commands are imported: their help is text, too."""
    global _catalogue, _language, _overridden  # noqa: PLW0603 - one process speaks one language
    _language = language
    if language == "en":
        if _catalogue is not None:
            _restore_environment()
        _catalogue = None
        return
    import gettext

    _catalogue = gettext.translation(DOMAIN, LOCALE_DIR, [language], fallback=True)
    if _overridden is None:
        _overridden = os.environ.get("LANGUAGE", "")
    os.environ["LANGUAGE"] = language
    gettext.bindtextdomain(DOMAIN, LOCALE_DIR)
    gettext.textdomain(DOMAIN)


def _restore_environment() -> None:
    global _overridden  # noqa: PLW0603
    if _overridden:
        os.environ["LANGUAGE"] = _overridden
    else:
        os.environ.pop("LANGUAGE", None)
    _overridden = None


def language() -> str:
    return _language


def user_environment() -> dict[str, str]:
    """The environment without our LANGUAGE."""
    environment = dict(os.environ)
    if _overridden is not None:
        if _overridden:
            environment["LANGUAGE"] = _overridden
        else:
            environment.pop("LANGUAGE", None)
    return environment


def t(message: str, **params: object) -> str:
    """`message` in the user's language, with `{name}` fields filled in."""
    text = message if _catalogue is None else _catalogue.gettext(message)
    return text.format(**params) if params else text


def said(sentence: str) -> str:
    """What a node said, in the user's language where it is known."""
    if _catalogue is None:
        return sentence
    from cli.sentences import translate

    return translate(sentence)


def n(one: str, many: str, count: int, **params: object) -> str:
    """Singular or plural, as the language has it; `{count}` is filled in."""
    if _catalogue is None:
        text = one if count == 1 else many
    else:
        text = _catalogue.ngettext(one, many, count)
    return text.format(count=count, **params)
