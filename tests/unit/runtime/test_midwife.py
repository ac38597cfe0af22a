"""What is made before a box is asked for."""

from __future__ import annotations

import errno
import gc

import pytest

from boxyd.runtime import midwife, stage


def test_a_host_without_user_namespaces_makes_none_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(base: int) -> stage.Ahead:
        raise OSError(errno.ENOSPC, "too many user namespaces")

    monkeypatch.setattr(stage, "Ahead", refused)
    try:
        ahead = midwife.warm_up(midwife.Usual(1 << 30, {"namespaces": ["user"], "steps": []}))
        assert not ahead.spaces
        assert ahead.cradle is None
    finally:
        gc.enable()
