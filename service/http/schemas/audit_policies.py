"""Bodies about audit policies."""

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from service.domain.actions import Action
from service.domain.audit_policy import ANY, CAN_BE_OFF, Depth, Rule
from service.http.audited_operations import resource_types
from service.http.schemas.body import Body


def _resource_type(text: str) -> str:
    known = resource_types()
    if text != ANY and text not in known:
        raise ValueError(f"is one of {ANY}, {', '.join(sorted(known))}")
    return text


def _action(text: str) -> str:
    if text != ANY and text not in Action.__members__:
        raise ValueError(f"is one of {ANY}, {', '.join(Action)}")
    return text


MAX_RULES = 100


class PolicyRule(Body):
    resource_type: Annotated[str, AfterValidator(_resource_type)]
    action: Annotated[str, AfterValidator(_action)]
    depth: Depth

    @model_validator(mode="after")
    def _keeps_what_must_be(self) -> "PolicyRule":
        if self.depth is Depth.NONE and self.action not in CAN_BE_OFF:
            raise ValueError(f"only {', '.join(sorted(CAN_BE_OFF))} can be left out of the audit log")
        return self

    def made(self) -> Rule:
        """Rule of the domain that this body describes."""
        return Rule(self.resource_type, self.action, self.depth)


class NewAuditPolicy(Body):
    rules: Annotated[list[PolicyRule], Field(max_length=MAX_RULES)]

    @model_validator(mode="after")
    def _each_once(self) -> "NewAuditPolicy":
        seen: set[tuple[str, str]] = set()
        for index, rule in enumerate(self.rules):
            if (rule.resource_type, rule.action) in seen:
                raise ValueError(f"rule {index} is about the same type and action as one before it")
            seen.add((rule.resource_type, rule.action))
        return self
