"""The six kinds of resource, and the kinds of their parents."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from uuid import UUID


class Kind(StrEnum):
    """A kind of resource, named as in `resource_type`."""

    WORKSPACE = "workspace"
    FOLDER = "folder"
    JOB = "job"
    WORKFLOW = "workflow"
    JOBPACKAGE = "jobpackage"
    CONNECTOR = "connector"

    @property
    def collection(self) -> str:
        """Name of the kind in paths of the API and in git."""
        return f"{self}s"


KIND_OF_COLLECTION = {kind.collection: kind for kind in Kind}


def spellings(resource_type: str) -> tuple[str, ...]:
    """Return a type as it was given, and as Annals writes it: in lower case, in the singular."""
    lower = resource_type.lower()
    return tuple(dict.fromkeys((resource_type, lower, KIND_OF_COLLECTION.get(lower, lower))))


# Fields that can name the parent, each with the kind of that parent; the most specific field is first.
PARENT_FIELDS: dict[Kind, tuple[tuple[str, Kind], ...]] = {
    Kind.WORKSPACE: (),
    Kind.FOLDER: (("parent_folder_id", Kind.FOLDER), ("workspace_id", Kind.WORKSPACE)),
    Kind.JOB: (("folder_id", Kind.FOLDER),),
    Kind.WORKFLOW: (("job_id", Kind.JOB),),
    Kind.JOBPACKAGE: (("folder_id", Kind.FOLDER),),
    Kind.CONNECTOR: (("workspace_id", Kind.WORKSPACE),),
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Place of a resource: the ids that a resource of its kind has; all other ids are None."""

    workspace_id: UUID | None = None
    parent_folder_id: UUID | None = None
    folder_id: UUID | None = None
    job_id: UUID | None = None

    def ids(self) -> dict[str, UUID]:
        """The ids that are set, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


PLACE_FIELDS: dict[Kind, frozenset[str]] = {
    kind: frozenset(name for name, _ in fields)
    | (frozenset() if kind is Kind.WORKSPACE else {"workspace_id"})
    for kind, fields in PARENT_FIELDS.items()
}
