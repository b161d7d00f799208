"""The project's root folder and the packages of the product."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("service", "gitstore", "sql", "jobs")
