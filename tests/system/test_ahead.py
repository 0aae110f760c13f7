import threading
import time

from lulcmap.system import threads


def slept(job: int) -> int:
    time.sleep(0.02)
    return job


def test_results_come_in_the_order_of_the_jobs():
    with threads() as workers:
        assert list(workers.ahead(slept, range(20))) == list(range(20))


def test_results_that_nobody_takes_do_not_hold_up_the_end():
    with threads() as workers:
        results = workers.ahead(slept, range(100))
        assert next(results) == 0

    closing = threading.Thread(target=results.close, daemon=True)
    closing.start()
    closing.join(10)

    assert not closing.is_alive()
