import pytest

from tests.unit.runner.holder.held_agent import HeldAgent


@pytest.fixture
def held(tmp_path):
    agent = HeldAgent(tmp_path)
    yield agent
    agent.close()
