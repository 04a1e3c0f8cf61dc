"""What a function is made of besides its own lines."""

from truth.lab import situation


@situation(right="6* 8*", joblib="6* 6")
def closure_cell(lab):
    """Two functions of one `def` with other values in a closure."""
    lab.run("""
        def times(n):
            @memory.cache
            def scaled(x):
                print("computing")
                return n * x
            return scaled
        show(times(3), 2)
        show(times(4), 2)
    """)


@situation(right="6* 8*", joblib="6* 6")
def closure_cell_next_run(lab):
    """A closure's value is another one in the next run."""
    for n in (3, 4):
        lab.run(f"""
            def times(n):
                @memory.cache
                def scaled(x):
                    print("computing")
                    return n * x
                return scaled
            show(times({n}), 2)
        """)


@situation(right="6* 8*", joblib="6* 6", threads="#1026")
def global_number(lab):
    """A global that the function reads is another number in the next run."""
    for n in (3, 4):
        lab.run(f"""
            N = {n}
            @memory.cache
            def scaled(x):
                print("computing")
                return N * x
            show(scaled, 2)
        """)


@situation(right="6* 8* 6", joblib="6* 6 6", threads="#1026")
def global_number_in_one_run(lab):
    """A global is set between two calls, and back."""
    lab.run("""
        N = 3
        @memory.cache
        def scaled(x):
            print("computing")
            return N * x
        show(scaled, 2)
        N = 4
        show(scaled, 2)
        N = 3
        show(scaled, 2)
    """)


@situation(right="6* 8*", joblib="6* 6", threads="#1026")
def global_dict_in_place(lab):
    """A dict that the function reads is changed in place."""
    lab.run("""
        options = {"factor": 3}
        @memory.cache
        def scaled(x):
            print("computing")
            return options["factor"] * x
        show(scaled, 2)
        options["factor"] = 4
        show(scaled, 2)
    """)


@situation(right="6* 8*", joblib="6* 6", threads="#1026")
def constant_of_another_module(lab):
    """A constant in an imported module is edited."""
    for n in (3, 4):
        lab.write(settings=f"FACTOR = {n}\n")
        lab.run("""
            import settings
            @memory.cache
            def scaled(x):
                print("computing")
                return settings.FACTOR * x
            show(scaled, 2)
        """)


@situation(right="6* 8*", joblib="6* 6", threads="#1026")
def attribute_of_a_global_object(lab):
    """An attribute of an object that the function reads is set."""
    lab.run("""
        class Settings:
            factor = 3
        settings = Settings()
        @memory.cache
        def scaled(x):
            print("computing")
            return settings.factor * x
        show(scaled, 2)
        settings.factor = 4
        show(scaled, 2)
    """)


@situation(right="3* 4*", joblib="3* 3", threads="#1621, #1287")
def helper(lab):
    """A function that it calls is edited."""
    for n in (1, 2):
        lab.run(f"""
            def helper(x):
                return x + {n}
            @memory.cache
            def function(x):
                print("computing")
                return helper(x)
            show(function, 2)
        """)


@situation(right="3* 4*", joblib="3* 3", threads="#1621, #59")
def helper_of_a_helper(lab):
    """A function is edited that a function calls that it calls."""
    for n in (1, 2):
        lab.run(f"""
            def last(x):
                return x + {n}
            def middle(x):
                return last(x)
            @memory.cache
            def function(x):
                print("computing")
                return middle(x)
            show(function, 2)
        """)


@situation(right="3* 4*", joblib="3* 3", threads="#1621, #59")
def helper_of_another_module(lab):
    """A helper in another module is edited."""
    for n in (1, 2):
        lab.write(
            helpers=f"""
            def helper(x):
                return x + {n}
        """
        )
        lab.run("""
            from helpers import helper
            @memory.cache
            def function(x):
                print("computing")
                return helper(x)
            show(function, 2)
        """)


@situation(right="3* 4*", joblib="3* 3", threads="#1621")
def helper_imported_inside(lab):
    """A helper is edited that is imported inside the function."""
    for n in (1, 2):
        lab.write(
            package____init__="",
            package__helpers=f"""
            def helper(x):
                return x + {n}
        """,
        )
        lab.run("""
            @memory.cache
            def function(x):
                from package.helpers import helper
                print("computing")
                return helper(x)
            show(function, 2)
        """)


@situation(right="3* 4*", joblib="3* 3", threads="#1026")
def method_of_a_class(lab):
    """A method of a class is edited that the function makes use of."""
    for n in (1, 2):
        lab.run(f"""
            class Model:
                def predict(self, x):
                    return x + {n}
            @memory.cache
            def function(x):
                print("computing")
                return Model().predict(x)
            show(function, 2)
        """)


