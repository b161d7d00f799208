"""Notices: said once, on the page that a form leads to, by the value of `done` in its address."""

NOTICES = {
    "created": "It is created: version 1 is committed.",
    "session-ended": "Your session has ended. Sign in, and you are led back.",
    "signed-out": "You are signed out.",
}
