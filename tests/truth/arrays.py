"""Arrays, tables and matrices as arguments."""

from truth.lab import situation

G = """
    import numpy as np
    @memory.cache
    def function(*args):
        print("computing")
        return "value"
"""


@situation(right="3* 1*", joblib="3* 3")
def masked_arrays(lab):
    """Images with other pixels masked."""
    lab.run("""
        import numpy as np
        @memory.cache
        def total(array):
            print("computing")
            return int(array.sum())
        show(total, np.ma.array([1, 2], "u1", mask=[False, False]))
        show(total, np.ma.array([1, 2], "u1", mask=[False, True]))
    """)


@situation(right="2metre* 2mile*", joblib="2metre* 2metre")
def array_with_a_unit(lab):
    """Arrays of a subclass that carries a unit."""
    lab.run("""
        import numpy as np
        class Quantity(np.ndarray):
            def __reduce__(self):
                name, arguments, state = super().__reduce__()
                return name, arguments, (state, self.unit)
            def __setstate__(self, state):
                super().__setstate__(state[0])
                self.unit = state[1]
        def quantity(numbers, unit):
            made = np.array(numbers).view(Quantity)
            made.unit = unit
            return made
        @memory.cache
        def described(array):
            print("computing")
            return f"{array.sum()} {array.unit}"
        show(described, quantity([1, 1], "metre"))
        show(described, quantity([1, 1], "mile"))
    """)


@situation(right="value* value", joblib="value* value*", threads="#517")
def strided_view(lab):
    """Every second column of an array, and a copy of them."""
    lab.run(
        G
        + """
    view = np.arange(12.0).reshape(3, 4)[:, ::2]
    show(function, view)
    show(function, view.copy())
    """
    )


@situation(right="value* value", joblib="value* value*")
def reversed_view(lab):
    """An array seen backwards, and a copy of that."""
    lab.run(
        G
        + """
    show(function, np.arange(5)[::-1])
    show(function, np.arange(5)[::-1].copy())
    """
    )


@situation(right="value* value", joblib="value* value*")
def one_column(lab):
    """A column of a table of one row, and a copy of it."""
    lab.run(
        G
        + """
    table = np.arange(12.0).reshape(1, 12)[:, :3]
    show(function, table)
    show(function, np.array([[0.0, 1.0, 2.0]]))
    """
    )


@situation(right="value* value", joblib="value* value*")
def broadcast(lab):
    """A number broadcast to an array, and an array of it."""
    lab.run(
        G
        + """
    show(function, np.broadcast_to(1.5, (3, 2)))
    show(function, np.full((3, 2), 1.5))
    """
    )


@situation(right="value* value", joblib="value* value*")
def memory_map(lab):
    """An array in memory, and the same one mapped from a file."""
    lab.run(
        G
        + """
    array = np.arange(10.0)
    np.save("array.npy", array)
    show(function, array)
    show(function, np.load("array.npy", mmap_mode="r"))
    """
    )


@situation(right="value* value", joblib="value* value*", threads="#517")
def transposed_and_restored(lab):
    """A slice of a transposed array, and what becomes of it by pickling."""
    lab.run(
        G
        + """
    import pickle
    array = np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2)
    show(function, array)
    show(function, pickle.loads(pickle.dumps(array)))
    """
    )


@situation(right="value* value", joblib="value* value", threads="#176, #231")
def arrays_in_objects_restored(lab):
    """Objects with arrays, pickled and restored."""
    lab.run(
        """
    import pickle
    class Data:
        def __init__(self, n):
            self.array, self.number = np.arange(n), np.float64(n)
    """
        + G
        + """
    value = [Data(1), Data(2)]
    show(function, value)
    show(function, pickle.loads(pickle.dumps(value)))
    """
    )


@situation(right="value* value", joblib="value* value*")
def array_of_objects(lab):
    """An array of objects, of which one is there twice."""
    lab.run(
        G
        + """
    pair = (1, 2)
    one, two = np.empty(2, object), np.empty(2, object)
    one[0] = one[1] = two[0] = pair
    two[1] = tuple([1, 2])
    show(function, one)
    show(function, two)
    """
    )


@situation(right="value* value", joblib="value* value*", threads="#1611")
def frame_of_columns(lab):
    """A table made at once, and made column by column."""
    lab.run(
        G
        + """
    import pandas as pd
    numbers = np.arange(6.0).reshape(3, 2)
    one = pd.DataFrame(numbers, columns=["a", "b"])
    two = pd.DataFrame(index=range(3))
    two["a"] = numbers[:, 0].copy()
    two["b"] = numbers[:, 1].copy()
    assert one.equals(two)
    show(function, one)
    show(function, two)
    """
    )


