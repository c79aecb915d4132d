"""The rule language against Python itself: the same text, compiled here and executed there."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.rules.boards import has_anywhere
from mesh.rules.compile import Compiled, compile_rules
from mesh.rules.isa import FIXED_ONE
from mesh.rules.program import encode_program
from mesh.rules.source import SourceError
from mesh.rules.verifier import worst_case
from mesh.rules.vm import Emitted, Machine

RULES = 500
COMPARISONS = ("<", "<=", "==", "!=", ">", ">=")
INPUTS = 3
NAMES = ("a", "b", "c")
Kinds = dict[str, str]


# -- texts -----------------------------------------------------------------------------------------
class Writer:
    """Writes rules that never saturate and whose numbers are exact."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._all: list[tuple[str, str]] = []
        """Names that have a type: they keep it in the whole rule."""

    def rule(self) -> str:
        head = ['@every("1s")', "def r():"]
        return "\n".join([*head, *self._block({}, 2, "    ")]) + "\n"

    def _leaf(self, kind: str, kinds: Kinds) -> str:
        random = self._random
        known = [name for name, each in kinds.items() if each == kind]
        if known and random.random() < 0.5:
            return random.choice(known)
        if kind == "int":
            return random.choice([str(random.randint(-20, 20)), f"adc({random.randrange(INPUTS)})"])
        if kind == "fixed":
            return repr(random.randint(-160, 160) / 16)
        return random.choice(["True", "False", "gpio(5)"])

    def _expression(self, kind: str, kinds: Kinds, depth: int) -> str:
        if depth == 0 or self._random.random() < 0.25:
            return self._leaf(kind, kinds)

        def part(of: str) -> str:
            return self._expression(of, kinds, depth - 1)

        choices = [f"({part(kind)} if {part('bool')} else {part(kind)})"]
        if kind == "bool":
            of, op = self._random.choice(["int", "fixed"]), self._random.choice(COMPARISONS)
            choices += [f"({part(of)} {op} {part(of)})", f"({part('int')} {op} {part('fixed')})"]
            choices += [
                f"({part('bool')} and {part('bool')})",
                f"({part('bool')} or {part('bool')})",
            ]
            choices += [f"(not {part('bool')})", f"bool({part('int')})"]
            return self._random.choice(choices)
        choices += [f"({part(kind)} {op} {part(kind)})" for op in "+-"]
        choices += [f"{name}({part(kind)}, {part(kind)})" for name in ("min", "max")]
        choices.append(f"(-{part(kind)})")
        if kind == "int":
            choices += [f"int({part('fixed')})", f"({part('int')} & {part('int')})"]
            choices += [f"({part('int')} >> 1)", f"int({part('bool')})", f"(~{part('int')})"]
            choices += ["(adc(0) // 3 + adc(1) % 7)", f"({part('int')} * 3)"]
        else:
            choices += [f"({part('fixed')} * 3)", f"fixed({part('int')})", "(0.5 * 0.25)"]
            choices += [f"({part('int')} + {part('fixed')})", f"({part('int')} * 0.5)"]
        return self._random.choice(choices)

    def _block(self, kinds: Kinds, depth: int, indent: str) -> list[str]:
        """Statements; names that they give a value on every way are added to `kinds`."""
        random, lines = self._random, list[str]()
        for _ in range(random.randint(1, 3)):
            what = random.randrange(7 if depth else 5)
            kind = random.choice(["int", "fixed", "bool"])
            if what <= 1:
                name = random.choice(NAMES)
                kind = kinds.get(name) or next((k for n, k in self._all if n == name), kind)
                lines.append(f"{indent}{name} = {self._expression(kind, kinds, 2)}")
                kinds[name] = kind
                self._all.append((name, kind))
            elif what <= 4:
                lines.append(f"{indent}emit(1, {self._expression(kind, kinds, 2)})")
            else:
                lines.append(f"{indent}if {self._expression('bool', kinds, 1)}:")
                lines += self._block(dict(kinds), depth - 1, indent + "    ")
                if random.random() < 0.6:
                    lines.append(f"{indent}else:")
                    lines += self._block(dict(kinds), depth - 1, indent + "    ")
        return lines


