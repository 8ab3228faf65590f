"""The page that tells how to work by keyboard alone."""

from __future__ import annotations

from starlette.responses import Response

from console.visit import Visit


async def show(visit: Visit) -> Response:
    """Which digit leads where."""
    return visit.page("keys.html")
