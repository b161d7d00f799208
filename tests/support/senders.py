"""Events of other systems, and how a platform sends each of them to Annals.

The files of `tests/logs/senders` have an event a line, in the form that the sender documents.
Placeholders for secrets are those of the masking corpus.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.support import audit_senders, log_senders
from tests.support.api import Json
from tests.support.masking_corpus import Entry, entry_of

FOLDER = Path(__file__).parents[1] / "logs" / "senders"


class Sender(NamedTuple):
    """A system that sends events; `log` is the call that takes them."""

    name: str
    log: str
    mapping: Callable[[Json], Json]

    def entries(self) -> list[Entry]:
        """Read the events as entries of the masking corpus, which name their secrets."""
        lines = (FOLDER / f"{self.name}.ndjson").read_text().splitlines()
        return [entry_of(f"{self.name} {number}", line) for number, line in enumerate(lines, 1)]

    def bodies(self) -> list[Json]:
        """Make what a platform posts, an object for each event."""
        return [{"source": self.name, **self.mapping(entry.value)} for entry in self.entries()]


SENDERS = {
    sender.name: sender
    for sender in (
        Sender("aws_cloudtrail", "audit-logs", audit_senders.aws_cloudtrail),
        Sender("github_audit", "audit-logs", audit_senders.github_audit),
        Sender("kubernetes_audit", "audit-logs", audit_senders.kubernetes_audit),
        Sender("okta", "audit-logs", audit_senders.okta),
        Sender("keycloak", "audit-logs", audit_senders.keycloak),
        Sender("gitlab", "audit-logs", audit_senders.gitlab),
        Sender("airflow", "execution-logs", log_senders.airflow),
        Sender("github_actions", "execution-logs", log_senders.github_actions),
        Sender("temporal", "execution-logs", log_senders.temporal),
        Sender("n8n", "execution-logs", log_senders.n8n),
        Sender("systemd_journal", "execution-logs", log_senders.systemd_journal),
        Sender("caddy", "server-logs", log_senders.caddy),
        Sender("debezium", "change-history", log_senders.debezium),
    )
}
