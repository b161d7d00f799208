"""What a run of each job that takes something away would take, by the job's name."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from service.context import Parts
from service.runs import Plan

PLANS: Final[Mapping[str, Callable[[Parts, datetime], Plan]]] = {}
