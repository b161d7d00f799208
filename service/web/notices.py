"""Notices: said once, on the page that a form leads to, by the value of `done` in its address."""

NOTICES = {
    "created": "It is created: version 1 is committed.",
    "session-ended": "Your session has ended. Sign in, and you are led back.",
    "checked-out": "It is checked out: only you can save another version now.",
    "commented": "The comment is stored.",
    "deleted": "It is deleted, and lies in the restore bin.",
    "nobody-holds": "Nobody has it checked out now.",
    "purged": "It is deleted for good.",
    "released": "The check-out is released: others can edit it now.",
    "restored": "It is restored.",
    "tagged": "The tag is set.",
    "untagged": "The tag is removed.",
    "signed-out": "You are signed out.",
    "rolled-back": "Rolled back. The new version is the first in the history.",
    "rolled-back-many": "Rolled back. Each resource that changed has a new version.",
    "nothing-to-roll-back": "Nothing was different, so nothing was rolled back.",
    "published": "Published.",
    "unpublished": "Unpublished: no version is published now.",
}
