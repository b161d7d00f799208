"""Pages of check-outs: take, renew and release one of a resource, and see all that run."""

from datetime import timedelta

from fastapi import APIRouter, Response

from service.domain.actions import Action
from service.domain.callers import Right
from service.domain.errors import AnnalsError, NotCheckedOut
from service.domain.ids import parse
from service.domain.pagination import Paging
from service.http.audited_operations import audits
from service.http.parameters import Target, Targeted
from service.http.schemas.check_outs import CheckOutRequest
from service.usecases import check_outs, trees, versions
from service.usecases.check_outs import DEFAULT_LEASE, MAX_LEASE
from service.web.gate import RESOURCE_PAGE, Changing, View, Viewing, Writing

# Leases that the form offers; the API takes any up to the last one.
LEASES = (*(timedelta(hours=hours) for hours in (1, 4)), DEFAULT_LEASE, timedelta(days=1), MAX_LEASE)
# An end that is so near is marked.
SOON = timedelta(hours=1)
# Versions that the form offers to begin from.
VERSIONS_SHOWN = 50
CHECK_OUTS_SHOWN = 50

router = APIRouter(include_in_schema=False)


@router.get(f"{RESOURCE_PAGE}/check-out")
def show_check_out(view: Changing, target: Targeted) -> Response:
    """Show the form of a check-out; to its holder, what to do next."""
    return _page(view, target, given={"from": view.asked("from") or ""})


@router.post(f"{RESOURCE_PAGE}/check-out")
@audits(Action.CHECK_OUT)
def check_out(view: Writing, target: Targeted) -> Response:
    """Check a resource out, or renew the check-out."""
    form = view.form

    def again(error: AnnalsError) -> Response:
        return _page(view, target, given=dict(form.fields), problem=error)

    with view.refused_on(again):
        given = {
            "from": form.text("from"),
            "reason": form.text("reason"),
            "ttl_seconds": form.number("ttl_seconds"),
        }
        body = form.checked(CheckOutRequest, given)
        check_outs.check_out(
            view.context,
            view.author,
            target.kind,
            target.resource_id,
            from_ref=body.from_ref,
            reason=body.reason,
            lease=None if body.ttl_seconds is None else timedelta(seconds=body.ttl_seconds),
            once=view.once,
        )
    return view.lead_to(f"{view.page_of(target)}/check-out", done="checked-out")


@router.get(f"{RESOURCE_PAGE}/release")
def show_release(view: Changing, target: Targeted) -> Response:
    """Show whose check-out it is, and what its release means."""
    return _release_page(view, target)


@router.post(f"{RESOURCE_PAGE}/release")
@audits(Action.CANCEL_CHECK_OUT)
def release(view: Writing, target: Targeted) -> Response:
    """Release one's own check-out, or as an admin another's; a release that was done already is no fault."""
    is_forced = view.form.is_set("force")
    if is_forced:
        view.caller.needs(Right.FORCE)
    with view.refused_on(lambda error: _release_page(view, target, problem=error)):
        try:
            check_outs.release(
                view.context,
                view.author,
                target.kind,
                target.resource_id,
                force=is_forced,
                if_match=None,
                holder=parse(view.form.text("holder") or ""),
                began=view.form.text("began"),
            )
        except NotCheckedOut:
            return view.lead_to(view.page_of(target), done="nobody-holds")
    return view.lead_to(view.page_of(target), done="released")


@router.get("/s/{subscription_id}/check-outs")
def list_check_outs(view: Viewing) -> Response:
    """List the check-outs that run."""
    found = check_outs.page(
        view.context, view.subscription_id, view.caller.user_id, view.paging(CHECK_OUTS_SHOWN)
    )
    return view.show(
        "check_outs.html", ours=found.ours, theirs=found.theirs, next=found.next_cursor, soon=SOON
    )


def _page(
    view: View, target: Target, *, given: dict[str, str], problem: AnnalsError | None = None
) -> Response:
    found = check_outs.of_resource(view.context, view.subscription_id, target.kind, target.resource_id)
    latest = versions.page(
        view.context,
        view.subscription_id,
        target.kind,
        target.resource_id,
        {},
        Paging(VERSIONS_SHOWN),
        purged=False,
    )
    return view.show(
        "check_out.html",
        target=target,
        place=trees.way_to(view.context, view.subscription_id, target.kind, target.resource_id),
        resource=found.resource,
        lease=found.check_out,
        is_own=_is_own(view, found),
        versions=latest.items,
        leases=LEASES,
        lease_asked=given.get("ttl_seconds") or str(int(DEFAULT_LEASE.total_seconds())),
        given={"from": "", "reason": ""} | given,
        problem=problem,
        url=view.context.public_url,
        subscription_id=view.subscription_id,
    )


def _release_page(view: View, target: Target, *, problem: AnnalsError | None = None) -> Response:
    found = check_outs.of_resource(view.context, view.subscription_id, target.kind, target.resource_id)
    return view.show(
        "release.html",
        target=target,
        place=trees.way_to(view.context, view.subscription_id, target.kind, target.resource_id),
        resource=found.resource,
        lease=found.check_out,
        is_own=_is_own(view, found),
        problem=problem,
    )


def _is_own(view: View, found: check_outs.ResourceWithCheckOut) -> bool:
    return found.check_out is not None and found.check_out.checked_out_by == view.caller.user_id
