from earthshine.net.backoff import FIRST, LONGEST, Backoff


def test_waits_grow_to_a_limit():
    backoff = Backoff(lambda: 1.0)
    waits = [backoff.next() for _ in range(40)]
    assert waits[:4] == [FIRST, FIRST * 2, FIRST * 4, FIRST * 8]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST


def test_jitter_spreads_but_never_to_nothing():
    low, high = Backoff(lambda: 0.0), Backoff(lambda: 0.999999)
    for _ in range(10):
        wait = low.next()
        assert 0.19 * FIRST <= wait <= high.next()


def test_only_delivered_content_starts_over():
    backoff = Backoff(lambda: 1.0, first=1, longest=8)
    assert [backoff.next() for _ in range(5)] == [1, 2, 4, 8, 8]
    backoff.delivered()
    assert backoff.next() == 1
