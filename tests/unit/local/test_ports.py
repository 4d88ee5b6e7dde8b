"""Two runs on one machine never share a port."""

import socket

import pytest

from smallmodel_operator.local.ports import is_free, take_block


def test_two_runs_get_blocks_that_do_not_meet() -> None:
    first, second = take_block(), take_block()
    try:
        assert first.base != second.base
        assert not set(first.replicas) & set(second.replicas)
        assert not set(first.replicas) & set(first.replicas_grpc)
        assert first.port(1) not in first.replicas
    finally:
        first.release()
        second.release()


def test_a_released_block_is_taken_again() -> None:
    first = take_block()
    base = first.base
    first.release()
    again = take_block()
    again.release()
    assert again.base == base


def test_a_block_with_a_used_port_is_passed_over() -> None:
    probe = take_block()
    base = probe.base
    probe.release()
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", base + 30))
        squatter.listen()
        block = take_block()
        block.release()
    assert block.base != base


@pytest.mark.parametrize("offset", [0, 20, -1])
def test_an_offset_among_the_replicas_is_refused(offset: int) -> None:
    block = take_block()
    try:
        with pytest.raises(ValueError, match="outside 1 to 19"):
            block.port(offset)
    finally:
        block.release()


def test_a_port_is_free_until_somebody_listens() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        server.listen()
        assert not is_free("127.0.0.1", port)
    assert is_free("127.0.0.1", port)
