"""Texts of the description of the API: about the whole, and about each group of operations."""

ABOUT = """A git-backed versioning service with an audit store.

Every path that has GET has HEAD too.
Git's own protocol, below `/git/`, is for git clients and is not described here.
A 500 is a fault of the server, and the answer of no call.
"""

GROUPS = {
    "versions": "Versions of a resource: saving, reading, comparing, tagging, publishing, commenting.",
    "check-outs": "Check-outs and check-ins, of one resource or of many.",
    "resources": "Workspaces, folders, jobs, workflows, job packages and connectors.",
    "rollback": "Older content as a new version.",
    "deletions": "Deletions, and their restores.",
    "logs": "The audit log, the execution logs, the server log, and the history of data changes.",
    "holds": "Legal holds.",
    "tenancy": "Subscriptions, users and API keys.",
    "maintenance": "Scheduled jobs and retention, for the operator.",
    "operations": "Health, metrics and version of the server.",
}
