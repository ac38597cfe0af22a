"""JSON without the package `json` is the same JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxy_core import wirejson

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)  # fmt: skip


@given(values)
def test_what_is_written_is_what_json_reads_and_the_other_way_round(value: Any) -> None:
    assert json.loads(wirejson.dumps(value)) == value
    assert wirejson.loads(json.dumps(value, indent=1)) == value
    assert wirejson.loads(b" \n" + wirejson.dumps(value) + b"\r\n") == value


@given(
    st.text(max_size=30) | st.sampled_from(["", "{", "nul", "[1,]", "NaN", "1 2", '{"a"}', "'a'"])
)
def test_what_json_refuses_is_a_value_error_here(text: str) -> None:
    try:
        expected = json.loads(text, parse_constant=int)
    except ValueError:
        with pytest.raises(ValueError, match=r"\w"):
            wirejson.loads(text)
    else:
        assert wirejson.loads(text) == expected


@pytest.mark.parametrize(
    "data",
    [b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"Infinity"],
    ids=["not UTF-8", "lists", "objects", "infinity"],
)
def test_hostile_documents_are_value_errors(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        wirejson.loads(data)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_has_no_json_form_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        wirejson.dumps(value)
    with pytest.raises(TypeError):
        wirejson.dumps({"a": {1}})


def test_both_ways_of_doing_it_agree() -> None:
    value = {"a": [1, 2.5, None, True, "\n\u20ac\ud800"], "b": {}}
    for encode, decode in (wirejson._accelerated(), wirejson._plain()):
        assert decode(encode(value)) == value
        assert encode(value) == '{"a":[1,2.5,null,true,"\\n\\u20ac\\ud800"],"b":{}}'
