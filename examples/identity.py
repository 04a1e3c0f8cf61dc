"""Who a value is, and who a function is: run it with `.venv/bin/python examples/identity.py`.

The takings of a shop are computed from orders and settings, lists and dicts that nobody can hash.
Results are kept under what the arguments hold and under who the function is. So a result is found
again as long as it would come out the same, and not when a rate or a helper was changed.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import retain

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

SHOP = """
RATES = {"EUR": 1.0, "USD": 0.9}


def convert(amount, currency):
    return amount * RATES[currency]


def takings(orders, settings):
    total = sum(convert(order["amount"], order["currency"]) for order in orders)
    return round(total * (1 + settings["tax"]), 2)
"""
EDITS = {
    "a comment in the helper": ("return amount", "# into euros\n    return amount"),
    "the helper charges a fee": ("RATES[currency]", "RATES[currency] - 0.5"),
    "the helper as it was": ("- 0.5", ""),
}


def new_orders() -> list[dict[str, Any]]:
    """Return the same orders each time, as objects of their own."""
    return [{"amount": 10 * number, "currency": ("EUR", "USD")[number % 2]} for number in range(1000)]


def values() -> None:
    """Show who a value is, and who has no identity."""
    print("retain.hash: equal however it was made, in every process")
    print(f"  {retain.hash({'tax': 0.2, 'lines': [1, 2]})}")
    print(f"  {retain.hash({'lines': [1, 2], 'tax': 0.2})}")
    print(f"  {retain.hash({'lines': (1, 2), 'tax': 0.2})}  (a tuple is no list)")
    try:
        retain.hash({"lines": [1, 2], "log": sys.stdout})
    except TypeError as error:
        print(f"  {str(error).partition(': leave')[0]}")


def arguments(shop: ModuleType) -> None:
    """Show a memoized function whose arguments cannot be hashed."""
    takings = retain.memoize(shop.takings)
    orders = new_orders()
    takings(orders, {"tax": 0.2})
    takings(new_orders(), settings={"tax": 0.2})
    orders[7]["amount"] += 1
    takings(orders, {"tax": 0.2})
    info = takings.cache_info()
    print("\nretain.memoize: the same orders made anew are a hit, changed ones a miss")
    print(f"  {info.hits} hit, {info.misses} misses")


class Results:
    """Results under who the function is and what the arguments hold."""

    def __init__(self) -> None:
        self.kept = retain.Cache()

    def show(self, what: str, function: Callable[..., Any]) -> None:
        """Get the takings, and print whether they had to be computed."""
        identity = retain.identity(function)
        arguments = new_orders(), {"tax": 0.2}
        key = identity.digest, retain.hash(arguments)
        known = key in self.kept
        result = self.kept.get_or_insert(key, lambda _: function(*arguments))
        print(f"  {what:<26} {identity.digest[:12]}  {'kept' if known else 'computed':<8} {result:>12,.2f}")


def functions(shop: ModuleType, file: Path) -> None:
    """Show which changes make a function another one."""
    print("\nretain.identity: what makes takings() another function, and what does not")
    results = Results()
    results.show("the first time", shop.takings)
    results.show("once more", shop.takings)
    shop.RATES["USD"] = 0.8
    results.show("a rate changed in place", shop.takings)
    shop.RATES["USD"] = 0.9
    results.show("the rate as it was", shop.takings)
    for what, (old, new) in EDITS.items():
        file.write_text(file.read_text().replace(old, new))
        importlib.reload(shop)
        results.show(what, shop.takings)
    print("\nretain.explain: why")
    retain.explain(shop.takings)


def main() -> None:
    """Show all that, with a module that is edited on the way."""
    sys.dont_write_bytecode = True
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "shop.py")
        file.write_text(SHOP)
        sys.path.insert(0, folder)
        shop = importlib.import_module("shop")
        values()
        arguments(shop)
        functions(shop, file)


if __name__ == "__main__":
    main()
