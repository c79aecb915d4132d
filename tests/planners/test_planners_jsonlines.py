"""JSON with lines: values as `json` reads them, and the line each one stands on."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import ProjectFileError
from mesh.planners.jsonlines import Document, parse

FILE = Path("x.json")

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=4), values, max_size=4), st.integers(0, 3))
def test_every_value_is_found_on_its_line(value, indent):
    text = json.dumps(value, indent=indent or None)
    lines = text.split("\n")

    document = parse(FILE, text)

    assert document.value == value
    for key, line in document.lines.items():
        shown = json.dumps(document.get(key))
        first = shown[0] if isinstance(document.get(key), dict | list) else shown
        assert first in lines[line - 1]


@given(st.text(st.sampled_from('{}[]":,0a\n \\é'), max_size=40))
def test_any_text_gives_a_document_or_a_project_file_error(text):
    try:
        assert isinstance(parse(FILE, text), Document)
    except ProjectFileError:
        return


def test_deep_nesting_is_an_error_or_a_document():
    for text in ("[" * 100_000, '{"a":' * 3000 + "1" + "}" * 3000):
        try:
            assert parse(FILE, text).lines
        except ProjectFileError:
            continue
