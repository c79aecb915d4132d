"""The rule language against Python itself: the same text, compiled here and executed there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mesh.rules.boards import has_anywhere
from mesh.rules.compile import Compiled, compile_rules
from mesh.rules.isa import FIXED_ONE
from mesh.rules.program import encode_program
from mesh.rules.source import SourceError
from mesh.rules.verifier import worst_case
from mesh.rules.vm import Emitted, Machine

EXACT = settings(max_examples=120, deadline=None, suppress_health_check=[*HealthCheck])
INPUTS = 3
NAMES = ("a", "b", "c")
Kinds = dict[str, str]


# -- texts -----------------------------------------------------------------------------------------
@st.composite
def expressions(draw: st.DrawFn, kind: str, kinds: Kinds, depth: int) -> str:
    """The text of an expression of that type; small enough never to saturate, and exact."""
    known = [name for name, each in kinds.items() if each == kind]
    leaves = {
        "int": st.one_of(
            st.integers(-20, 20).map(str),
            st.integers(0, INPUTS - 1).map("adc({})".format),
        ),
        "fixed": st.integers(-160, 160).map(lambda n: repr(n / 16)),
        "bool": st.sampled_from(["True", "False", "gpio(5)"]),
    }[kind]
    if known:
        leaves = st.one_of(leaves, st.sampled_from(known))
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return draw(leaves)

    def part(of: str) -> str:
        return draw(expressions(of, kinds, depth - 1))

    form = draw(st.integers(0, 5))
    if form == 0:
        return f"({part(kind)} if {part('bool')} else {part(kind)})"
    if kind == "bool":
        of = draw(st.sampled_from(["int", "fixed"]))
        op = draw(st.sampled_from(["<", "<=", "==", "!=", ">", ">="]))
        return [
            f"({part(of)} {op} {part(of)})",
            f"({part('int')} {op} {part('fixed')})",
            f"({part('bool')} and {part('bool')})",
            f"({part('bool')} or {part('bool')})",
            f"(not {part('bool')})",
        ][form - 1]
    if form == 1:
        return f"({part(kind)} {draw(st.sampled_from(['+', '-']))} {part(kind)})"
    if form == 2:
        return f"{draw(st.sampled_from(['min', 'max']))}({part(kind)}, {part(kind)})"
    if form == 3:
        return f"(-{part(kind)})"
    if kind == "int":
        others = [f"int({part('fixed')})", f"({part('int')} & {part('int')})"]
        others += [f"({part('int')} >> 1)", f"int({part('bool')})", "(adc(0) // 3 + adc(1) % 7)"]
        return draw(st.sampled_from(others))
    return draw(st.sampled_from([f"({part('fixed')} * 3)", f"fixed({part('int')})"]))


@st.composite
def blocks(draw: st.DrawFn, kinds: Kinds, depth: int, indent: str) -> list[str]:
    """Statements; names that they give a value on every way through are added to `kinds`."""
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        what = draw(st.integers(0, 4 if depth else 3))
        if what <= 1:
            name = draw(st.sampled_from(NAMES))
            kind = kinds.get(name) or draw(st.sampled_from(["int", "fixed", "bool"]))
            lines.append(f"{indent}{name} = {draw(expressions(kind, kinds, 2))}")
            kinds[name] = kind
        elif what <= 3:
            kind = draw(st.sampled_from(["int", "fixed", "bool"]))
            lines.append(f"{indent}emit(1, {draw(expressions(kind, kinds, 2))})")
        else:
            lines.append(f"{indent}if {draw(expressions('bool', kinds, 1))}:")
            lines += draw(blocks(dict(kinds), depth - 1, indent + "    "))
            if draw(st.booleans()):
                lines.append(f"{indent}else:")
                lines += draw(blocks(dict(kinds), depth - 1, indent + "    "))
    return lines


@st.composite
def rule_texts(draw: st.DrawFn) -> str:
    head = ['@every("1s")', "def r():"]
    return "\n".join([*head, *draw(blocks({}, 2, "    "))]) + "\n"


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


@EXACT
@given(rule_texts(), st.tuples(*[st.integers(0, 100)] * INPUTS), st.integers(0, 1))
def test_a_rule_says_what_python_says(text: str, inputs: tuple[int, ...], pin: int) -> None:
    try:
        compiled = compile_rules(text, has_anywhere)
    except SourceError as error:
        # Bigger than the machine, or a name that only one branch has set: both are told.
        assume("may have no value" not in error.text)
        assume("is needed" not in error.text and "are needed" not in error.text)
        assume("fit in a rule" not in error.text and "has no value here" not in error.text)
        assume("not int" not in error.text and "not fixed" not in error.text)
        assume("not bool" not in error.text)
        raise AssertionError(f"{error.text}\n{error.excerpt(text)}\n{text}") from error

    assert by_rule(compiled, inputs, pin) == by_python(text, inputs, pin), text


def compiled(body: str, *, head: str = "", parameters: str = "") -> Compiled:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return compile_rules(f'{head}\n@every("1s")\ndef r({parameters}):\n{lines}\n', has_anywhere)


def emits(body: str, *inputs: int) -> list[int]:
    return by_rule(compiled(body), (*inputs, 0, 0, 0), 0)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
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
    assert emits(f"emit(1, {expression})", 3000) == [value]


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
