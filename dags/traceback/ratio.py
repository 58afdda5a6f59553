"""ratio.py A B: one through the other."""

import sys


def ratio(a, b):
    return a / b


print(ratio(*map(float, sys.argv[1:])))
