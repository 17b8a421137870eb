import threading

import pytest

from kit.parallel import ordered_map


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
