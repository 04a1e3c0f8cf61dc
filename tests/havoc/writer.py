"""
Call memorized functions until the input ends, and check what comes back.

Prints a line for each result that is kept for good, once the call has returned; and one for each that is wrong.
"""

import os
import random
import sys
import threading

import functions


def main():
    location, layout, seed = sys.argv[1:]
    chance = random.Random(int(seed))
    cached, _ = functions.memorized(location, layout, ram_bytes=0)
    print("started", flush=True)
    threading.Thread(target=end_with_the_input, daemon=True).start()
    while True:
        which = chance.randrange(len(cached))
        kept = cached[which]
        if chance.random() < 0.5:
            number = chance.randrange(functions.COLD, 10**9)
        else:
            number = chance.randrange(40)
        value = kept(number)
        if value != functions.ALL[which](number):
            print("wrong", which, number, flush=True)
        if number >= functions.COLD:
            # What is said here was acknowledged.
            print("kept", which, number, flush=True)
        elif chance.random() < 0.1:
            kept.invalidate(number)


def end_with_the_input():
    sys.stdin.read()
    os._exit(0)


main()
