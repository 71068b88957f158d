"""The plugin passes the contracts of its roles. Run: pip install mlopsfw[test] . && pytest"""

from __future__ import annotations

import pytest
from acme_mlops.alerter import AcmeAlerter
from acme_mlops.storage import AcmeStorage

from mlopsfw.errors import DeliveryFailed
from mlopsfw.roles import Alert
from mlopsfw.testing.storage import StorageContract

ALERT = Alert(id="1", group="g", severity="info", title="t", text="x", time="2026-01-01T00:00:00Z", project="p")


class TestAcmeStorage(StorageContract):
    @pytest.fixture
    def storage(self, tmp_path):
        return AcmeStorage(tmp_path / "acme.sqlite", tmp_path / "tables")


def test_an_alert_that_cannot_be_written_is_a_failed_delivery(tmp_path):
    with pytest.raises(DeliveryFailed):
        AcmeAlerter(tmp_path / "absent" / "log").deliver(ALERT)