@situation(right="value* value", joblib="value* value", threads="#1611")
def frame_restored(lab):
    """A table, pickled and restored."""
    lab.run(
        G
        + """
    import pickle
    import pandas as pd
    one = pd.DataFrame({"a": [1, 2, 3], "b": [4.0, 5.0, 6.0], "c": ["x", "y", "z"]})
    show(function, one)
    show(function, pickle.loads(pickle.dumps(one)))
    """
    )


@situation(right="value* value", joblib="value* value*", threads="#1611")
def frame_filtered(lab):
    """Rows chosen from a table, and a table of these rows."""
    lab.run(
        G
        + """
    import pandas as pd
    one = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [5.0, 6.0, 7.0, 8.0]})[::2].reset_index(drop=True)
    two = pd.DataFrame({"a": [1.0, 3.0], "b": [5.0, 7.0]})
    assert one.equals(two)
    show(function, one)
    show(function, two)
    """
    )


@situation(right="value* value", joblib="value* value*")
def texts_of_a_table(lab):
    """A column of texts, sliced, and made of these texts."""
    lab.run(
        G
        + """
    import pandas as pd
    one = pd.Series(["a", "b", "c", "d"])[1:3].reset_index(drop=True)
    two = pd.Series(["b", "c"])
    assert one.equals(two)
    show(function, one)
    show(function, two)
    """
    )


@situation(right="value* value", joblib="value* value")
def index_that_was_used(lab):
    """A table whose index has been searched."""
    lab.run(
        G
        + """
    import pandas as pd
    one = pd.DataFrame({"a": [1, 2, 3]}, index=["x", "y", "z"])
    show(function, one)
    one.loc["y"], one.index.is_unique, one.index.get_loc("z")
    show(function, one)
    """
    )


@situation(right="value* value", joblib="value* value*")
def sparse_that_was_asked(lab):
    """A sparse matrix that has been asked whether its indices are sorted."""
    lab.run(
        G
        + """
    import scipy.sparse as sparse
    matrix = sparse.csr_matrix(np.eye(3))
    made = sparse.csr_matrix((matrix.data, matrix.indices, matrix.indptr), shape=(3, 3))
    show(function, made)
    made.has_sorted_indices, made.has_canonical_format
    show(function, made)
    """
    )


@situation(right="value* value", joblib="value* value*")
def shared_time(lab):
    """A column of times, of which one is there twice."""
    lab.run(
        G
        + """
    import pandas as pd
    stamp = pd.Timestamp("2024-05-17")
    one = pd.Series([stamp, stamp], dtype=object)
    two = pd.Series([pd.Timestamp("2024-05-17"), pd.Timestamp("2024-05-17")], dtype=object)
    show(function, one)
    show(function, two)
    """
    )


@situation(right="value* value", joblib="value* value*")
def arrow_slice(lab):
    """A slice of an Arrow array, and an array of its items."""
    lab.run(
        G
        + """
    import pyarrow as pa
    show(function, pa.array([1, 2, 3, 4])[1:3])
    show(function, pa.array([2, 3]))
    """
    )


@situation(right="value* value", joblib="value* value*")
def arrow_chunks(lab):
    """An Arrow table in one chunk, and in two."""
    lab.run(
        G
        + """
    import pyarrow as pa
    show(function, pa.table({"a": pa.chunked_array([[1, 2, 3]])}))
    show(function, pa.table({"a": pa.chunked_array([[1], [2, 3]])}))
    """
    )


@situation(right="3* 1*", joblib="ValueError ValueError", threads="#573")
def masked_numbers(lab):
    """Arrays of numbers with other items masked."""
    lab.run("""
        import numpy as np
        @memory.cache
        def total(array):
            print("computing")
            return int(array.sum())
        show(total, np.ma.array([1, 2], mask=[False, False]))
        show(total, np.ma.array([1, 2], mask=[False, True]))
    """)


@situation(right="value* value", joblib="value* value", threads="#826")
def fields_that_overlap(lab):
    """An array of a structure whose fields overlap."""
    lab.run(
        G
        + """
    dtype = np.dtype({"names": ["x", "y"], "formats": ["i8", "f8"], "offsets": [0, 0]})
    show(function, np.array([1], dtype))
    show(function, np.array([1], dtype))
    """
    )


@situation(right="value* value", joblib="value* value*", threads="#517")
def new_axis_restored(lab):
    """An array with a new axis, pickled and restored."""
    lab.run(
        G
        + """
    import pickle
    array = np.array([1, 2, 3])[:, None]
    show(function, array)
    show(function, pickle.loads(pickle.dumps(array)))
    """
    )


@situation(right="value* value", joblib="value* value*", threads="#1611")
def frame_without_duplicates(lab):
    """A table from which duplicates were dropped, and a table that never had any."""
    lab.run(
        G
        + """
    import pandas as pd
    one = pd.DataFrame({"a": [1, 1, 2]}).drop_duplicates(ignore_index=True)
    two = pd.DataFrame({"a": [1, 2]})
    assert one.equals(two)
    show(function, one)
    show(function, two)
    """
    )
