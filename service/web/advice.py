"""Advice: what a person can do next about an error, in the words of the pages."""

from service.domain import errors
from service.domain.errors import AnnalsError

# The first family that an error belongs to has its advice.
_ADVICE: tuple[tuple[type[AnnalsError], str], ...] = (
    (errors.Unauthenticated, "Sign in again. What you typed is still on the page before this one."),
    (errors.OriginNotAllowed, "Open the page in Annals itself, and send its form from there."),
    (errors.Forbidden, "An admin of your subscription can give your user another role."),
    (errors.SubscriptionNotFound, "Check the address, or sign in with a key of that subscription."),
    (errors.PathNotFound, "Check the address, or begin at the first page."),
    (errors.VersionNotFound, "The history of the resource lists the versions that exist."),
    (errors.NotFound, "It may have been deleted: look in the restore bin, or search the resources."),
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
    (errors.Conflict, "Look at the page again: something changed meanwhile."),
    (errors.TooLarge, "Send less at once, or use the API."),
    (errors.TooManyRequests, "Wait a moment, and try again."),
    (errors.QueryTooLong, "Ask for a shorter time, or for less at once."),
    (errors.OutcomeUnknown, "Look at the history before you repeat this: it may be done."),
    (errors.TooSlow, "Look at your connection, and send it again."),
    (errors.RequestLineTooLong, "Ask for less in one address: leave filters out."),
    (errors.HeadTooLarge, "Delete the cookies of this address in your browser, and sign in again."),
    (errors.UnsupportedMedia, "Use the forms of the pages, or call the API."),
    (errors.Malformed, "Go back, load the page again, and send the form again."),
    (errors.KeyReused, "Load the page again: its form was sent already, with other values."),
    (errors.PreconditionMissing, "Load the page again, and save from there."),
    (errors.Unavailable, "Try again in a moment. Nothing was changed."),
    (errors.Internal, "Try again. If it happens once more, tell your operator the request's id."),
    (errors.Invalid, "Go back, correct what is named, and send the form again."),
)
ELSE = "Go back, and try again."


def advice_on(kind: type[AnnalsError]) -> str:
    """Return the advice on errors of a kind."""
    return next((text for family, text in _ADVICE if issubclass(kind, family)), ELSE)
