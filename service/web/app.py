"""Pages as a part of the application."""

from fastapi import FastAPI

from service.web import (
    check_outs,
    comments,
    comparisons,
    deletions,
    history,
    moment_rollbacks,
    publications,
    resources,
    restore_bin,
    restoring,
    rollbacks,
    sign_in,
    static_files,
    tags,
    versions,
)
from service.web.error_pages import error_page

ROUTERS = (
    static_files.router,
    sign_in.router,
    resources.router,
    check_outs.router,
    comments.router,
    deletions.router,
    restore_bin.router,
    restoring.router,
    tags.router,
    history.router,
    comparisons.router,
    rollbacks.router,
    publications.router,
    moment_rollbacks.router,
    versions.router,
)


def add_pages(app: FastAPI) -> None:
    """Serve the pages beside the API; errors of their addresses become pages, too."""
    for router in ROUTERS:
        app.include_router(router)
    app.state.error_page = error_page
