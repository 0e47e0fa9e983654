"""Tiles lie where the web's maps have them, and the cells of a box miss no point in it."""

from __future__ import annotations

import math

import h3.api.basic_int as h3
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from layers.errors import Invalid, NotFound
from layers.geometry import POINT_RESOLUTION
from tiles.cells import MAX_RANGES, cell_ranges
from tiles.grid import BUFFER, EXTENT, MAX_LAT, MAX_ZOOM, Tile, bounds, tile_at, tile_of


@pytest.mark.parametrize(
    "address", ["a/0/0", "-1/0/0", "1.5/0/0", "1/-1/0", "1/0/ 1", "²/0/0", "/0/0", "0/0/" + "9" * 99]
)
def test_what_is_no_number_is_no_tile(address: str) -> None:
    with pytest.raises(Invalid) as refusal:
        tile_of(*address.split("/"))
    assert refusal.value.code == "query.tile"


@pytest.mark.parametrize("address", ["99/0/0", "23/0/0", "0/1/0", "0/0/1", "3/8/0", "22/0/4194304"])
def test_what_the_grid_does_not_have_is_not_found(address: str) -> None:
    with pytest.raises(NotFound):
        tile_of(*address.split("/"))


def test_the_first_tile_is_the_whole_square() -> None:
    west, south, east, north = bounds(tile_of("0", "0", "0"))
    assert (west, east) == (-180, 180)
    assert south == pytest.approx(-MAX_LAT)
    assert north == pytest.approx(MAX_LAT)
    assert bounds(Tile(0, 0, 0), BUFFER) == bounds(Tile(0, 0, 0))


def test_chicago_is_where_every_map_has_it() -> None:
    assert tile_at(-87.6298, 41.8781, 14) == (14, 4203, 6089)


def test_the_buffer_is_a_part_of_the_side() -> None:
    west, _, east, _ = bounds(Tile(10, 500, 500))
    wide = bounds(Tile(10, 500, 500), BUFFER)
    assert west - wide[0] == pytest.approx((east - west) * BUFFER / EXTENT)


LNG = st.floats(-180, 179.999)
LAT = st.floats(-MAX_LAT, MAX_LAT)


@given(LNG, LAT, st.integers(0, MAX_ZOOM))
def test_a_place_lies_in_its_tile(lng: float, lat: float, z: int) -> None:
    tile = tile_at(lng, lat, z)
    west, south, east, north = bounds(tile)
    slack = 1e-9 + 360 / 2**z * 1e-6
    assert west - slack <= lng <= east + slack
    assert south - slack <= lat <= north + slack
    assert tile == tile_of(str(tile.z), str(tile.x), str(tile.y))


PENTAGON = h3.cell_to_latlng(h3.get_pentagons(POINT_RESOLUTION)[3])


@given(LNG, LAT, st.integers(4, MAX_ZOOM), st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=20))
@example(179.999, 10.0, 8, [(1.0, 0.5)])
@example(-180.0, -70.0, 9, [(0.0, 0.5)])
@example(PENTAGON[1], PENTAGON[0], 12, [(i / 10, 0.5) for i in range(11)])
@example(PENTAGON[1], PENTAGON[0], 6, [(i / 10, j / 10) for i in range(11) for j in range(11)])
def test_the_cells_of_a_box_miss_no_point_in_it(
    lng: float, lat: float, z: int, parts: list[tuple[float, float]]
) -> None:
    west, south, east, north = box = bounds(tile_at(lng, lat, z), BUFFER)
    ranges = cell_ranges(box)
    if ranges is None:
        return
    for across, up in parts:
        cell = h3.latlng_to_cell(
            south + (north - south) * up, west + (east - west) * across, POINT_RESOLUTION
        )
        assert any(low <= cell <= high for low, high in ranges)


@given(LNG, LAT, st.integers(0, MAX_ZOOM))
def test_the_ranges_are_few_and_in_order(lng: float, lat: float, z: int) -> None:
    ranges = cell_ranges(bounds(tile_at(lng, lat, z), BUFFER))
    if ranges is None:
        assert z < 6
        return
    assert 1 <= len(ranges) <= MAX_RANGES
    ends = [end for span in ranges for end in span]
    assert ends == sorted(ends)


def test_a_city_tile_looks_at_little_more_than_itself() -> None:
    box = bounds(tile_at(-87.63, 41.88, 13), BUFFER)
    ranges = cell_ranges(box)
    assert ranges is not None
    step = 1 << 3 * (15 - POINT_RESOLUTION)
    cells = sum((high - low) // step + 1 for low, high in ranges)
    west, south, east, north = box
    tile_km2 = (east - west) * (north - south) * 111.2**2 * math.cos(math.radians(41.88))
    assert cells * h3.average_hexagon_area(POINT_RESOLUTION) < 5 * tile_km2
