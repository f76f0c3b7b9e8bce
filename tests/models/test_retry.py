import pytest

from triton_operator.models.failure import PrepareError, Reason
from triton_operator.models.progress import Progress
from triton_operator.models.remote import TransientError
from triton_operator.models.retry import Patience, persist


class Clock:
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def patience(self, seconds: float, *, share: float = 1.0) -> Patience:
        return Patience(seconds, clock=lambda: self.now, sleep=self.sleep, share=lambda: share)


class Flaky:
    """Fails a number of times before it answers."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    async def __call__(self) -> str:
        if self.failures:
            self.failures -= 1
            raise TransientError("https://host answers 503 SlowDown.")
        return "answer"


async def test_what_fails_for_a_moment_is_tried_again_after_growing_pauses() -> None:
    clock = Clock()

    assert await persist(clock.patience(300), Flaky(8)) == "answer"

    assert clock.waits == [0.5, 1, 2, 4, 8, 16, 20, 20]


async def test_pauses_differ_by_chance_so_that_pods_do_not_come_back_at_the_same_moment() -> None:
    clock = Clock()

    await persist(clock.patience(300, share=0.0), Flaky(3))

    assert clock.waits == [0.25, 0.5, 1]


async def test_without_progress_it_is_given_up_with_what_failed() -> None:
    clock = Clock()

    with pytest.raises(PrepareError, match="answers 503 SlowDown") as caught:
        await persist(clock.patience(300), Flaky(10_000))

    assert caught.value.reason is Reason.UNREACHABLE
    assert 300 <= clock.now - 1000 < 330


async def test_progress_gives_new_patience() -> None:
    clock = Clock()
    patience = clock.patience(300)
    for _ in range(100):
        patience.progress()
        await patience.pause(10, TransientError("slow"))

    assert clock.now - 1000 == 2000


@pytest.mark.parametrize(
    ("done", "more", "seconds", "line"),
    [
        pytest.param(0, 0, 5, "m: 0 bytes of 2.0 GiB (0 %), 0 bytes/s, nothing has come yet", id="nothing"),
        pytest.param(0, 2**29, 4, "m: 512.0 MiB of 2.0 GiB (25 %), 128.0 MiB/s, 12 s left", id="a quarter"),
        pytest.param(
            2**30,
            2**29,
            2,
            "m: 1.5 GiB of 2.0 GiB (75 %), 256.0 MiB/s, 1.0 GiB of it from a former try, 2 s left",
            id="after a former try",
        ),
        pytest.param(0, 2**31, 400, "m: 2.0 GiB of 2.0 GiB (100 %), 5.1 MiB/s", id="all"),
        pytest.param(0, 2**20, 1, "m: 1.0 MiB of 2.0 GiB (0 %), 1.0 MiB/s, 34 min left", id="slow"),
    ],
)
def test_the_log_says_how_far_it_is(done: int, more: int, seconds: float, line: str) -> None:
    times = iter([0.0, seconds])
    progress = Progress(2**31, done=done, clock=lambda: next(times))
    progress.add(more)

    assert progress.line("m") == line
