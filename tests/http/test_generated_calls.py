"""A short form of `script/test generated`: calls that are generated from the description of the API."""

from pathlib import Path

import pytest

from tests.http.generated_calls import generated, seats
from tests.support.databases import Cluster
from tests.support.standing_server import serving

# The same calls in each run of the suite; those on demand have another seed each time.
SEED = 1
EXAMPLES = 2


@pytest.mark.long
def test_generated_calls_get_described_answers_and_their_keys_survive(
    cluster: Cluster, tmp_path: Path
) -> None:
    calls, failures = 0, list[str]()
    with serving(cluster, tmp_path, ANNALS_FAILED_LOGINS="off") as (server, _):
        for seat in seats(server.url)[1:]:
            outcome = generated(
                server.url, seat, tmp_path, phases=["fuzzing", "stateful"], examples=EXAMPLES, seed=SEED
            )
            calls += outcome.calls
            failures += outcome.failures
    assert not failures, "\n".join(failures)
    assert calls > 200
