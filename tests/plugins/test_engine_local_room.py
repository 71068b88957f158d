"""The room of the engine `local`: cores, memory and devices are granted once, shared where asked, and given back."""

from __future__ import annotations

import threading

import pytest

from mlopsfw.roles import Resources
from mlopsfw_engine_local.room import Room

NOBODY = threading.Event()


@pytest.fixture
def room():
    """A room of four slots, eight cores, 100 bytes and two devices."""
    room = Room(4)
    vars(room).update(cores=8, memory=100, devices=("0", "GPU-b"))
    return room


@pytest.mark.parametrize(
    ("asked", "running", "fits"),
    [
        ({}, [{}] * 3, True),
        ({}, [{}] * 4, False),
        ({"cpus": 8}, [], True),
        ({"cpus": 7}, [{}], False),  # one that asks for nothing has its slot's share, two cores
        ({"cpus": 6}, [{}], True),
        ({}, [{"cpus": 6}], True),
        ({}, [{"cpus": 7}], False),
        ({"memory": "60B"}, [{"memory": "41B"}], False),
        ({"memory": "60B"}, [{"memory": "40B"}], True),
        ({"gpus": 2}, [{"gpus": 0.1}], False),
        ({"gpus": 0.9}, [{"gpus": 1}, {"gpus": 0.1}], True),
        ({"gpus": 0.1}, [{"gpus": 1}, {"gpus": 0.9}], True),  # 1 - 0.9 is less than 0.1 in binary
        ({"gpus": 3}, [], False),
        ({"gpus": 0.6}, [{"gpus": 0.6}], True),
        ({"gpus": 0.6}, [{"gpus": 0.6}] * 2, False),  # 0.8 devices are left, and no device has 0.6
        ({"gpus": 1}, [{"gpus": 0.5}, {"gpus": 0.5}], True),
        ({"gpus": 1}, [{"gpus": 0.6}, {"gpus": 0.6}], False),
        ({}, [{"gpus": 0.6}, {"gpus": 0.6}], True),
    ],
)
def test_an_attempt_fits_where_slots_cores_memory_and_devices_are_left(room, asked, running, fits):
    assert room.fits(Resources(**asked), [Resources(**each) for each in running]) is fits


def test_no_two_attempts_have_one_device_unless_they_ask_for_a_share(room):
    whole = room.take(Resources(gpus=1), NOBODY)
    half, quarter = (room.take(Resources(gpus=share), NOBODY) for share in (0.5, 0.25))
    assert half.devices == quarter.devices
    assert {*whole.devices, *half.devices} == {"0", "GPU-b"}
    room.give_back(whole)
    assert room.take(Resources(gpus=0.25), NOBODY).devices == half.devices  # the fullest that has room
    assert room.take(Resources(gpus=1), NOBODY).devices == whole.devices


@pytest.mark.parametrize(
    "asked", [{"gpus": 0.6}, {"gpus": 0.5}, {"gpus": 0.4}, {"gpus": 1}, {"gpus": 2}, {"cpus": 3}, {"memory": "40B"}]
)
def test_what_fits_is_granted_at_once_and_what_does_not_fit_waits(room, asked):
    running = []
    while room.fits(Resources(**asked), running):
        assert room.take_now(Resources(**asked)) is not None
        running.append(Resources(**asked))
    assert running
    assert room.take_now(Resources(**asked)) is None


def test_an_attempt_without_gpus_is_given_none_and_asks_nobody_for_them(room):
    del vars(room)["devices"]
    assert room.take(Resources(), NOBODY).devices == ()
    assert room.capacity(Resources(cpus=1)).gpus == 0
    assert "devices" not in vars(room)


def test_an_attempt_waits_for_what_another_has_and_stops_waiting_when_it_is_cancelled(room):
    first = room.take(Resources(gpus=2), NOBODY)
    grants, stopped = [], threading.Event()
    waiting = threading.Thread(target=lambda: grants.append(room.take(Resources(gpus=1), NOBODY)))
    cancelled = threading.Thread(target=lambda: grants.append(room.take(Resources(gpus=1), stopped)))
    cancelled.start()
    stopped.set()
    room.look_again()
    cancelled.join(5)
    assert grants == [None]
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    room.give_back(first)
    waiting.join(5)
    assert len(grants[1].devices) == 1


def test_the_devices_are_those_that_torch_sees_by_the_names_that_the_environment_gives(monkeypatch):
    torch = pytest.importorskip("torch")
    assert len(Room(1).devices) == torch.cuda.device_count()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5")
    assert Room(1).devices == ("3", "GPU-5")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert Room(1).devices == ("0", "1")
