"""Plain transactions that a retry does not carry out again: the first one's result is kept with them."""

from collections.abc import Callable
from typing import TypeVar

from pydantic import TypeAdapter

from service.domain import idempotency
from service.domain.idempotency import Attempt
from service.usecases.context import Context
from sql.database import PLATFORM, Scope, Transaction

Result = TypeVar("Result")


def run_once(
    context: Context,
    scope: Scope,
    attempt: Attempt | None,
    results: TypeAdapter[Result],
    work: Callable[[Transaction], Result],
    *,
    kept: Callable[[Result], Result] = lambda result: result,
    first: Callable[[Transaction], None] | None = None,
) -> Result:
    """What `work` returns in a transaction of its own, or what it returned to an earlier try.

    `kept` is what retries get of a result that holds a secret; what `first` sends goes over with the
    beginning of the transaction. Raises RequestInFlight and KeyReused besides what `work` raises, which
    undoes all.
    """
    subscription_id = None if scope == PLATFORM else scope
    with context.database.transaction(scope, first=first) as tx:
        if attempt is None:
            return work(tx)
        at = context.clock()
        stored = idempotency.recall(tx, subscription_id, attempt, at)
        if stored is not None:
            return results.validate_json(stored)
        result = work(tx)
        idempotency.keep(tx, subscription_id, attempt, results.dump_json(kept(result)), at)
        return result
