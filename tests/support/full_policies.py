"""Subscriptions with the fullest audit policy, whose logs a test reads whole."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.http.server_log import writer
from tests.support.api import Server, Tenant, ok

FULL = {"rules": [{"resource_type": "*", "action": "*", "depth": "full"}]}


@contextmanager
def fully_audited(server: Server, name: str) -> Iterator[Tenant]:
    """Make a subscription with the fullest policy; the server log is written almost at once until the end."""
    tenant = Tenant(server, name)
    ok(tenant.ana.put(f"{tenant.path}/audit-policy", FULL))
    _ = tenant.aud, tenant.job_id
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "FLUSH_SECONDS", 0.05)
        yield tenant