@situation(right="3* 4*", joblib="3* 3")
def property_of_a_class(lab):
    """A property of a class is edited that the function makes use of."""
    for n in (1, 2):
        lab.run(f"""
            class Model:
                @property
                def offset(self):
                    return {n}
            @memory.cache
            def function(x):
                print("computing")
                return x + Model().offset
            show(function, 2)
        """)


@situation(right="3* 4*", joblib="3* 3")
def base_class(lab):
    """A base class in another module is edited."""
    for n in (1, 2):
        lab.write(
            bases=f"""
            class Base:
                def predict(self, x):
                    return x + {n}
        """
        )
        lab.run("""
            from bases import Base
            class Model(Base):
                pass
            @memory.cache
            def function(x):
                print("computing")
                return Model().predict(x)
            show(function, 2)
        """)


@situation(right="3* 4*", joblib="3* 3")
def table_of_functions(lab):
    """A function is edited that is found in a table of functions."""
    for n in (1, 2):
        lab.run(f"""
            def plus(x):
                return x + {n}
            VERBS = {{"plus": plus}}
            @memory.cache
            def function(verb, x):
                print("computing")
                return VERBS[verb](x)
            show(function, "plus", 2)
        """)


@situation(right="3* 4*", joblib="3* 3", threads="#59")
def memoized_helper(lab):
    """A helper is edited that is memoized itself."""
    for n in (1, 2):
        lab.run(f"""
            @memory.cache
            def helper(x):
                return x + {n}
            @memory.cache
            def function(x):
                print("computing")
                return helper(x)
            show(function, 2)
        """)


@situation(right="0* 2* 4*", joblib="0* 0 0")
def functions_of_a_loop(lab):
    """Functions made in a loop read the variable of the loop."""
    lab.run("""
        for i in range(3):
            @memory.cache
            def scaled(x):
                print("computing")
                return i * x
            show(scaled, 2)
    """)


@situation(right="3* 4*", joblib="3* 3", threads="#649")
def lambdas_of_one_line(lab):
    """Two lambdas of one line."""
    lab.run("""
        def told(value):
            print("computing")
            return value
        plus, twice = memory.cache(lambda x: told(x + 2)), memory.cache(lambda x: told(x * 4))
        show(plus, 1)
        show(twice, 1)
    """)


@situation(right="1* 2* 1 2", joblib="1* 2* 2 2", threads="#649, #1060")
def same_name(lab):
    """Two functions of the same name in one file, called in turn."""
    lab.run("""
        def function(x):
            print("computing")
            return 1
        one = memory.cache(function)
        def function(x):
            print("computing")
            return 2
        two = memory.cache(function)
        show(one, 0)
        show(two, 0)
        show(one, 0)
        show(two, 0)
    """)


@situation(right="a* b*", joblib="a* a", threads="#1606")
def decorated_without_wraps(lab):
    """Two functions under one decorator that does not use functools.wraps."""
    lab.run("""
        def decorated(function):
            def wrapper(*args):
                return function(*args)
            return wrapper
        @memory.cache
        @decorated
        def one(x):
            print("computing")
            return "a"
        @memory.cache
        @decorated
        def two(x):
            print("computing")
            return "b"
        show(one, 0)
        show(two, 0)
    """)


@situation(right="3* 4*", joblib="3* 3", threads="#1234")
def decorated_with_wraps(lab):
    """A decorated function is edited (its decorator uses functools.wraps)."""
    for n in (1, 2):
        lab.run(f"""
            import functools
            def logged(function):
                @functools.wraps(function)
                def wrapper(*args, **kwargs):
                    return function(*args, **kwargs)
                return wrapper
            @memory.cache
            @logged
            def function(x):
                print("computing")
                return x + {n}
            show(function, 2)
        """)


@situation(right="6* 8*", joblib="6* 6", threads="#1234")
def argument_of_a_decorator(lab):
    """The argument of a decorator is edited."""
    for n in (3, 4):
        lab.run(f"""
            import functools
            def times(n):
                def decorator(function):
                    @functools.wraps(function)
                    def wrapper(x):
                        return n * function(x)
                    return wrapper
                return decorator
            @memory.cache
            @times({n})
            def function(x):
                print("computing")
                return x
            show(function, 2)
        """)


@situation(right="3* 4* 3 4", joblib="3* 4* 3* 4*", threads="#1497")
def partials(lab):
    """Two partials of one function, called in turn."""
    lab.run("""
        from functools import partial
        def add(x, y):
            print("computing")
            return x + y
        one, two = memory.cache(partial(add, y=1)), memory.cache(partial(add, y=2))
        show(one, 2)
        show(two, 2)
        show(one, 2)
        show(two, 2)
    """)


