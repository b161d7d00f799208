"""Transactions that a retry does not repeat: each keeps its result for the retries."""

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
    """Run `work` in a transaction of its own; a retry returns the result of the first try.

    `kept` removes a secret from the result before the result is stored for retries. The statements of `first`
    are sent together with the beginning of the transaction. Raises RequestInFlight, KeyReused, and the errors
    of `work`, which roll the transaction back.
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
