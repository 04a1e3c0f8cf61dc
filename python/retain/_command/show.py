"""
Print the outline of a file's value: plain data, arrays by shape and dtype, objects by class. Nothing is run.

Of a memory's entry, which is told by how its name begins, also what it is the result of.
"""

from __future__ import annotations

from retain._command import GOOD, NOT_GOOD, ComplaintError, _say, print_json
from retain._command.store import add_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from retain._command.store import Entry

SUMMARY = "print the outline of a file's or an entry's value, without running it"


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument(
        "file", metavar="FILE", help="a file of retain, joblib or pickle; .npy, .npz, .safetensors; a memory's folder"
    )
    parser.add_argument("entry", nargs="?", metavar="ENTRY", help="the entry of the memory, as `retain ls` prints it")
    parser.add_argument("--depth", type=_count, default=4, metavar="N", help="how deep to go (default: 4)")
    parser.add_argument(
        "--items", type=_count, default=10, metavar="N", help="how many members of each container (default: 10)"
    )
    add_key(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def _count(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 1_000_000:
        raise ValueError
    return number


def run(options: Namespace) -> int:
    """Run the verb."""
    from retain._files.errors import UnsafeFileError
    from retain._files.showing import show

    # Deeper than this, the printing itself would run out of stack.
    depth = min(options.depth, 200)
    if options.entry is not None:
        return _show_entry(options, depth)
    try:
        node = show(options.file, options.items)
    except IsADirectoryError:
        raise ComplaintError(f"{options.file}: is a folder; which of its entries? (`retain ls` lists them)") from None
    except UnsafeFileError as error:
        _say(str(error))
        return NOT_GOOD
    if options.json:
        print_json({"filename": options.file, **node.as_dict(depth)})
    else:
        for line in node.lines(depth):
            print(line)
    return GOOD


def _show_entry(options: Namespace, depth: int) -> int:
    from pickle import UnpicklingError

    from retain._command.store import named, opened, stored
    from retain._files.showing import outlined

    options.folder = options.file
    store = opened(options)
    (entry,) = named(store, [options.entry])
    payload, value = stored(store, entry), None
    why = "not shown, since it has ended, or was removed or found damaged meanwhile"
    if payload is not None:
        try:
            value = outlined(payload, options.items)
        except (UnpicklingError, FileNotFoundError) as error:
            why = str(error)
    if options.json:
        shown = {"not_shown": why} if value is None else {"value": value.as_dict(depth)}
        print_json({**entry.as_dict(), **shown})
    else:
        for line in _about(entry):
            print(line)
        print(flush=True)
        if value is None:
            _say(why)
        for line in value.lines(depth) if value else ():
            print(line)
    return NOT_GOOD if value is None else GOOD


def _about(entry: Entry) -> Iterator[str]:
    import time

    from retain._command.tables import BOLD, is_coloured, painted
    from retain._files.report import columns, size, visible
    from retain._memory.showing import ago, duration

    now = time.time()
    yield painted(visible(entry.function), BOLD if is_coloured() else "")
    if entry.arguments:
        yield from columns([(visible(name), visible(text)) for name, text in entry.arguments.items()])
    rows = [
        ("entry", entry.name),
        ("created", _moment(entry.created, now)),
        ("used", ago(entry.used, now)),
        ("took", duration(entry.cost)),
        ("size", size(entry.size)),
    ]
    if entry.expires is not None:
        rows.append(("ends", _moment(entry.expires, now)))
    yield from columns(rows, "")


def _moment(then: float, now: float) -> str:
    import time

    from retain._memory.showing import ago

    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(then))} ({ago(then, now)})"
