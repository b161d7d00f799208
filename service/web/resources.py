"""The tree of resources: all of it or branch by branch, a search by name, and the form of a new resource."""

from uuid import UUID

from fastapi import APIRouter, Response

from service.committer.changes import Create
from service.documents import strict_json
from service.domain import ids
from service.domain.actions import Action
from service.domain.errors import Invalid, ResourceNotFound
from service.domain.ids import ResourceId
from service.domain.resource_kinds import KIND_OF_COLLECTION, Kind
from service.http.admission import in_thread
from service.http.audited_operations import audits
from service.http.parameters import Collection
from service.http.schemas.resources import NEW
from service.usecases import resources, trees
from service.web.filter_forms import shortened
from service.web.gate import Changing, Viewing, Writing

# Rows of a branch, each of which is a few dozen nodes of the page.
BRANCH = 100

router = APIRouter(include_in_schema=False, prefix="/s/{subscription_id}")


@router.get("/resources")
def tree(view: Viewing) -> Response:
    """Show the tree, one branch of it, or the resources whose names hold a text."""
    if (short := shortened(view, ("q", "under", "cursor"))) is not None:
        return short
    if (text := view.asked("q")) is not None:
        found = trees.search(view.context, view.subscription_id, text)
        return view.show("tree_search.html", q=text, search=found)
    root = _named(view.asked("under"))
    if root is None and view.asked("cursor") is None:
        found_tree = trees.whole(view.context, view.subscription_id)
        if found_tree is not None:
            return view.show("tree.html", q="", tree=found_tree)
    branch = trees.branch(view.context, view.subscription_id, root, view.paging(BRANCH))
    return view.show("branch.html", q="", branch=branch, holds=_holds(root))


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
    return view.show("new_resource.html", place=place, kinds=kinds, kind=asked or next(iter(kinds), None))


@router.post("/{collection:collection}")
@audits(Action.CREATE)
async def create(posted: Writing, collection: Collection) -> Response:
    """Create a resource with an empty definition, or with the JSON document that was pasted."""
    kind = KIND_OF_COLLECTION[collection]
    form = posted.form
    root = _named(form.text("parent"))
    parent = None
    if root is not None:
        parent = (
            await in_thread(posted.request, trees.place_in, posted.context, posted.subscription_id, root)
        ).root
    place = trees.place_of_child(parent, kind)
    document = form.text("definition")
    values = {
        "name": form.text("name") or "",
        "description": form.text("description"),
        "definition": None if document is None else strict_json.parse(document.encode()),
        **{name: str(value) for name, value in place.ids().items()},
    }
    body = form.checked(NEW[kind], values)
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
    resource = await resources.create(posted.context, change)
    return posted.lead_to(f"{posted.base}/{collection}/{resource.resource_id}", done="created")


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
