import pytest


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cache_apart(shared_cache, monkeypatch):
    """No test reads or writes the user's own cache."""
    monkeypatch.setenv("SKLAB_CACHE", str(shared_cache))
