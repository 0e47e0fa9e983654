"""The twenty faces of H3's icosahedron: projected from the middle of the earth onto the plane of its face, the centres
of all cells of one resolution are a regular lattice, so that descendants of a cell are found by adding.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from h3.api import numpy_int as h3
from numpy.typing import NDArray

from layers.hexes.ranks import Ranks, pentagons
from layers.hexes.sphere import centers_deg, hull, on_sphere

Complex = NDArray[np.complex128]
Vectors = NDArray[np.float64]
"""Unit vectors (n, 3)."""

_HALF_ROOT_3 = np.sqrt(3) / 2

CHILDREN: Complex = np.array(
    [
        0,
        *(
            complex(x, y * _HALF_ROOT_3)
            for x, y in ((-0.5, -1), (-0.5, 1), (-1, 0), (1, 0), (0.5, -1), (0.5, 1))
        ),
    ]
)
"""Where the children of a cell lie from its centre, by digit, in units of their own lattice (k, j, jk, i, ik, ij)."""

# Nearer to a pole than this (6 km), the arcsine in the library's centres loses digits: it is asked for each of them.
_POLAR = 1e-3
_UNCROSSED = 4  # The digit of the child in the direction of the lattice's first axis.


def rotor(resolution: int) -> complex:
    """What turns a place in the lattice of the next coarser resolution into one in the lattice of *resolution*.

    The lattices are √7 apart in scale and turn by 19.1°, to and fro (`_downAp7`, `_downAp7r` in H3's coordijk.c).
    """
    return complex(2.5, -_HALF_ROOT_3 if resolution % 2 else _HALF_ROOT_3)


@dataclass(frozen=True, eq=False)
class Lattice:
    """How places on the sphere are lattice places, seen from each of some cells: `(plane(v) - origin) / unit`."""

    face: NDArray[np.int64]
    origin: Complex
    unit: Complex

    def places(self, cells: NDArray[np.int64], vectors: Vectors) -> tuple[Complex, NDArray[np.float64]]:
        """Lattice places of *vectors*, each seen from its cell; and how much longer than on the sphere an arc may
        be in the plane there, in units of the lattice.
        """
        plane, height = on_plane(vectors, self.face[cells])
        return (plane - self.origin[cells]) / self.unit[cells], 1 / (height**2 * abs(self.unit[cells]))


def lattice(ranks: Ranks, resolution: int, centers: Vectors) -> Lattice:
    """The lattice of *resolution*, finer than which there must be one, round cells that `on_one_face` is true for."""
    face = _face(centers)[0]
    origin, _ = on_plane(centers, face)
    child, _ = on_plane(on_sphere(centers_deg(ranks * 7 + _UNCROSSED, resolution + 1)), face)
    return Lattice(face, origin, (child - origin) / CHILDREN[_UNCROSSED] * rotor(resolution + 1))


def on_one_face(ranks: Ranks, resolution: int, finest: int, centers: Vectors) -> NDArray[np.bool_]:
    """Which cells have the centres of all descendants up to *finest* on one face, and none of them at a pole."""
    reach = hull(resolution, finest)
    inland = _face(centers)[1] > np.sin(min(reach, np.pi / 2))
    apolar = abs(centers[:, 2]) < np.cos(min(reach + _POLAR, np.pi / 2))
    alone: NDArray[np.bool_] = inland & apolar & ~np.isin(ranks, pentagons(resolution))
    return alone


def on_plane(vectors: Vectors, face: NDArray[np.int64]) -> tuple[Complex, NDArray[np.float64]]:
    """Gnomonic projection onto the plane of each vector's *face*, and the cosine of the angle from its middle."""
    # Added up one by one, so that equal vectors have equal places wherever they stand.
    first, second, height = (
        x * vectors[:, 0] + y * vectors[:, 1] + z * vectors[:, 2] for x, y, z in _faces()[1][:, :, face]
    )
    return (first + 1j * second) / height, height


def _face(vectors: Vectors) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The face each vector lies on, and the sine of its angle from the nearest edge of that."""
    first, second, third = (vectors @ edges for edges in _faces()[0])
    inward = np.minimum(np.minimum(first, second), third)
    face = inward.argmax(axis=1)
    return face, inward[np.arange(len(face)), face]


@lru_cache(maxsize=1)
def _faces() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The inward normals of the edges of each face; the axes of its plane and the outward: (which, axis, face).

    The pentagons are at the corners. Those of one face are 63.4° apart, all others 116.6° or more.
    """
    corners = on_sphere(np.array([h3.cell_to_latlng(cell) for cell in h3.get_pentagons(0).tolist()]))
    beside = corners @ corners.T > 0
    triples = [t for t in combinations(range(12), 3) if all(beside[pair] for pair in combinations(t, 2))]
    edges, axes = [], []
    for a, b, c in corners[triples]:
        outward = _unit(a + b + c)
        first = _unit(a - (a @ outward) * outward)
        axes.append((first, np.cross(outward, first), outward))
        normals = (_unit(np.cross(p, q)) for p, q in ((a, b), (b, c), (c, a)))
        edges.append([normal * np.sign(normal @ outward) for normal in normals])
    return np.array(edges).transpose(1, 2, 0).copy(), np.array(axes).transpose(1, 2, 0).copy()


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = vector / np.linalg.norm(vector)
    return unit
