"""Arguments that are equal and look different, or look equal and are different."""

from truth.lab import situation

# What is returned does not matter in these: only whether it was computed.
G = """
    @memory.cache
    def function(*args):
        print("computing")
        return "value"
"""


@situation(right="value* value", joblib="value* value*")
def set_of_texts(lab):
    """A frozenset of texts, in the next run (PYTHONHASHSEED is another)."""
    for seed in (1, 2):
        lab.run(
            G
            + """
    show(function, frozenset(["alpha", "beta", "gamma", "delta"]))
    """,
            seed=seed,
        )


@situation(right="value* value", joblib="value* value*")
def frozenset_order(lab):
    """A frozenset made in another order."""
    lab.run(
        G
        + """
    show(function, frozenset([0, 8, 16]))
    show(function, frozenset([16, 8, 0]))
    """
    )


@situation(right="value* value", joblib="value* value")
def set_of_mixed_kinds(lab):
    """A set of texts and numbers, in the next run."""
    for seed in (1, 2):
        lab.run(
            G
            + """
    show(function, {"alpha", 2, None})
    """,
            seed=seed,
        )


@situation(right="value* value", joblib="value* value")
def dict_of_mixed_keys(lab):
    """A dict with texts and numbers for keys, in the next run."""
    for seed in (1, 2):
        lab.run(
            G
            + """
    show(function, {"alpha": 1, 2: 2})
    """,
            seed=seed,
        )


@situation(right="value* value", joblib="value* value")
def set_of_sets(lab):
    """A set of sets, made in another order."""
    lab.run(
        G
        + """
    parts = [frozenset([n]) for n in range(8)]
    show(function, set(parts))
    show(function, set(reversed(parts)))
    """
    )


@situation(right="-1* -2*", joblib="-1* -2*")
def minus_one_in_a_set(lab):
    """-1 and -2, which Python hashes alike, in sets of mixed kinds."""
    lab.run("""
    @memory.cache
    def function(numbers):
        print("computing")
        return min(number for number in numbers if number is not None)
    show(function, {-1, None})
    show(function, {-2, None})
    """)


@situation(right="3* 4*", joblib="3* 4*")
def equal_hashes_in_a_set(lab):
    """Objects in a set whose __hash__ leaves out a field."""
    lab.run("""
    class Point:
        def __init__(self, name, x):
            self.name, self.x = name, x
        def __hash__(self):
            return len(self.name)
        def __eq__(self, other):
            return vars(self) == vars(other)
    @memory.cache
    def function(points):
        print("computing")
        return sum(point.x for point in points)
    show(function, {Point("a", 3)})
    show(function, {Point("a", 4)})
    """)


@situation(right="value* value", joblib="value* value*", threads="#1283")
def shared_list(lab):
    """Equal lists, of which one holds a part twice."""
    lab.run(
        G
        + """
    part, other = ["test"], ["test"]
    show(function, [{"a": part}, part])
    show(function, [{"a": other}, part])
    """
    )


@situation(right="value* value", joblib="value* value*", threads="#393")
def shared_numpy_number(lab):
    """Equal dicts, of which one holds a number of numpy's twice."""
    lab.run(
        """
    import numpy as np
    """
        + G
        + """
    number = np.int64(10)
    show(function, {"a": number, "b": number})
    show(function, {"a": number, "b": np.int64(10)})
    """
    )


@situation(right="value* value", joblib="value* value*", threads="#1283")
def shared_date(lab):
    """Equal lists of dates, of which one holds a date twice."""
    lab.run(
        """
    import datetime
    """
        + G
        + """
    day = datetime.date(2024, 5, 17)
    show(function, [day, day])
    show(function, [day, datetime.date(2024, 5, 17)])
    """
    )


@situation(right="value* value", joblib="value* value*", threads="#231, #1283")
def pickled_and_restored(lab):
    """A value with a tuple in it twice, pickled and restored in parts."""
    lab.run(
        """
    import pickle
    """
        + G
        + """
    pair = (1, 2)
    value = [pair, pair]
    show(function, value)
    show(function, [pickle.loads(pickle.dumps(each)) for each in value])
    """
    )


@situation(right="3* 4*", joblib="3* 3", threads="#1026")
def function_as_an_argument(lab):
    """A function that is an argument is edited."""
    for n in (1, 2):
        lab.write(
            verbs=f"""
            def add(x):
                return x + {n}
        """
        )
        lab.run("""
            from verbs import add
            @memory.cache
            def apply(verb, x):
                print("computing")
                return verb(x)
            show(apply, add, 2)
        """)


