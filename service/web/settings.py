"""Settings of a subscription: the way to each page of them, and what these pages share."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from service.domain.callers import Right, SubscriptionState
from service.domain.errors import AnnalsError
from service.domain.pagination import MAX_LIMIT, Page, Paging
from service.usecases import users
from service.usecases.users import User
from service.web.gate import View, viewing
from service.web.notices import NOTICES

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Section:
    """A page of settings, and the right to see it."""

    path: str
    title: str
    right: Right


SECTIONS = (
    Section("users", "Users", Right.READ_USERS),
    Section("keys", "API keys", Right.READ_USERS),
    Section("sessions", "Sessions", Right.SEE_SUBSCRIPTION),
    Section("policy", "Audit policy", Right.READ_LOGS),
    Section("holds", "Legal holds", Right.READ_HOLDS),
    Section("subscription", "Subscription", Right.SEE_SUBSCRIPTION),
)


def seen(view: View) -> list[Section]:
    """Pages of settings that a caller may see."""
    return [section for section in SECTIONS if view.caller.may(section.right)]


def show(
    view: View,
    template: str,
    *,
    problem: AnnalsError | None = None,
    has_secret: bool = False,
    **values: Any,
) -> Response:
    """Render a page of settings; with a problem it is the answer to the form that was refused.

    A closed subscription is only read.
    """
    return view.show(
        template,
        problem=problem,
        has_secret=has_secret,
        sections=seen(view),
        is_open=view.state is SubscriptionState.OPEN,
        **values,
    )


def people(view: View, right: Right) -> Page[User] | None:
    """Read the users whom a form offers to callers who have the right to send it; None for others."""
    if not view.caller.may(right):
        return None
    return users.users(view.context, view.subscription_id, None, Paging(MAX_LIMIT))


@router.get("/s/{subscription_id}/settings")
def first_section(view: Annotated[View, Depends(viewing(Right.SEE_SUBSCRIPTION))]) -> Response:
    """Lead to the first page of settings that the caller may see."""
    said = view.asked("done")
    done = said if said in NOTICES else None
    return view.lead_to(f"{view.base}/settings/{seen(view)[0].path}", done=done)
