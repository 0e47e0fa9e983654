"""The one policy: who sees what and who writes what, as plain functions and as the SQL that says the same.

Every read and every write of the product is judged here and nowhere else. A property test holds the Python
and the SQL equal over random agencies, shares and viewers.
"""

from __future__ import annotations

from collections.abc import Iterable

from layers.model import Grade, Layer, Scope, Viewer

IMPLIED: dict[Scope, frozenset[Scope]] = {
    Scope.PUBLISH: frozenset({Scope.PUBLISH}),
    Scope.VIEW: frozenset({Scope.VIEW}),
    Scope.PLAN: frozenset({Scope.PLAN, Scope.VIEW}),
    Scope.ADMIN: frozenset(Scope),
}
"""What each scope brings with it."""


def with_implied(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """*scopes* and all that they imply."""
    return frozenset[Scope]().union(*(IMPLIED[scope] for scope in scopes))


def grade(viewer: Viewer, layer: Layer) -> Grade:
    """How much of *layer* the viewer gets.

    An agency reads its own layers with `view` or `publish` (a feed may read back what it wrote), and what
    others share with it only with `view`. What is public, everybody reads.
    """
    if layer.sharing.public:
        return Grade.FULL
    if viewer.agency is None:
        return Grade.NONE
    if viewer.agency == layer.agency:
        return Grade.FULL if viewer.scopes & {Scope.VIEW, Scope.PUBLISH} else Grade.NONE
    if Scope.VIEW not in viewer.scopes:
        return Grade.NONE
    sharing = layer.sharing
    if sharing.everyone or viewer.agency in sharing.agencies:
        return Grade.FULL
    counted = sharing.generalized_for_everyone or viewer.agency in sharing.generalized
    return Grade.GENERALIZED if counted else Grade.NONE


def may_publish(viewer: Viewer, layer: Layer) -> bool:
    """Only the owner writes, with `publish`."""
    return viewer.agency == layer.agency and Scope.PUBLISH in viewer.scopes


def may_administer(viewer: Viewer, agency: int) -> bool:
    """An agency's layers, shares, operations and keys are its own administrators' affair."""
    return Scope.ADMIN in viewer.scopes and viewer.agency == agency


def may_add_agency(viewer: Viewer) -> bool:
    """Only administrators of the agency that runs this deployment bring new agencies in."""
    return Scope.ADMIN in viewer.scopes and viewer.host


def visible(viewer: Viewer, layers: Iterable[Layer]) -> list[Layer]:
    """The layers that the viewer sees, in the given order."""
    return [layer for layer in layers if grade(viewer, layer) is Grade.FULL]


VISIBLE_LAYERS = """
SELECT layer.id
FROM layer
WHERE EXISTS (SELECT FROM share WHERE share.layer_id = layer.id AND share.audience = 'public')
   OR (layer.agency_id = :agency AND (:may_view OR :may_publish))
   OR (:may_view AND EXISTS (
        SELECT FROM share
        WHERE share.layer_id = layer.id AND share.grade = 'full'
          AND (share.audience = 'all' OR (share.audience = 'agency' AND share.agency_id = :agency))))
"""
"""The twin of `grade(…) is FULL`. Bind with `sql_viewer`."""


def sql_viewer(viewer: Viewer) -> dict[str, object]:
    """The parameters that stand for *viewer* in `VISIBLE_LAYERS`; the public is agency 0, which none is."""
    return {
        "agency": viewer.agency or 0,
        "may_view": Scope.VIEW in viewer.scopes and viewer.agency is not None,
        "may_publish": Scope.PUBLISH in viewer.scopes and viewer.agency is not None,
    }
