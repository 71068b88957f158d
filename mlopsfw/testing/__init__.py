"""The conformance suites: one test class per role. A plugin's tests subclass it and override its fixture.

from mlopsfw.testing.storage import StorageConformance

class TestAcme(StorageConformance):
    @pytest.fixture
    def storage(self, tmp_path):
        return AcmeStorage(tmp_path)
"""
