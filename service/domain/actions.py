"""What can be done, as the audit log names it."""

from enum import StrEnum


class Action(StrEnum):
    """What was done, or tried."""

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
    RECORD = "RECORD"
    EXECUTE = "EXECUTE"
    LOGIN = "LOGIN"
    LOGOUT = "LOGOUT"
    REBUILD = "REBUILD"
    REPAIR = "REPAIR"
