"""The Hilbert curve, and the order of rows that follows from it."""

from __future__ import annotations

import itertools
import random

import pyarrow as pa
import pytest

from tablelog.parquet.ordering import Ordering, hilbert


@pytest.mark.parametrize(("dimensions", "bits"), [(1, 5), (2, 1), (2, 4), (2, 5), (3, 2), (3, 3), (4, 2), (5, 2)])
def test_the_curve_visits_every_cell_once_each_next_to_the_one_before(dimensions: int, bits: int) -> None:
    cells = list(itertools.product(range(1 << bits), repeat=dimensions))
    axes = [pa.array([cell[place] for cell in cells], pa.uint64()) for place in range(dimensions)]
    places = hilbert(axes, bits).to_pylist()
    assert sorted(places) == list(range(len(cells)))
    path = [cell for _, cell in sorted(zip(places, cells, strict=True))]
    for before, after in itertools.pairwise(path):
        assert sum(abs(x - y) for x, y in zip(before, after, strict=True)) == 1


def test_every_piece_of_the_curve_covers_a_small_box() -> None:
    dice = random.Random(1)
    rows = pa.table({name: [dice.random() for _ in range(65_536)] for name in "xy"})
    order = Ordering((("x", "ascending"), ("y", "ascending")), curve=True)
    ordered = rows.take(order.indices(rows))
    for start in range(0, 65_536, 1024):
        piece = ordered.slice(start, 1024)
        for name in "xy":
            values = piece[name].to_pylist()
            assert max(values) - min(values) < 0.3  # an eighth, and a little more: ranks are not values


@pytest.mark.parametrize(
    "columns",
    [
        {"x": pa.array([None] * 5, pa.int64()), "y": pa.array([1, 2, 3, 4, 5])},
        {"x": pa.array([float("nan")] * 3 + [None, 1.0]), "y": pa.array(["a", None, "b", "é", ""])},
        {"x": pa.array([], pa.int64()), "y": pa.array([], pa.string())},
        {"x": pa.array([7] * 5), "y": pa.array([7] * 5), "z": pa.array([b"x"] * 5, pa.binary())},
        {"x": pa.chunked_array([[1, 2], [3], []], pa.int64()), "y": pa.chunked_array([["b"], ["a", "c"]])},
        {f"c{number}": pa.array([number, 1]) for number in range(20)},
    ],
    ids=["nulls", "nan", "none", "equal", "chunks", "many columns"],
)
@pytest.mark.parametrize("curve", [False, True])
def test_whatever_the_values_are_each_row_has_one_place(columns: dict[str, pa.Array], curve: bool) -> None:
    rows = pa.table(columns)
    order = Ordering(tuple((name, "ascending") for name in columns), curve=curve)
    assert sorted(order.indices(rows).to_pylist()) == list(range(rows.num_rows))


def test_equal_rows_stay_as_they_came() -> None:
    rows = pa.table({"x": [1] * 1000, "y": [2] * 1000})
    for curve in (False, True):
        order = Ordering((("x", "ascending"), ("y", "ascending")), curve=curve)
        assert order.indices(rows).to_pylist() == list(range(1000))


def test_a_curve_through_one_column_is_that_column() -> None:
    rows = pa.table({"x": [3, None, 1, 2]})
    assert Ordering((("x", "ascending"),), curve=True).indices(rows).to_pylist() == [2, 3, 0, 1]
