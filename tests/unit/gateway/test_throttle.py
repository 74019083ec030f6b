"""Who sends wrong keys has to wait."""

from agentstop.gateway.throttle import FORGET_SECONDS, FREE, MAX_ADDRESSES, MAX_PAUSE_SECONDS, Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def wrong(throttle: Throttle, address: str, times: int) -> None:
    for _ in range(times):
        throttle.wrong(address)


def test_the_first_ones_are_free_then_each_pause_is_longer() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    wrong(throttle, "10.0.0.1", FREE)
    assert throttle.seconds_left("10.0.0.1") == 0
    pauses = []
    for _ in range(40):
        throttle.wrong("10.0.0.1")
        pauses.append(throttle.seconds_left("10.0.0.1"))
    assert pauses[:4] == [2, 4, 8, 16]
    assert pauses[-1] == MAX_PAUSE_SECONDS
    assert throttle.seconds_left("10.0.0.2") == 0
    clock.now += MAX_PAUSE_SECONDS
    assert throttle.seconds_left("10.0.0.1") == 0


def test_it_is_forgotten() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    wrong(throttle, "10.0.0.1", FREE + 5)
    clock.now += FORGET_SECONDS
    throttle.wrong("10.0.0.1")
    assert throttle.seconds_left("10.0.0.1") == 0


def test_a_network_of_ipv6_is_one_sender() -> None:
    throttle = Throttle(Clock())
    for number in range(FREE + 1):
        throttle.wrong(f"2001:db8::{number}")
    assert throttle.seconds_left("2001:db8::ffff") > 0
    assert throttle.seconds_left("2001:db8:0:1::1") == 0


def test_it_does_not_grow_without_end() -> None:
    throttle = Throttle(Clock())
    for number in range(MAX_ADDRESSES + 10):
        throttle.wrong(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(throttle._records) == MAX_ADDRESSES