# -- both ways -------------------------------------------------------------------------------------
def by_python(text: str, inputs: tuple[int, ...], pin: int) -> list[int]:
    """What Python emits when it executes the text itself."""
    emitted: list[int] = []

    def emit(_code: int, value: Any) -> None:
        emitted.append(round(value * FIXED_ONE) if isinstance(value, float) else int(value))

    names = {
        "every": lambda _: lambda function: function,
        "adc": lambda index: inputs[index],
        "gpio": lambda _: bool(pin),
        "emit": emit,
        "fixed": float,
    }
    exec(text, names)
    names["r"]()
    return emitted


class Bench:
    def __init__(self, compiled: Compiled, inputs: tuple[int, ...], pin: int) -> None:
        self._values = [
            inputs[each.channel] if each.kind.name == "ADC" else pin
            for each in compiled.program.resources
        ]

    def read(self, resource: int) -> int:
        return self._values[resource]

    def write(self, resource: int, value: int) -> None:
        raise AssertionError("nothing is written")

    def now_ms(self) -> int:
        return 0


def by_rule(compiled: Compiled, inputs: tuple[int, ...], pin: int) -> list[int]:
    (rule,) = compiled.program.rules
    outcome = Machine(rule.code).run(rule.slots, Bench(compiled, inputs, pin))
    assert outcome.steps <= rule.worst == worst_case(rule.code)
    return [message.value for message in outcome.messages if isinstance(message, Emitted)]


def compiled_unless_too_big(text: str) -> Compiled | None:
    """Whatever else is wrong is raised: these texts are right."""
    try:
        return compile_rules(text, has_anywhere)
    except SourceError as error:
        if "fit in a rule" in error.text or "values are needed" in error.text:
            return None
        raise


def test_rules_say_what_python_says() -> None:
    random, compared, said = Random(9), 0, 0
    for seed in range(RULES):
        text = Writer(seed).rule()
        made = compiled_unless_too_big(text)
        if made is None:
            continue
        for _ in range(3):
            inputs, pin = tuple(random.randrange(100) for _ in range(INPUTS)), random.randrange(2)
            expected = by_python(text, inputs, pin)
            assert by_rule(made, inputs, pin) == expected, text
            compared, said = compared + 1, said + len(expected)

    assert compared > 2 * RULES
    assert said > compared


def compiled(body: str, *, head: str = "", parameters: str = "") -> Compiled:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return compile_rules(f'{head}\n@every("1s")\ndef r({parameters}):\n{lines}\n', has_anywhere)


def emits(body: str, *inputs: int) -> list[int]:
    return by_rule(compiled(body), (*inputs, 0, 0, 0), 0)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        # The right side mentions a name for the last time whose register the left one still needs.
        ("abs(a)", 3000),
        ("a == (a & 7)", 0),
        ("a - ((a - 1) - (a - 2))", 2999),
        ("a - (a if a < 5 else 1 - a)", 5999),
        ("2147483647 + 1", 2**31 - 1),
        ("-2147483648", -(2**31)),
        ("adc(0) * 1000000", 2**31 - 1),
        ("(0 - adc(0)) // 7", -428),  # towards zero, where Python has -429
        ("(0 - adc(0)) % 7", -4),
        ("adc(0) // 0", 2**31 - 1),
        ("adc(0) % 0", 0),
        ("int(-1.5)", -1),
        ("int(fixed(adc(0)) / 7)", 428),
        ("1.5 * 1.5", 147456),
        ("1 / 2", FIXED_ONE // 2),
        ("1 << 31", -(2**31)),
        ("~5", -6),
        ("fixed(40000)", 2**31 - 1),
        ("abs(-3)", 3),
        ("min(3, adc(0), 2)", 2),
    ],
)
def test_numbers_do_as_the_guide_says(expression: str, value: int) -> None:
    assert emits(f"a = adc(0)\nemit(1, {expression})", 3000) == [value]


