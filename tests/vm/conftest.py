"""The guest for tests; all are skipped with the reason where tests/vm/setup cannot make it.

FDPSTORE_VM=require makes that a failure instead.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import guest as guests
import pytest

CANNOT = 77  # the exit code of setup where the machine is not made for it
setup = pytest.StashKey[subprocess.CompletedProcess]()


def pytest_collection_finish(session: pytest.Session) -> None:
    # Here and not in a fixture: a first set-up may take longer than a test may.
    if session.items and not session.config.option.collectonly:
        session.config.stash[setup] = subprocess.run(
            [guests.HERE / "setup"], capture_output=True, text=True
        )


@pytest.fixture(autouse=True)
def vm_tier(request: pytest.FixtureRequest) -> None:
    done = request.config.stash[setup]
    if done.returncode == CANNOT and os.environ.get("FDPSTORE_VM") != "require":
        pytest.skip(done.stderr.strip())
    if done.returncode != 0:
        pytest.fail(f"tests/vm/setup failed:\n{done.stdout}{done.stderr}", pytrace=False)


@pytest.fixture(scope="session")
def guest() -> Callable[..., guests.Done]:
    """guest(CMD…, kernel="612", …) boots a guest for one command; see guest.py."""
    return guests.run


@pytest.fixture(scope="session")
def facts() -> Callable[..., guests.Facts]:
    """facts(kernel="612", …): what such a guest says about its namespaces; see guest.py."""
    return guests.facts
