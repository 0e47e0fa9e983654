"""Unit tests run without a database; random examples have no deadline, as the machine may be busy."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("suite", deadline=None)
settings.load_profile("suite")
