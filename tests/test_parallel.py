import threading

import pytest

from kit.base.parallel import ordered_map


def test_results_in_order_and_few_items_in_flight():
    taken = []

    def items():
        for i in range(50):
            taken.append(i)
            yield i

    results = ordered_map(lambda i: i * i, items(), 2)
    assert next(results) == 0
    assert len(taken) <= 4
    assert list(results) == [i * i for i in range(1, 50)]


def test_an_error_comes_through():
    def broken(i):
        raise ValueError(threading.current_thread().name)

    with pytest.raises(ValueError, match="ThreadPool"):
        list(ordered_map(broken, [1], 2))


def test_nothing_to_do():
    assert list(ordered_map(str, [], 2)) == []


def test_after_an_error_nothing_is_begun_and_no_thread_is_left():
    begun = []

    def work(i):
        begun.append(i)
        if i == 1:
            raise ValueError(i)
        return i

    before = threading.active_count()
    with pytest.raises(ValueError, match="1"):
        list(ordered_map(work, range(1000), 2))
    assert len(begun) <= 5
    assert threading.active_count() == before


def test_an_error_behind_a_long_item_is_told_when_that_ends():
    gate = threading.Event()

    def work(i):
        if i == 1:
            gate.set()
            raise ValueError(i)
        gate.wait()

    with pytest.raises(ValueError, match="1"):
        list(ordered_map(work, range(10), 2))


def test_a_caller_that_has_enough_leaves_no_thread():
    before = threading.active_count()
    results = ordered_map(str, range(1000), 2)
    assert next(results) == "0"
    results.close()
    assert threading.active_count() == before
