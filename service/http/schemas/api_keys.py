"""Bodies about API keys."""

from typing import Annotated
from uuid import UUID

from pydantic import Field, StrictInt

from service.http.schemas.body import Body
from service.http.schemas.fields import ShortName


class NewApiKey(Body):
    user_id: UUID
    name: ShortName
    expires_in_days: Annotated[StrictInt, Field(ge=1, le=3650)] | None = None
