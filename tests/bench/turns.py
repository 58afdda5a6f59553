"""One turn of a measurement: its wall time, and the CPU time of the processes that it waited for."""

import collections
import resource
import time

Turn = collections.namedtuple("Turn", "wall cpu")


def children_cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def turn(work):
    before, began = children_cpu(), time.perf_counter()
    work()
    return Turn(time.perf_counter() - began, children_cpu() - before)
