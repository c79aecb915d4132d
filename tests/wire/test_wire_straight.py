"""Values that are made quickly: what is kept of a frozen attrs class, and what is not."""

from __future__ import annotations

import attrs
import pytest

from mesh.wire.straight import quick


@quick
@attrs.frozen
class Parcel:
    data: bytes
    weight_kg: int = 1
    """A default."""


@attrs.frozen
class Slow:
    data: bytes
    weight_kg: int = 1


def test_it_is_made_and_compared_and_hashed_as_any_other() -> None:
    made = Parcel(b"tea", weight_kg=2)
    assert made == Parcel(data=b"tea", weight_kg=2) != Parcel(b"tea")
    assert hash(made) == hash(Parcel(b"tea", 2))
    assert attrs.astuple(made) == attrs.astuple(Slow(b"tea", 2))
    assert repr(made) == repr(Slow(b"tea", 2)).replace("Slow", "Parcel")
    assert attrs.evolve(made, data=b"").weight_kg == 2


def test_what_is_missing_or_too_much_is_refused() -> None:
    with pytest.raises(TypeError, match="data"):
        Parcel()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="colour"):
        Parcel(b"", colour="red")  # type: ignore[call-arg]


def test_the_lock_is_the_type_checkers_alone_and_there_is_no_other_attribute() -> None:
    made = Parcel(b"tea")
    made.data = b"coffee"  # type: ignore[misc]
    assert made.data == b"coffee"
    with pytest.raises(AttributeError):
        made.colour = "red"  # type: ignore[attr-defined]


def test_what_an_init_of_its_own_would_have_to_do_is_no_matter_for_it() -> None:
    @attrs.frozen
    class Fresh:
        items: list[int] = attrs.field(factory=list)

    with pytest.raises(AssertionError, match="a default is shared"):
        quick(Fresh)
