"""The conformance suites: one contract class per role. A plugin's tests subclass one and override its fixture.

from mlopsfw.testing.storage import StorageContract

class TestAcme(StorageContract):
    @pytest.fixture
    def storage(self, tmp_path):
        return AcmeStorage(tmp_path)
"""