@situation(right="3* 4*", joblib="3* 3")
def class_as_an_argument(lab):
    """A class that is an argument is edited."""
    for n in (1, 2):
        lab.write(
            models=f"""
            class Model:
                def predict(self, x):
                    return x + {n}
        """
        )
        lab.run("""
            from models import Model
            @memory.cache
            def apply(model, x):
                print("computing")
                return model().predict(x)
            show(apply, Model, 2)
        """)


@situation(right="3* 4*", joblib="3* 3")
def instance_as_an_argument(lab):
    """The class of an argument is edited."""
    for n in (1, 2):
        lab.write(
            models=f"""
            class Model:
                def predict(self, x):
                    return x + {n}
        """
        )
        lab.run("""
            from models import Model
            @memory.cache
            def apply(model, x):
                print("computing")
                return model.predict(x)
            show(apply, Model(), 2)
        """)


@situation(right="3* 4*", joblib="3* 3")
def bound_method_as_an_argument(lab):
    """A bound method that is an argument is edited."""
    for n in (1, 2):
        lab.write(
            models=f"""
            class Model:
                def predict(self, x):
                    return x + {n}
        """
        )
        lab.run("""
            from models import Model
            @memory.cache
            def apply(verb, x):
                print("computing")
                return verb(x)
            show(apply, Model().predict, 2)
        """)


@situation(right="3* 4*", joblib="3* 3")
def partial_as_an_argument(lab):
    """The function of a partial that is an argument is edited."""
    for n in (1, 2):
        lab.write(
            verbs=f"""
            def add(x, y):
                return x + y + {n}
        """
        )
        lab.run("""
            from functools import partial
            from verbs import add
            @memory.cache
            def apply(verb, x):
                print("computing")
                return verb(x)
            show(apply, partial(add, y=0), 2)
        """)


@situation(right="3* 4* 3", joblib="PicklingError PicklingError PicklingError", threads="#274, #225")
def lambda_as_an_argument(lab):
    """Lambdas as arguments."""
    lab.run("""
        @memory.cache
        def apply(verb, x):
            print("computing")
            return verb(x)
        show(apply, lambda x: x + 1, 2)
        show(apply, lambda x: x + 2, 2)
        show(apply, lambda x: x + 1, 2)
    """)


@situation(right="3* 4* 3", joblib="PicklingError PicklingError PicklingError", threads="#274")
def inner_function_as_an_argument(lab):
    """Functions made by a function as arguments."""
    lab.run("""
        def adding(n):
            def add(x):
                return x + n
            return add
        @memory.cache
        def apply(verb, x):
            print("computing")
            return verb(x)
        show(apply, adding(1), 2)
        show(apply, adding(2), 2)
        show(apply, adding(1), 2)
    """)


@situation(right="5* 5", joblib="PicklingError PicklingError", threads="#274")
def instance_of_an_inner_class(lab):
    """An instance of a class made in a function."""
    lab.run("""
        def made(n):
            class Point:
                def __init__(self, x):
                    self.x = x
            return Point(n)
        @memory.cache
        def function(point):
            print("computing")
            return point.x
        show(function, made(5))
        show(function, made(5))
    """)


@situation(right="1000* 1000", joblib="RecursionError RecursionError")
def deeply_nested(lab):
    """A list nested 1,000 deep."""
    lab.run("""
    @memory.cache
    def depth(value):
        print("computing")
        count = 0
        while value:
            value, count = value[0], count + 1
        return count
    for _ in range(2):
        value = []
        for _ in range(1000):
            value = [value]
        show(depth, value)
    """)


@situation(right="3* 3", joblib="ValueError ValueError")
def positional_only(lab):
    """An argument that is given by position only."""
    lab.run("""
    @memory.cache
    def function(x, /, y):
        print("computing")
        return x + y
    show(function, 1, 2)
    show(function, 1, y=2)
    """)


@situation(right="((1,),{})* ((),{'x':1})*", joblib="((1,),{})* ((),{'x':1})*")
def by_position_or_by_keyword(lab):
    """A function of any arguments is given one by position, and one by name."""
    lab.run("""
    @memory.cache
    def function(*args, **kwargs):
        print("computing")
        return args, kwargs
    show(function, 1)
    show(function, x=1)
    """)


@situation(right="value* value", joblib="value* value*")
def path_of_a_walk(lab):
    """Equal paths, made in other ways."""
    lab.run(
        """
    from pathlib import Path
    """
        + G
        + """
    show(function, [Path("a/b"), Path("a/b")])
    path = Path("a/b")
    str(path), hash(path)
    show(function, [path, path])
    """
    )
