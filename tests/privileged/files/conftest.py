"""One daemon for all tests of a module here."""

from __future__ import annotations

import pytest

from tests.support.daemon import Daemon


@pytest.fixture
def daemon(shared_daemon: Daemon) -> Daemon:
    """The module's, without a box of another test."""
    return shared_daemon
