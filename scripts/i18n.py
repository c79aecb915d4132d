"""The message catalogues: collect, check, compile. Run from the project's root:

    python scripts/i18n.py check      what is untranslated, superfluous or wrong; exit 1 if anything
    python scripts/i18n.py compile    write each .mo beside its .po
    python scripts/i18n.py missing    a .po fragment with every untranslated message

Messages are found in the syntax tree: literal arguments of `t(...)`, `n(...)` and `said(...)` in
`cli/` and `sim/app/`, the templates and hints of `mesh.errors`, and the strings that click passes
to gettext.
No tool beyond Python is needed; the format is the one of GNU gettext (.po text, .mo version 0 as
its manual says).
"""

from __future__ import annotations

import ast
import struct
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from string import Formatter

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
LOCALES = ROOT / "cli" / "locale"
CLICK_MODULES = ("core", "exceptions", "formatting", "parser", "types", "decorators")
MO_MAGIC = 0x950412DE

Key = tuple[str, ...]
"""(msgid,) or (msgid, msgid_plural)."""


def messages() -> dict[Key, str]:
    """Every message of ours that can be shown, and where it comes from."""
    found: dict[Key, str] = {}
    for path in sorted([*(ROOT / "cli").rglob("*.py"), *(ROOT / "sim" / "app").rglob("*.py")]):
        for key in _calls(path, {"t": 1, "n": 2, "said": 1}):
            found.setdefault(key, str(path.relative_to(ROOT)))
    from mesh.errors import catalogue

    for cls in catalogue():
        for text in (cls.template(), cls.hint):
            if any(words.strip(" `.") for words, *_ in Formatter().parse(text)):
                found.setdefault((text,), f"mesh/errors.py {cls.code}")
    return found


def click_messages() -> dict[Key, str]:
    """What the installed click passes to gettext on the paths that we use."""
    spec = find_spec("click")
    assert spec is not None
    assert spec.origin is not None
    found: dict[Key, str] = {}
    for name in CLICK_MODULES:
        path = Path(spec.origin).with_name(f"{name}.py")
        for key in _calls(path, {"_": 1, "ngettext": 2}):
            found.setdefault(key, f"click/{name}.py")
    return found


def _calls(path: Path, functions: dict[str, int]) -> Iterator[Key]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            count = functions.get(node.func.id, 0)
            texts = [arg.value for arg in node.args[:count] if isinstance(arg, ast.Constant)]
            if count and len(texts) == count and all(isinstance(text, str) for text in texts):
                yield tuple(map(str, texts))


def parse_po(text: str) -> dict[Key, tuple[str, ...]]:
    """Translations by key; the header is under ("",). Raises ValueError with the line."""
    entries: dict[Key, tuple[str, ...]] = {}
    fields: dict[str, str] = {}
    current = ""

    def flush() -> None:
        if "msgid" in fields:
            plural = fields.get("msgid_plural")
            key = (fields["msgid"],) if plural is None else (fields["msgid"], plural)
            forms = sorted(name for name in fields if name.startswith("msgstr"))
            if key in entries:
                raise ValueError(f"twice: {key[0]!r}")
            entries[key] = tuple(fields[name] for name in forms)
        fields.clear()

    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("msgid "):
            flush()
        if line.startswith('"'):
            fields[current] += ast.literal_eval(line)
            continue
        current, _, value = line.partition(" ")
        if not current.startswith(("msgid", "msgstr")) or not value.startswith('"'):
            raise ValueError(f"line {number}: {line}")
        fields[current] = ast.literal_eval(value)
    flush()
    return entries


def compile_mo(entries: dict[Key, tuple[str, ...]]) -> bytes:
    """The .mo file: sorted table of ids, table of translations, then the NUL-ended strings."""
    pairs = sorted(
        ("\0".join(key).encode(), "\0".join(forms).encode())
        for key, forms in entries.items()
        if all(forms)
    )
    count = len(pairs)
    ids_at, texts_at = 28, 28 + 8 * count
    data_at = texts_at + 8 * count
    tables: list[list[int]] = [[], []]
    data = b""
    for column in (0, 1):
        for pair in pairs:
            tables[column] += [len(pair[column]), data_at + len(data)]
            data += pair[column] + b"\0"
    head = struct.pack("<7I", MO_MAGIC, 0, count, ids_at, texts_at, 0, data_at)
    return head + struct.pack(f"<{4 * count}I", *tables[0], *tables[1]) + data


def problems(po: Path) -> list[str]:
    """Sentences on what is wrong with a catalogue."""
    entries = parse_po(po.read_text(encoding="utf-8"))
    wanted, of_click = messages(), click_messages()
    found = [
        f"untranslated: {key[0]!r} ({where})"
        for key, where in wanted.items()
        if not all(entries.get(key, ("",)))
    ]
    for key, forms in entries.items():
        if key == ("",):
            continue
        if key not in wanted and key not in of_click and not _for_other_click(po, key):
            found.append(f"superfluous: {key[0]!r}")
        for form in forms:
            allowed = [_fields(text) for text in key]
            if form and _fields(form) not in allowed:
                found.append(f"other fields: {key[0]!r} -> {form!r}")
    mo = po.with_suffix(".mo")
    if not mo.exists() or mo.read_bytes() != compile_mo(entries):
        found.append(f"{mo.name} is not what {po.name} compiles to")
    return found


def _for_other_click(po: Path, key: Key) -> bool:
    """Whether an entry is in the catalogue's part for click, of which versions differ."""
    _, marker, rest = po.read_text(encoding="utf-8").partition("# -- click --")
    return bool(marker) and key in parse_po(rest.partition("\n")[2])


def _fields(text: str) -> set[str]:
    """Names of the `{fields}` of a template; of texts that are no templates, none."""
    try:
        return {name for _, name, _, _ in Formatter().parse(text) if name}
    except ValueError:
        return set()


def _quote(text: str) -> str:
    escaped = (
        text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\b", "\\b")
    )
    return f'"{escaped}"'


def missing(po: Path, wanted: dict[Key, str]) -> str:
    """A fragment for a translator."""
    entries = parse_po(po.read_text(encoding="utf-8")) if po.exists() else {}
    parts = []
    for key, where in wanted.items():
        if not all(entries.get(key, ("",))):
            lines = [f"#: {where}", f"msgid {_quote(key[0])}"]
            if len(key) == 2:
                lines += [f"msgid_plural {_quote(key[1])}", 'msgstr[0] ""', 'msgstr[1] ""']
            else:
                lines.append('msgstr ""')
            parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def main(command: str) -> int:
    wrong = 0
    for po in sorted(LOCALES.glob("*/LC_MESSAGES/*.po")):
        if command == "compile":
            entries = parse_po(po.read_text(encoding="utf-8"))
            po.with_suffix(".mo").write_bytes(compile_mo(entries))
        elif command == "missing":
            print(missing(po, {**messages(), **click_messages()}))
        else:
            found = problems(po)
            wrong += len(found)
            for problem in found:
                print(f"{po.relative_to(ROOT)}: {problem}")
    return 1 if wrong else 0


if __name__ == "__main__":
    if sys.argv[1:] not in (["check"], ["compile"], ["missing"]):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
