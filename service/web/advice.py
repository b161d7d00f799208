"""Advice: what a person can do next about an error, in the words of the pages."""

import re

from service.domain import errors
from service.domain.errors import AnnalsError, Fault
from service.domain.quotas import Quota
from service.web import words

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
    (errors.JobNotFound, "The list of jobs has all that there are."),
    (errors.RunNotFound, "The page of a job lists its runs, whose records are kept for 90 days."),
    (errors.PlanNotFound, "Plans are kept for 90 days. Try the job again without deleting."),
    (errors.DeletionNotFound, "The restore bin lists what can be restored."),
    (errors.ResourceNotFound, _IN_THE_BIN),
    (errors.ParentNotFound, _IN_THE_BIN),
    (errors.NotFound, "Check the address, or begin at the first page."),
    (errors.MethodNotAllowed, "This address takes forms only: go back to the page that it belongs to."),
    (errors.CheckedOut, "Ask the person who holds it, or wait until the check-out ends."),
    (
        errors.StaleVersion,
        "Somebody else changed it meanwhile. Look at the page again before you repeat this.",
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
    (errors.PlanOutdated, "Make a new plan, and look at it before you run it."),
    (errors.NoPlan, "Run it as it is."),
    (errors.RequestInFlight, "Wait a moment, and look at the page again."),
    (errors.Conflict, "Look at the page again: something changed meanwhile."),
    (errors.TooLarge, "Send less at once, or use the API."),
    (errors.TooManyTails, "Close another tail, or try again when one has ended."),
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
_TO_TENANT = "These pages are the operator’s: no role of a subscription opens them."
# Details that speak of headers, which a form does not have.
_DETAILS: dict[type[AnnalsError], str] = {
    errors.IfMatchRequired: "The form does not tell which version it is based on.",
    errors.PlanOutdated: (
        "A run by this plan would do something else than the plan says: rows, rules or legal holds have "
        "changed, the plan is older than 24 hours or was run already, or another run is under way. "
        "Nothing was deleted."
    ),
    errors.OutcomeUnknown: "It is not known whether the change was stored.",
    errors.RequestInFlight: "The same form is being carried out already.",
}


# Faults in the words of programs, and what a person is told of them.
_FAULTS = (
    (re.compile(r"Field required"), r"is missing"),
    (re.compile(r"List should have at most (\d+) items? after validation, not (\d+)"), r"at most \1, not \2"),
    (re.compile(r"Input should be less than or equal to (\d+)"), r"should be at most \1"),
    (re.compile(r"Input should be greater than or equal to (\d+)"), r"should be at least \1"),
    (
        re.compile(r"Input should be a valid integer.*|is an integer in plain digits"),
        "should be a whole number",
    ),
    (re.compile(r"Input should be a valid UUID.*"), "should be an id, as the address of a page has it"),
    (re.compile(r"is an instant with its zone.*"), "should be a date with a time"),
    (
        re.compile(r"is 7 to 40 hex digits of a commit.*"),
        "should be a time, or 7 to 40 digits of a commit’s id",
    ),
    (re.compile(r"is one of \*, .*"), "should be one of the choices"),
    (
        re.compile(r"(.+) would be kept for less time: say `confirm: true` to do so"),
        r"\1 would be kept for less time: set the mark that says so",
    ),
    (re.compile(r"(?:Input|String|Value) should(.*)"), r"should\1"),
)
# Place in the body of a call that a detail begins with.
_PLACE = re.compile(r"/\S*: ")
_QUOTAS = {
    Quota.REPOSITORY_BYTES: "the size of the repository",
    Quota.RESOURCES: "live resources",
    Quota.VERSIONS_A_DAY: "versions a day",
    Quota.LOG_ROWS_A_DAY: "log rows a day",
}


def advice_on(kind: type[AnnalsError], *, is_operator: bool = False, is_of_platform: bool = False) -> str:
    """Return the advice on errors of a kind, for a caller and a page that may be the operator's."""
    if kind is errors.Forbidden and (is_operator or is_of_platform):
        return _TO_OPERATOR if is_operator else _TO_TENANT
    return next((text for family, text in _ADVICE if issubclass(kind, family)), ELSE)


def advice_in_form(error: AnnalsError) -> str:
    """Return the advice beside a form that was refused; empty where the form itself says what to do."""
    return "" if isinstance(error, errors.Invalid) else advice_on(type(error))


def fault_of(detail: str) -> str:
    """Tell a fault of a field in words for a person, where it is told in those of a program."""
    for pattern, told in _FAULTS:
        if found := pattern.fullmatch(detail):
            return found.expand(told)
    return detail


def field_of(fault: Fault) -> str:
    """Name the field of a fault, as far as its place tells it."""
    place = (fault.pointer or "").removeprefix("/").partition("/")[0] or fault.parameter or ""
    return place.replace("_", " ").capitalize()


def detail_of(error: AnnalsError) -> str:
    """Tell what happened in words for a person; the detail itself, unless that is for programs."""
    if isinstance(error, errors.StaleVersion):
        # After the colon it says how a program goes on.
        return error.detail.partition(": ")[0] + "."
    if isinstance(error, errors.QuotaExceeded):
        return _of_quota(error)
    if isinstance(error, errors.Invalid) and error.faults:
        return " ".join(f"{field_of(fault)}: {fault_of(fault.detail)}." for fault in error.faults[:3])
    text = error.detail
    if place := _PLACE.match(text):
        # Other details begin as a sentence does, or with somebody's name as it is written.
        text = text[place.end() : place.end() + 1].upper() + text[place.end() + 1 :]
    return _DETAILS.get(type(error), text)


def _of_quota(error: errors.QuotaExceeded) -> str:
    """Tell which quota is used up; its facts are those of `quotas.check`."""
    quota = Quota(error.facts["quota"])
    write = words.size if quota is Quota.REPOSITORY_BYTES else words.number
    limit, used = write(error.facts["limit"]), write(error.facts["used"])
    return f"The quota of {_QUOTAS[quota]} is {limit}, and {used} are used. Nothing was stored."
