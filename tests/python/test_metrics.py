"""The store's numbers in the registry that LMCache serves at /metrics."""

import json

import prometheus_client
import pytest
from conftest import options_for
from helpers import Driver, filled, make_keys
from lmcache.v1.mp_observability.otel_init import init_otel_metrics


@pytest.fixture(scope="module", autouse=True)
def lmcache_metrics():
    """As `lmcache server` starts it, but for the port."""
    init_otel_metrics(start_http_server=False)


def samples(path):
    """Of one store, as Prometheus would read them: name → value."""
    found = {}
    for family in prometheus_client.REGISTRY.collect():
        for sample in family.samples:
            if sample.name.startswith("fdpstore_") and sample.labels.get("path") == str(path):
                found[sample.name] = sample.value
    return found


@pytest.mark.parametrize("layout", ["segment", "object"])
def test_lmcache_collects_what_the_store_counts(open_adapter, tmp_path, layout, monkeypatch):
    monkeypatch.setattr("fdpstore._metrics._FRESH_S", 0)
    path = tmp_path / "store"
    driver = Driver(open_adapter(options_for(layout, path)))
    assert samples(path)["fdpstore_stored_objects_total"] == 0
    keys = make_keys(5)
    driver.store(keys, filled(keys, 10_000))
    driver.load_and_verify(keys, 10_000)
    found = samples(path)
    assert found["fdpstore_stored_objects_total"] == 5
    assert found["fdpstore_stored_bytes_total"] == 50_000
    assert found["fdpstore_loaded_bytes_total"] == 50_000
    assert found["fdpstore_live_objects"] == 5
    assert found["fdpstore_healthy"] == 1
    # The same names and numbers as a status has, and none that it does not know.
    status = json.loads(driver.adapter._store.status())
    assert found["fdpstore_host_written_bytes_total"] == status["host_written_bytes"]
    assert ("fdpstore_device_media_bytes_total" in found) == (
        status["device_media_bytes"] is not None
    )
    driver.adapter.close()
    assert samples(path) == {}, "a closed store has no numbers"


def test_two_stores_are_told_apart(open_adapter, tmp_path):
    drivers = [Driver(open_adapter(options_for("object", tmp_path / name))) for name in "ab"]
    keys = make_keys(3)
    drivers[1].store(keys, filled(keys, 1000))
    assert samples(tmp_path / "a")["fdpstore_live_objects"] == 0
    assert samples(tmp_path / "b")["fdpstore_live_objects"] == 3
