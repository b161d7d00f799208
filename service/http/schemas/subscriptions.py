"""Bodies about subscriptions."""

from typing import Annotated

from pydantic import AfterValidator, Field, StrictBool

from service.domain.callers import CloneAfterPurge
from service.http.schemas.body import Body, MergePatch
from service.http.schemas.fields import ShortName, Words
from service.runtime.web_origins import MAX_LENGTH, web_origin


class NewSubscription(Body):
    name: ShortName
    require_if_match: StrictBool = False


# A limit of a quota; null is no limit. PostgreSQL's integers end there.
Limit = Annotated[int | None, Field(strict=True, ge=0, le=2**63 - 1)]


class QuotaLimits(MergePatch):
    repository_bytes: Limit = None
    resources: Limit = None
    versions_a_day: Limit = None
    log_rows_a_day: Limit = None


MAX_ORIGINS = 20
WebOrigin = Annotated[str, Field(max_length=MAX_LENGTH), AfterValidator(web_origin)]


def _once_each(origins: list[str]) -> list[str]:
    return list(dict.fromkeys(origins))


# An origin that is given twice is stored once.
WebOrigins = Annotated[list[WebOrigin], Field(max_length=MAX_ORIGINS), AfterValidator(_once_each)]


class SubscriptionUpdate(MergePatch):
    name: ShortName = Field(default="")
    require_if_match: StrictBool = Field(default=False)
    clone_after_purge: CloneAfterPurge = Field(default=CloneAfterPurge.EVERYBODY)
    cors_origins: WebOrigins = Field(default_factory=list)
    quotas: QuotaLimits = Field(default_factory=QuotaLimits)


class ClosingReason(Body):
    reason: Words
