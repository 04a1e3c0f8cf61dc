"""Read which calls were acknowledged, and tell how many of them are lost or wrong, and what the check of all tells."""

import json
import sys

import functions


def main():
    location, layout = sys.argv[1:]
    cached, memory = functions.memorized(location, layout, ram_bytes=0)
    lost = wrong = asked = 0
    for line in sys.stdin:
        which, number = map(int, line.split())
        asked += 1
        if not cached[which].check_call_in_cache(number):
            lost += 1
        if cached[which](number) != functions.ALL[which](number):
            wrong += 1
    computed = sum(kept.cache_info().misses for kept in cached)
    checked, damaged = memory._store.verify()
    print(
        json.dumps(
            {
                "asked": asked,
                "lost": lost,
                "wrong": wrong,
                "computed": computed,
                "checked": checked,
                "damaged": len(damaged),
            },
        ),
    )
    if asked:
        # What is left is nobody's.
        memory.clear(warn=False)


main()
