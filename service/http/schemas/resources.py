"""Bodies that create and update resources of the six kinds, with the parents of each kind."""

from uuid import UUID

from pydantic import Field

from service.domain.resource_kinds import Kind, Place
from service.http.schemas.body import Body, MergePatch
from service.http.schemas.fields import Definition, Name, Text


class NewResource(Body):
    name: Name
    description: Text | None = None
    definition: Definition = Field(default=b"{}", json_schema_extra={"default": {}})

    def place(self) -> Place:
        """Place of the new resource: the ids that a resource of its kind has."""
        ids = ("workspace_id", "parent_folder_id", "folder_id", "job_id")
        return Place(**{name: getattr(self, name, None) for name in ids})


class NewWorkspace(NewResource):
    pass


class NewFolder(NewResource):
    workspace_id: UUID
    parent_folder_id: UUID | None = None


class NewJob(NewResource):
    folder_id: UUID


class NewWorkflow(NewResource):
    job_id: UUID


class NewJobPackage(NewResource):
    folder_id: UUID


class NewConnector(NewResource):
    workspace_id: UUID


def _never() -> UUID:
    """Make a default for an id that a body leaves out; it is never read, since only set fields are."""
    return UUID(int=0)


class ResourceUpdate(MergePatch):
    """Merge patch (RFC 7386) of a resource: missing fields stay the same, null removes an optional value."""

    name: Name = Field(default="")
    description: Text | None = None


class WorkspaceUpdate(ResourceUpdate):
    pass


class FolderUpdate(ResourceUpdate):
    workspace_id: UUID = Field(default_factory=_never)
    parent_folder_id: UUID | None = None


class JobUpdate(ResourceUpdate):
    folder_id: UUID = Field(default_factory=_never)


class WorkflowUpdate(ResourceUpdate):
    job_id: UUID = Field(default_factory=_never)


class JobPackageUpdate(ResourceUpdate):
    folder_id: UUID = Field(default_factory=_never)


class ConnectorUpdate(ResourceUpdate):
    workspace_id: UUID = Field(default_factory=_never)


NEW: dict[Kind, type[NewResource]] = {
    Kind.WORKSPACE: NewWorkspace,
    Kind.FOLDER: NewFolder,
    Kind.JOB: NewJob,
    Kind.WORKFLOW: NewWorkflow,
    Kind.JOBPACKAGE: NewJobPackage,
    Kind.CONNECTOR: NewConnector,
}
UPDATES: dict[Kind, type[ResourceUpdate]] = {
    Kind.WORKSPACE: WorkspaceUpdate,
    Kind.FOLDER: FolderUpdate,
    Kind.JOB: JobUpdate,
    Kind.WORKFLOW: WorkflowUpdate,
    Kind.JOBPACKAGE: JobPackageUpdate,
    Kind.CONNECTOR: ConnectorUpdate,
}
