"""Section of gpu.py: many small runs on one card, a process for each."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from threading import BrokenBarrierError
from typing import Any

import torch
from gpu_measure import Bench, Row, one_line
from gpu_small import EAGER, GRAPH, Rate, Small, in_turn, told

from sklab.training.determinism import set_arithmetic

PATIENCE = 30  # seconds in which processes are to meet
Answer = dict[str, Rate | str]  # by how it trains: the rate, or the error


def processes(bench: Bench) -> Iterator[Row]:
    """This process must not have started CUDA: it forks."""
    launched: list[Rate] = []
    for count in bench.size((1, 4, 16), (1, 2)):
        answers = _together(bench, count)
        for how in (EAGER, GRAPH):
            case, rate = f"{count} {'process' if count == 1 else 'processes'}, {how}", _sum(answers, how)
            if isinstance(rate, str):
                yield {"case": case, "error": rate}
                continue
            if (count, how) == (1, EAGER):
                launched.append(rate)
            yield {"case": case, **told(rate, Small(bench).batch, launched)}


def _together(bench: Bench, count: int) -> list[Answer]:
    """The answers of so many processes that measure at the same time."""
    context = multiprocessing.get_context("fork")
    barrier, pipes, started = context.Barrier(count), [], []
    for seed in range(count):
        mine, its = context.Pipe(duplex=False)
        started.append(context.Process(target=_member, args=(bench, seed, barrier, its)))
        started[-1].start()
        its.close()
        pipes.append(mine)
    answers = [_received(pipe) for pipe in pipes]
    for process in started:
        process.join()
    return answers


def _sum(answers: Sequence[Answer], how: str) -> Rate | str:
    """All steps in the longest of the times, or the first error that is not only that of another."""
    told_by_each = [answer[how] for answer in answers]
    rates = [each for each in told_by_each if isinstance(each, Rate)]
    errors = [each for each in told_by_each if isinstance(each, str)]
    if errors:
        return min(errors, key=lambda error: BrokenBarrierError.__name__ in error)
    return Rate(sum(each.steps for each in rates), max(each.seconds for each in rates))


def _received(pipe: Connection) -> Answer:
    try:
        answer: Answer = pipe.recv()
    except EOFError:
        return dict.fromkeys((EAGER, GRAPH), "a process died")
    return answer


def _member(bench: Bench, seed: int, barrier: Any, pipe: Connection) -> None:
    torch.set_num_threads(1)
    answer: Answer = {}

    def meet() -> None:
        barrier.wait(PATIENCE)

    def launched() -> Rate:
        return experiment.in_lightning(seed, meet)

    def recorded() -> Rate:
        return in_turn(bench, [experiment.run(seed)], meet)

    try:
        experiment = Small(bench)
        set_arithmetic(bench.device, deterministic=experiment.recipe.deterministic)
        for how, measure in ((EAGER, launched), (GRAPH, recorded)):
            answer[how] = measure()
    except Exception as error:
        barrier.abort()  # the others would wait in vain
        if not isinstance(error, BrokenBarrierError):
            traceback.print_exc()
        answer = {EAGER: one_line(error), GRAPH: one_line(error), **answer}
    pipe.send(answer)
