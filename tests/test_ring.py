from __future__ import annotations

import threading

from edge_detect.ring import Ring


def filled(ring: Ring, n: int, size: int = 10) -> Ring:
    for number in range(n):
        ring.append(number / 10, bytes(size))
    return ring


def numbers(ring: Ring) -> list[int]:
    return [picture.number for picture in ring.take(0, 1000)]


def test_bytes_are_bounded_and_the_oldest_go() -> None:
    ring = filled(Ring(45), 10)

    assert numbers(ring) == [6, 7, 8, 9]
    assert ring.size == 40


def test_seconds_are_bounded() -> None:
    assert numbers(filled(Ring(10_000, seconds=0.35), 10)) == [6, 7, 8, 9]


def test_the_newest_stays_whatever_its_size() -> None:
    ring = filled(Ring(5), 3)

    assert numbers(ring) == [2]
    assert ring.newest is not None
    assert ring.newest.number == 2


def test_an_empty_ring_has_nothing() -> None:
    ring = Ring(100)

    assert (ring.newest, ring.take(0, 5), ring.since(0.0), ring.size) == (None, [], 0, 0)


def test_what_was_before_a_moment_is_found() -> None:
    ring = filled(Ring(10_000), 10)

    assert [ring.since(at) for at in (-1.0, 0.35, 0.9, 5.0)] == [0, 4, 9, 10]


def test_a_reader_who_is_late_gets_what_is_left() -> None:
    ring = filled(Ring(45), 10)

    assert [picture.number for picture in ring.take(2, 3)] == [6, 7, 8]
    assert ring.take(10, 3) == []


def test_who_adds_and_who_reads_do_not_meet() -> None:
    ring, seen = Ring(500), []
    writer = threading.Thread(target=filled, args=(ring, 3000))
    writer.start()
    at = 0
    while writer.is_alive() or ring.take(at, 1):
        for picture in ring.take(at, 16):
            seen.append(picture.number)
            at = picture.number + 1
    writer.join()

    assert seen == sorted(set(seen))
    assert seen[-1] == 2999
