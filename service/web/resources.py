"""The tree of resources: all of it or branch by branch, a search by name, and the form of a new resource."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from service.committer.changes import Create
from service.documents import strict_json
from service.domain import ids
from service.domain.actions import Action
from service.domain.errors import AnnalsError, Fault, Invalid, MalformedJson, ResourceNotFound
from service.domain.ids import ResourceId
from service.domain.resource_kinds import KIND_OF_COLLECTION, Kind
from service.http.admission import in_thread
from service.http.audited_operations import audits
from service.http.parameters import Collection
from service.http.schemas.resources import NEW
from service.usecases import resources, trees
from service.usecases.trees import Branch
from service.web.filter_forms import pushed, shortened
from service.web.gate import Changing, View, Viewing, Writing

# Rows of a branch, each of which is a dozen nodes of the page.
BRANCH = 100
_PARAMETERS = ("q", "under", "cursor")
# Fields of the form of a new resource.
_NOTHING: Mapping[str, str | None] = {"name": None, "description": None, "definition": None}

router = APIRouter(include_in_schema=False, prefix="/s/{subscription_id}")


@router.get("/resources")
def tree(view: Viewing) -> Response:
    """Show the tree, one branch of it, or the resources whose names hold a text."""
    if (short := shortened(view, _PARAMETERS)) is not None:
        return short
    if (text := view.asked("q")) is not None:
        found = trees.search(view.context, view.subscription_id, text)
        return pushed(view, _PARAMETERS, view.show("tree_search.html", q=text, search=found))
    root = _named(view.asked("under"))
    if root is None and view.asked("cursor") is None:
        found_tree = trees.whole(view.context, view.subscription_id)
        if found_tree is not None:
            return pushed(view, _PARAMETERS, view.show("tree.html", q="", tree=found_tree))
    branch = trees.branch(view.context, view.subscription_id, root, view.paging(BRANCH))
    page = view.show("branch.html", q="", branch=branch, holds=_holds(root))
    # A branch that is opened in the tree leaves the address as it is; a search that is cleared does not.
    return page if root is not None else pushed(view, _PARAMETERS, page)


@router.get("/resources/new")
def new(view: Changing) -> Response:
    """Show the form of a new resource in the place that `parent` names."""
    root = _named(view.asked("parent"))
    place = None if root is None else trees.place_in(view.context, view.subscription_id, root)
    kinds = _holds(root)
    asked = view.asked("kind")
    if asked is not None and asked not in kinds:
        # The place decides which kinds it holds, and is named by what it is.
        raise Invalid(f"A {'subscription' if root is None else root[0]} holds no {asked!r}.")
    return _form(view, place, Kind(asked) if asked else next(iter(kinds), None))


def _form(
    view: View,
    place: Branch | None,
    kind: Kind | None,
    typed: Mapping[str, str | None] = _NOTHING,
    problem: AnnalsError | None = None,
) -> Response:
    """Show the form, after a refusal with what was typed."""
    root = None if place is None or place.root is None else Kind(place.root.resource_type)
    return view.show(
        "new_resource.html",
        place=place,
        kinds=trees.holds(root),
        kind=kind,
        typed=typed,
        problem=problem,
    )


@router.post("/{collection:collection}")
@audits(Action.CREATE)
async def create(posted: Writing, collection: Collection) -> Response:
    """Create a resource with an empty definition, or with the JSON document that was pasted."""
    kind = KIND_OF_COLLECTION[collection]
    form = posted.form
    root = _named(form.text("parent"))
    place = None
    if root is not None:
        place = await in_thread(posted.request, trees.place_in, posted.context, posted.subscription_id, root)
    typed = {name: form.text(name) for name in _NOTHING}

    async def made() -> resources.Resource:
        body = form.checked(NEW[kind], _values(typed, place, kind))
        change = Create(
            author=posted.author,
            kind=kind,
            resource_id=ResourceId(ids.mint()),
            name=body.name,
            description=body.description,
            place=body.place(),
            definition=body.definition,
            once=posted.once,
        )
        return await resources.create(posted.context, change)

    async def again(problem: AnnalsError) -> Response:
        return await in_thread(posted.request, _form, posted, place, kind, typed, problem)

    resource = await posted.carried_out(made(), again)
    return posted.lead_to(f"{posted.base}/{collection}/{resource.resource_id}", done="created")


def _values(typed: Mapping[str, str | None], place: Branch | None, kind: Kind) -> dict[str, Any]:
    """Make the body that the API takes; raises Invalid."""
    document = typed["definition"]
    try:
        definition = None if document is None else strict_json.parse(document.encode())
    except MalformedJson as error:
        fault = Fault(error.detail, pointer="/definition")
        raise Invalid("The definition is no JSON document.", faults=[fault]) from None
    chosen = trees.place_of_child(None if place is None else place.root, kind)
    return {
        "name": typed["name"] or "",
        "description": typed["description"],
        "definition": definition,
        **{name: str(value) for name, value in chosen.ids().items()},
    }


def _named(text: str | None) -> tuple[Kind, UUID] | None:
    """Read a resource that a parameter names as `kind/id`; raises ResourceNotFound for any other text."""
    if text is None:
        return None
    kind, _, resource_id = text.partition("/")
    found = ids.parse(resource_id)
    if found is None or kind not in set(Kind):
        raise ResourceNotFound(f"There is no {text!r} in this subscription.")
    return Kind(kind), found


def _holds(root: tuple[Kind, UUID] | None) -> tuple[Kind, ...]:
    return trees.holds(None if root is None else root[0])
