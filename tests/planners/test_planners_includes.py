"""Directives found by reading: a superset of what any preprocessor finds, or None."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.planners.includes import Directives, directives


def names(text):
    found = directives(text.encode())
    assert found is not None
    return set(found.quoted), set(found.bracketed)


@pytest.mark.parametrize(
    "line",
    [
        '#include "a.h"',
        '  #\tinclude   "a.h"  // why',
        '%: include "a.h"',
        '#/* x */ include /* y\n z */ "a.h"',
        '*/ #include "a.h"',
        '#inc\\\nlude "a.h"',
        '#inc\\  \nlude \\\n "a.h"',
        '#include\\\r\n "a.h"',
        '#include_next "a.h"',
        '#import "a.h"',
        '#embed "a.h" limit(3)',
        '#if 0\n#include "a.h"\n#endif',
        '// #include "a.h"',
        '#if __has_include("a.h")',
        '#if defined(X) && __has_include( /* here */ "a.h")',
        '#if __has_include_next("a.h")',
        '#elif __has_embed("a.h")',
    ],
)
def test_a_quoted_name_is_found_however_it_is_written(line):
    assert names(f"int x;\n{line}\nint y;\n") == ({"a.h"}, set())


def test_both_kinds_of_names_each_once():
    text = '#include <x.h>\n#include "b/../x.h"\n#include <x.h>\n#include <sys/y.h>\n'

    assert directives(text.encode()) == Directives(("b/../x.h",), ("x.h", "sys/y.h"))


@pytest.mark.parametrize(
    "text",
    [
        "#include MACRO\n",
        "  # include /* c */ MACRO(x)\n",
        "/* begun\n earlier */ #include MACRO\n",
        "%:include MACRO\n",
        "#include \\\nMACRO\n",
        "#if __has_include(MACRO)\n",
        "#define HAS(x) __has_include(x)\n",
        "#define ASK __has_include\n",
        "#if /*\n*/ __has_include(MACRO)\n",
        "/*\n#endif */ __has_include(MACRO)\n",
        '??=include "a.h"\n',
        '#inc??/\nlude "a.h"\n',
        '#pragma GCC dependency "grammar.y"\n',
    ],
)
def test_what_only_a_preprocessor_can_tell(text):
    assert directives(text.encode()) is None


@pytest.mark.parametrize(
    "text",
    [
        "/* We may #include_next through copies. */\n",
        "   #include's protect themselves\n",
        "/* this file is #include'd by others */\n",
        "/* We don't have #include_next.\n",
        'say("#include X");\n',
        "#ifdef __has_include\n",
        "#if defined(__has_include) && defined __has_include_next\n",
        "/* the __has_include argument */\n",
        "#endif // __has_include\n",
        "  # else /* no __has_include */\n",
        "#includes are not directives\n",
        "int include = embed;\n",
        "#define F(x) #x\nF(include)\n",
    ],
)
def test_prose_and_mere_tests_name_nothing(text):
    assert directives(text.encode()) == Directives()


@given(st.binary(max_size=200))
def test_any_bytes_have_an_answer(text):
    found = directives(text)
    assert found is None or all("\n" not in name for name in (*found.quoted, *found.bracketed))


_NOISE = st.sampled_from(
    ["int a;\n", "// #\n", "/* * # */", "#if X\n", "#endif\n", "\\\n", "'\"'", '"/*"\n', "\n", "%"]
)


@given(st.lists(_NOISE), st.lists(_NOISE), st.sampled_from(["#", "%:", " # ", "#/*c*/"]))
def test_noise_around_a_directive_never_hides_it(before, after, mark):
    text = "".join(before) + f'\n{mark}include "needle.h"\n' + "".join(after)
    found = directives(text.encode())
    assert found is None or "needle.h" in found.quoted