@situation(right="3* 3", joblib="3* 3*", threads="#1497")
def partial_in_the_next_run(lab):
    """A partial of a function in the next run."""
    for seed in (1, 2):
        lab.run(
            """
            from functools import partial
            def add(x, y):
                print("computing")
                return x + y
            show(memory.cache(partial(add, y=1)), 2)
        """,
            seed=seed,
        )


CALLABLE = """
    class Scaled:
        def __init__(self, n):
            self.n = n
        def __repr__(self):
            return "Scaled()"
        def __call__(self, x):
            print("computing")
            return self.n * x
"""


@situation(right="6* 8* 6", joblib="6* 6 6", threads="#981")
def callable_objects(lab):
    """Callable objects with a state of their own."""
    lab.run(
        CALLABLE
        + """
    one, two = memory.cache(Scaled(3)), memory.cache(Scaled(4))
    show(one, 2)
    show(two, 2)
    show(one, 2)
    """
    )


@situation(right="6* 6", joblib="6* 6*", threads="#981")
def callable_object_in_the_next_run(lab):
    """A callable object in the next run."""
    for seed in (1, 2):
        lab.run(
            """
            class Scaled:
                def __init__(self, n):
                    self.n = n
                def __call__(self, x):
                    print("computing")
                    return self.n * x
            show(memory.cache(Scaled(3)), 2)
        """,
            seed=seed,
        )


@situation(right="6* 6", joblib="6* 6*")
def callable_object_by_keyword(lab):
    """A callable object, its argument given by position and by name."""
    lab.run(
        CALLABLE
        + """
    scaled = memory.cache(Scaled(3))
    show(scaled, 2)
    show(scaled, x=2)
    """
    )


@situation(right="3* 3", joblib="3* 3*", threads="#1497")
def partial_by_keyword(lab):
    """A partial, its argument given by position and by name."""
    lab.run("""
        from functools import partial
        def add(x, y):
            print("computing")
            return x + y
        one = memory.cache(partial(add, y=1))
        show(one, 2)
        show(one, x=2)
    """)


@situation(right="3* 4*", joblib="3* 3", threads="#1363")
def method_that_a_method_calls(lab):
    """A bound method is memoized; a method is edited that it calls."""
    for n in (1, 2):
        lab.run(f"""
            class Model:
                def offset(self):
                    return {n}
                def predict(self, x):
                    print("computing")
                    return x + self.offset()
            show(memory.cache(Model().predict), 2)
        """)


@situation(right="6* 8*", joblib="6* 6")
def attribute_of_the_class(lab):
    """A bound method is memoized; an attribute of the class is set."""
    lab.run("""
        class Model:
            factor = 3
            def predict(self, x):
                print("computing")
                return x * self.factor
        model = Model()
        predict = memory.cache(model.predict)
        show(predict, 2)
        Model.factor = 4
        show(memory.cache(model.predict), 2)
    """)


@situation(right="3* 4*", joblib="3* 3")
def version_of_a_library(lab):
    """A library that the function uses is upgraded."""
    for n in (1, 2):
        lab.write(
            **{
                "site-packages__library": f"""
            def offset(x):
                return x + {n}
        """
            }
        )
        lab.write(
            calls="""
            import library
            def function(x):
                print("computing")
                return library.offset(x)
        """
        )
        lab.run(f"""
            import os, shutil
            for old in os.listdir("site-packages"):
                if old.endswith(".dist-info"):
                    shutil.rmtree("site-packages/" + old)
            os.mkdir("site-packages/library-{n}.0.dist-info")
            with open("site-packages/library-{n}.0.dist-info/METADATA", "w") as file:
                file.write("Metadata-Version: 2.1\\nName: library\\nVersion: {n}.0\\n")
            from calls import function
            show(memory.cache(function), 2)
        """)


@situation(right="3* 4*", joblib="3* 3")
def default_that_is_a_function(lab):
    """A function is edited that is the default of an argument."""
    for n in (1, 2):
        lab.run(f"""
            def add(x):
                return x + {n}
            @memory.cache
            def function(x, verb=add):
                print("computing")
                return verb(x)
            show(function, 2)
        """)


@situation(right="3* 3", joblib="3* 3*")
def function_of_lru_cache(lab):
    """A function under functools.lru_cache, in the next run."""
    for seed in (1, 2):
        lab.run(
            """
            import functools
            @memory.cache
            @functools.lru_cache
            def function(x):
                print("computing")
                return x + 1
            show(function, 2)
        """,
            seed=seed,
        )


@situation(right="3* 4*", joblib="3* 3")
def callback_of_a_partial_helper(lab):
    """A partial among the globals binds another value in the next run."""
    for n in (1, 2):
        lab.run(f"""
            from functools import partial
            def add(x, y):
                return x + y
            offset = partial(add, y={n})
            @memory.cache
            def function(x):
                print("computing")
                return offset(x)
            show(function, 2)
        """)
