"""Pages as a part of the application."""

from fastapi import FastAPI

from service.web import (
    api_keys,
    archives,
    audit_logs,
    audit_policies,
    check_outs,
    comments,
    comparisons,
    data_changes,
    deletions,
    execution_tail,
    executions,
    history,
    legal_holds,
    moment_rollbacks,
    overview,
    platform_overview,
    platform_sessions,
    publications,
    resources,
    restore_bin,
    restoring,
    retention_policies,
    rollbacks,
    scheduled_jobs,
    server_logs,
    settings,
    sign_in,
    static_files,
    subscription_settings,
    subscriptions,
    tags,
    users,
    versions,
    web_sessions,
)
from service.web.error_pages import error_page

ROUTERS = (
    static_files.router,
    sign_in.router,
    overview.router,
    # Before the pages of executions, whose ids may be any text.
    execution_tail.router,
    executions.router,
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
    settings.router,
    users.router,
    api_keys.router,
    web_sessions.router,
    audit_logs.router,
    data_changes.router,
    server_logs.router,
    audit_policies.router,
    legal_holds.router,
    # Before the pages of one subscription, whose addresses look alike.
    platform_overview.router,
    platform_sessions.router,
    scheduled_jobs.router,
    retention_policies.router,
    archives.router,
    subscription_settings.router,
    subscriptions.router,
)


def add_pages(app: FastAPI) -> None:
    """Serve the pages beside the API; errors of their addresses become pages, too."""
    for router in ROUTERS:
        app.include_router(router)
    app.state.error_page = error_page