def test_the_thermostat_of_the_guide_drives_the_relay() -> None:
    program = compiled("temp = adc(0) * 0.1\ngpio(5).set(temp > 80.0)").program
    written: list[int] = []

    for counts in (799, 801):
        bench = Bench(Compiled(program, (), ()), (counts,), 0)
        bench.write = lambda _, value: written.append(value)  # type: ignore[method-assign]
        Machine(program.rules[0].code).run((), bench)

    assert written == [0, 1]
    assert len(encode_program(program)) < 80


@pytest.mark.parametrize(
    ("body", "line", "underlined", "says"),
    [
        ("gpio(5).set(adc(0) * 0.1)", 4, "adc(0) * 0.1", "high or low"),
        ("while True:\n    pass", 4, "while True:", "no loops"),
        ("emit(1, nothing)", 4, "nothing", "has no value here"),
        ("x = 1\nx = 1.5", 5, "1.5", "not int"),
        ("if adc(0):\n    pass", 4, "adc(0)", "true or false is needed"),
        ("gpio(99999).set(1)", 4, "99999", "whole number"),
        ("import os", 4, "import os", "cannot do this"),
        ("emit(1, __import__('os'))", 4, "__import__", "do not have this function"),
        ("return\nemit(1, 1)", 5, "emit(1, 1)", "never reached"),
        ("dac(0).set(dac(0))", 4, "dac(0)", "cannot be read"),
        ("emit(1, 1 < 2 < 3)", 4, "1 < 2 < 3", "one comparison"),
        ("emit(1, 'é' + ö)", 4, "'é'", "only numbers"),
        ("emit(1, 40000.0)", 4, "40000.0", "fixed numbers"),
    ],
)
def test_what_is_wrong_is_shown_where_it_is(
    body: str, line: int, underlined: str, says: str
) -> None:
    lines = "\n".join(f"    {each}" for each in body.splitlines())
    source = f'\n@every("1s")\ndef r():\n{lines}\n'

    with pytest.raises(SourceError, match=says) as caught:
        compile_rules(source, has_anywhere)

    text, carets = caught.value.excerpt(source).splitlines()
    start = carets.index("^")
    assert caught.value.place.line == line
    assert text[start : start + carets.count("^")] == underlined


@pytest.mark.parametrize(
    ("period", "ms"), [("10ms", 10), ("1.001s", 1001), ("0.5 m", 30_000), ("24h", 86_400_000)]
)
def test_periods_are_exact(period: str, ms: int) -> None:
    program = compile_rules(f'@every("{period}")\ndef r():\n    pass\n', has_anywhere).program

    assert program.rules[0].trigger.period_ms == ms  # type: ignore[union-attr]


@pytest.mark.parametrize("period", ["9ms", "25h", "1.0001s", "-1s", "1", "soon", "9" * 30 + "s"])
def test_periods_that_no_leaf_keeps_are_refused(period: str) -> None:
    with pytest.raises(SourceError):
        compile_rules(f'@every("{period}")\ndef r():\n    pass\n', has_anywhere)


@given(st.text(max_size=200))
def test_any_text_is_compiled_or_refused_with_a_place(text: str) -> None:
    refused = None
    try:
        compile_rules(text, has_anywhere)
    except SourceError as error:
        refused = error

    assert refused is None or "^" in refused.excerpt(text)


def test_more_values_than_registers_is_an_error_that_names_the_rule() -> None:
    body = "\n".join(f"v{i} = adc({i})" for i in range(9))
    body += "\nemit(1, " + " + ".join(f"v{i}" for i in range(9)) + ")"

    with pytest.raises(SourceError, match="more than 8 values"):
        compiled(body)
