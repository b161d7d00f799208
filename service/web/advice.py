"""Advice: what a person can do next about an error, in the words of the pages."""

from service.domain import errors
from service.domain.errors import AnnalsError

_IN_THE_BIN = "It may have been deleted: look in the restore bin, or search the resources."
# The first family that an error belongs to has its advice.
_ADVICE: tuple[tuple[type[AnnalsError], str], ...] = (
    (errors.Unauthenticated, "Sign in again."),
    (errors.OriginNotAllowed, "Open the page in Annals itself, and send its form from there."),
    (errors.QuotaExceeded, "Ask the operator to raise the quota, or try again tomorrow if it is of a day."),
    (errors.Forbidden, "An admin of your subscription can give your user another role."),
    (errors.SubscriptionNotFound, "Check the address, or sign in with a key of that subscription."),
    (errors.PathNotFound, "Check the address, or begin at the first page."),
    (errors.VersionNotFound, "The history of the resource lists the versions that exist."),
    (errors.CommitNotFound, "The history of each resource lists the commits that exist."),
    (errors.UserNotFound, "The settings list the users that there are."),
    (errors.KeyNotFound, "The settings list the keys that there are."),
    (errors.HoldNotFound, "The settings list the legal holds that there are."),
    (errors.DeletionNotFound, "The restore bin lists what can be restored."),
    (errors.ResourceNotFound, _IN_THE_BIN),
    (errors.ParentNotFound, _IN_THE_BIN),
    (errors.NotFound, "Check the address, or begin at the first page."),
    (errors.MethodNotAllowed, "This address takes forms only: go back to the page that it belongs to."),
    (errors.CheckedOut, "Ask the person who holds it, or wait until the check-out ends."),
    (
        errors.StaleVersion,
        "Somebody saved another version meanwhile. Look at the page again before you repeat this.",
    ),
    (errors.TagTaken, "Choose another tag, or remove it from the version that has it."),
    (errors.NameTaken, "Choose another name."),
    (errors.ResourceDeleted, "Restore it first: the restore bin has it."),
    (errors.NotRestorable, "Its time in the restore bin is over."),
    (errors.SubscriptionClosed, "It can be read. The operator can open it again."),
    (errors.DeletionPosted, "Restore it in the system that reported the deletion."),
    (errors.UsernameTaken, "Choose another name."),
    (errors.LastAdmin, "Make another user an admin first, with a key."),
    (errors.OwnKey, "Sign in with another key, and delete this one there."),
    (errors.Held, "Wait until the legal hold ends, or ask an admin to release it."),
    (errors.RequestInFlight, "Wait a moment, and look at the page again."),
    (errors.Conflict, "Look at the page again: something changed meanwhile."),
    (errors.TooLarge, "Send less at once, or use the API."),
    (errors.TooManyRequests, "Wait a moment, and try again."),
    (errors.QueryTooLong, "Ask for a shorter time, or for less at once."),
    (errors.OutcomeUnknown, "Look at the history before you repeat this: it may be done."),
    (
        errors.RefNotMoved,
        "Look at the history before you repeat this: it is stored. Tell your operator the request's id.",
    ),
    (errors.TooSlow, "Look at your connection, and send it again."),
    (errors.RequestLineTooLong, "Ask for less in one address: leave filters out."),
    (errors.HeadTooLarge, "Delete the cookies of this address in your browser, and sign in again."),
    (errors.UnsupportedMedia, "Use the forms of the pages, or call the API."),
    (errors.Malformed, "Go back, load the page again, and send the form again."),
    (errors.KeyReused, "Load the page again: its form was sent already, with other values."),
    (errors.PreconditionMissing, "Load the page again, and save from there."),
    (errors.Busy, "Nothing was changed. Try again in a moment."),
    (errors.StorageFull, "Nothing was changed. Try again when the operator has made room."),
    (errors.RoleMissing, "Nothing was changed. Tell your operator."),
    (errors.Unavailable, "Try again in a moment."),
    (errors.Internal, "Try again. If it happens once more, tell your operator the request's id."),
    (errors.Invalid, "Go back, correct what is named, and send the form again."),
)
ELSE = "Go back, and try again."


_TO_OPERATOR = "The operator reads and changes no content: sign in with the key of a user."
# Details that speak of headers, which a form does not have.
_DETAILS: dict[type[AnnalsError], str] = {
    errors.IfMatchRequired: "The form does not tell which version it is based on.",
    errors.OutcomeUnknown: "It is not known whether the change was stored.",
    errors.RequestInFlight: "The same form is being carried out already.",
}


def advice_on(kind: type[AnnalsError], *, is_operator: bool = False) -> str:
    """Return the advice on errors of a kind."""
    if is_operator and kind is errors.Forbidden:
        return _TO_OPERATOR
    return next((text for family, text in _ADVICE if issubclass(kind, family)), ELSE)


def advice_in_form(error: AnnalsError) -> str:
    """Return the advice beside a form that was refused; empty where the form itself says what to do."""
    return "" if isinstance(error, errors.Invalid) else advice_on(type(error))


def fault_of(detail: str) -> str:
    """Tell a fault of a field in words for a person, where it is told in those of a program."""
    if detail == "Field required":
        return "is missing"
    for words in ("Input should", "String should", "Value should"):
        if detail.startswith(words):
            return f"should{detail.removeprefix(words)}"
    return detail


def detail_of(error: AnnalsError) -> str:
    """Tell what happened in words for a person; the detail itself, unless that is for programs."""
    if isinstance(error, errors.StaleVersion):
        # After the colon it says how a program goes on.
        return error.detail.partition(": ")[0] + "."
    return _DETAILS.get(type(error), error.detail)
