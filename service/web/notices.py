"""Notices: said once, on the page that a form leads to, by the value of `done` in its address."""

NOTICES = {
    "signed-out": "You are signed out.",
}
