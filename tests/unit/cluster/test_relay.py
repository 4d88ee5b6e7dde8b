"""What passes a line between two clusters, decided from a packet's own bytes."""

import struct
from ipaddress import IPv4Address, IPv4Network

import pytest

from cluster.relay import End, Line, Relay, has_payload

CLOUD, EDGE = IPv4Address("198.18.0.2"), IPv4Address("198.18.16.2")
SYN, ANSWER = b"", b"HTTP/1.1 200 OK"


def packet(target: IPv4Address, payload: bytes = b"", *, protocol: int = 6) -> bytes:
    """Return an IPv4 packet with a header of TCP's length."""
    transport = struct.pack("!HHIIBBHHH", 443, 50000, 0, 0, 5 << 4, 0x10, 65535, 0, 0)
    length = 20 + len(transport) + len(payload)
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, length, 0, 0, 64, protocol, 0, CLOUD.packed, target.packed
    )
    return header + transport + payload


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (packet(EDGE, SYN), False),
        (packet(EDGE, ANSWER), True),
        (packet(EDGE, ANSWER, protocol=17), False),
        (packet(EDGE)[:30], False),
    ],
    ids=["a handshake", "an answer", "of another protocol", "cut short"],
)
def test_a_silent_line_tells_what_is_said_from_what_connects(content: bytes, said: bool) -> None:
    assert has_payload(content) is said


@pytest.fixture
def relay() -> Relay:
    made = Relay()
    for name, network in (("cloud", "198.18.0.0/20"), ("edge", "198.18.16.0/20")):
        made.ends[name] = End(networks=(IPv4Network(network),))
    return made


@pytest.mark.parametrize(
    ("line", "content", "passes"),
    [
        (Line(), packet(EDGE, ANSWER), True),
        (Line(cut=True), packet(EDGE, SYN), False),
        (Line(silent=True), packet(EDGE, SYN), True),
        (Line(silent=True), packet(EDGE, ANSWER), False),
        (Line(loss=1.0), packet(EDGE, ANSWER), False),
        (Line(), packet(CLOUD, ANSWER), False),
        (Line(), packet(IPv4Address("192.0.2.1"), ANSWER), False),
        (Line(), b"\x60" + bytes(60), False),
    ],
    ids=[
        "a good line", "a cut one", "a handshake over a silent one", "an answer over a silent one",
        "one that loses all", "to where it came from", "to nobody", "of IPv6",
    ],
)  # fmt: skip
def test_a_line_lets_packets_pass_or_not(
    relay: Relay, line: Line, content: bytes, passes: bool
) -> None:
    relay.set_line({"cloud", "edge"}, line)
    relay.send(content, "cloud")
    assert len(relay.on_the_way) == passes


def test_a_line_with_a_rate_sends_one_packet_after_the_other(relay: Relay) -> None:
    content = packet(EDGE, bytes(1210))
    relay.set_line({"cloud", "edge"}, Line(rate=1.0))
    for _ in range(3):
        relay.send(content, "cloud")
    first, second, third = sorted(one.due for one in relay.on_the_way)
    seconds = len(content) * 8 / 1e6
    assert second - first == pytest.approx(seconds)
    assert third - second == pytest.approx(seconds)


def test_what_waits_too_long_for_a_rate_is_lost(relay: Relay) -> None:
    relay.set_line({"cloud", "edge"}, Line(rate=0.001))
    for _ in range(2000):
        relay.send(packet(EDGE, bytes(1210)), "cloud")
    assert 0 < sum(len(one.content) for one in relay.on_the_way) < 2**20 + 2000
