"""Actions and origins of events, as the audit log names them."""

from enum import StrEnum


class EventOrigin(StrEnum):
    """Origin of an event: recorded by Annals itself, or posted by a platform."""

    ANNALS = "annals"
    POSTED = "posted"


class Action(StrEnum):
    """Action that was done or attempted."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    RESTORE = "RESTORE"
    CHECK_OUT = "CHECK_OUT"
    CANCEL_CHECK_OUT = "CANCEL_CHECK_OUT"
    CHECK_IN = "CHECK_IN"
    ROLLBACK = "ROLLBACK"
    FORCE_CANCEL = "FORCE_CANCEL"
    TAG = "TAG"
    UNTAG = "UNTAG"
    PUBLISH = "PUBLISH"
    UNPUBLISH = "UNPUBLISH"
    COMMENT = "COMMENT"
    CLONE = "CLONE"
    FETCH = "FETCH"
    READ = "READ"
    EXPORT = "EXPORT"
    RECORD = "RECORD"
    EXECUTE = "EXECUTE"
    LOGIN = "LOGIN"
    LOGOUT = "LOGOUT"
    REBUILD = "REBUILD"
    REPAIR = "REPAIR"
