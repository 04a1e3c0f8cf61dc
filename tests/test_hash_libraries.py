"""`retain.hash` of data frames, columns and sparse arrays: what counts is the content, not how it lies in memory."""

from __future__ import annotations

import itertools
import pickle

import pytest
import retain

np = pytest.importorskip("numpy")


def same(*values):
    return len({retain.hash(value) for value in values}) == 1


def library(name):
    return pytest.importorskip(name)


def test_how_the_blocks_of_a_frame_lie_does_not_count():
    pd = library("pandas")
    whole = pd.DataFrame(np.arange(12.0).reshape(4, 3), columns=list("abc"))
    by_column = pd.DataFrame({name: np.arange(12.0).reshape(4, 3)[:, place] for place, name in enumerate("abc")})
    grown = pd.DataFrame({"a": whole["a"]})
    for name in "bc":
        grown[name] = whole[name].to_numpy()
    assert same(whole, by_column, grown, grown.copy(), whole[["a", "b", "c"]], pickle.loads(pickle.dumps(grown)))
    assert not same(whole, whole[["b", "a", "c"]])


def test_a_slice_of_a_frame_is_its_copy():
    pd = library("pandas")
    frame = pd.DataFrame({"a": range(10), "b": [str(n) for n in range(10)]})
    assert same(frame[2:5], frame[2:5].copy(), pickle.loads(pickle.dumps(frame[2:5])))
    assert same(frame[::2], frame[::2].copy())


def test_what_an_index_keeps_for_itself_does_not_count():
    pd = library("pandas")
    used, new = pd.Index(["a", "b", "c"]), pd.Index(["a", "b", "c"])
    assert used.get_loc("b") == 1
    assert used.is_unique
    assert used.is_monotonic_increasing
    assert same(used, new)
    used, new = (pd.MultiIndex.from_product([["a", "b"], [1, 2]]) for _ in range(2))
    assert used.get_loc(("b", 1)) == 2
    assert same(used, new)


def test_what_lies_below_a_missing_value_does_not_count():
    pd = library("pandas")
    one, other = (pd.arrays.IntegerArray(np.array([1, hidden]), np.array([False, True])) for hidden in (1, 7))
    assert same(one, other)
    assert same(pd.Series(one), pd.Series(other))


def test_the_chunks_of_a_column_do_not_count():
    pd, pa = library("pandas"), library("pyarrow")
    dtype = pd.ArrowDtype(pa.string())
    chunked = pd.array(pa.chunked_array([["a"], ["b", None]]), dtype=dtype)
    whole = pd.array(["a", "b", None], dtype=dtype)
    assert same(pd.Series(chunked), pd.Series(whole))
    parts = [pd.Series(["a", "b"]), pd.Series(["c", None])]
    assert same(pd.concat(parts, ignore_index=True), pd.Series(["a", "b", "c", None]))


def test_a_frame_that_is_changed_and_changed_back_is_as_before():
    pd = library("pandas")
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    before = retain.hash(frame)
    frame.loc[0, "a"] = 5
    assert retain.hash(frame) != before
    frame.loc[0, "a"] = 1
    assert retain.hash(frame) == before


def test_a_subclass_of_a_frame_counts_by_what_it_says_that_it_has():
    pd = library("pandas")

    class Measured(pd.DataFrame):
        _metadata = ["unit"]  # noqa: RUF012  # as pandas has it

    def measured(unit):
        frame = Measured({"a": [1]})
        frame.unit = unit
        return frame

    assert same(measured("m"), measured("m"))
    assert not same(measured("m"), measured("s"))
    assert not same(measured("m"), pd.DataFrame({"a": [1]}))


def arrow_values():
    pa = library("pyarrow")
    texts = ["a", None, "", "longer text than twelve", "b"] * 3
    return {
        "int": pa.array([1, None, 3, 4, 5] * 3),
        "bool": pa.array([True, None, False, True, True] * 3),
        "string": pa.array(texts),
        "large_string": pa.array(texts, pa.large_string()),
        "string_view": pa.array(texts, pa.string_view()),
        "binary": pa.array([b"abc", None, b"", b"d", b"e"] * 3, pa.binary()),
        "fixed": pa.array([b"abc", None, b"def", b"ghi", b"jkl"] * 3, pa.binary(3)),
        "list": pa.array([[1, None], None, [], [2], [3, 4, 5]] * 3),
        "large_list": pa.array([[1, None], None, [], [2], [3, 4, 5]] * 3, pa.large_list(pa.int16())),
        "fixed_list": pa.array([[1, None], None, [3, 4], [5, 6], [7, 8]] * 3, pa.list_(pa.int16(), 2)),
        "list_view": pa.array([[1, None], None, [], [2], [3, 4, 5]] * 3, pa.list_view(pa.int16())),
        "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}, {"a": 2}, {"b": "z"}] * 3),
        "map": pa.array([[("a", 1)], None, [], [("b", None)], [("c", 2)]] * 3, pa.map_(pa.string(), pa.int8())),
        "dictionary": pa.array(texts).dictionary_encode(),
        "nested": pa.array([[["a"], None], None, [], [["b", None]], [["c"]]] * 3),
        "null": pa.nulls(15),
        "extension": pa.array([b"0" * 16, None, b"1" * 16, b"2" * 16, b"3" * 16] * 3, pa.uuid()),
        "sparse_union": pa.UnionArray.from_sparse(
            pa.array([0, 1, 0, 1, 1] * 3, pa.int8()), [pa.array(range(15)), pa.array(texts)]
        ),
        "dense_union": pa.UnionArray.from_dense(
            pa.array([0, 1, 0, 1, 1] * 3, pa.int8()),
            pa.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 4, 6, 5, 7, 8], pa.int32()),
            [pa.array(range(6)), pa.array(texts[:9])],
        ),
    }


ARROW_TYPES = """int bool string large_string string_view binary fixed list large_list fixed_list list_view struct map
dictionary nested null extension sparse_union dense_union""".split()


@pytest.mark.parametrize("name", ARROW_TYPES)
def test_chunks_and_slices_of_arrow_arrays_do_not_count(name):
    pa = library("pyarrow")
    whole = arrow_values()[name]
    assert retain.hash(whole) == retain.hash(pickle.loads(pickle.dumps(whole)))
    chunked = pa.chunked_array([whole])
    for cuts in ([7], [0, 1, 9], [1, 2, 3, 14], [15]):
        edges = [0, *cuts, 15]
        pieces = [whole.slice(start, end - start) for start, end in itertools.pairwise(edges)]
        assert same(chunked, pa.chunked_array(pieces))
    for start in range(15):
        # The same rows where nothing lies before or after them.
        rows = whole.slice(start, 4)
        assert same(rows, pa.concat_arrays([rows, rows.slice(0, 0)]))
        assert same(rows, pickle.loads(pickle.dumps(rows)))
    assert not same(whole, whole.slice(1))
    if name != "null":
        assert not same(whole.slice(0, 3), whole.slice(2, 3))


def test_arrow_batches_do_not_depend_on_chunks():
    pa = library("pyarrow")
    whole = pa.array([None if n % 11 == 0 else str(n) for n in range(200_000)])
    cut = [whole.slice(start, 999) for start in range(0, len(whole), 999)]
    assert same(pa.chunked_array([whole]), pa.chunked_array(cut))


def test_what_lies_below_a_missing_arrow_value_does_not_count():
    pa = library("pyarrow")

    def hidden(value):
        flags = pa.array([1, 0, 1]).cast(pa.bool_()).buffers()[1]
        return pa.Array.from_buffers(pa.int64(), 3, [flags, pa.py_buffer(np.array([1, value, 3]).tobytes())])

    assert hidden(7).to_pylist() == [1, None, 3]
    assert same(hidden(7), hidden(8), pa.array([1, None, 3]))

    def hidden_text(text):
        flags = pa.array([1, 0, 1]).cast(pa.bool_()).buffers()[1]
        offsets = np.array([0, 1, 1 + len(text), 2 + len(text)], "i4").tobytes()
        content = b"a" + text + b"b"
        return pa.Array.from_buffers(pa.string(), 3, [flags, pa.py_buffer(offsets), pa.py_buffer(content)])

    assert same(hidden_text(b"xyz"), hidden_text(b""), pa.array(["a", None, "b"]))

    def hidden_list(values):
        flags = pa.array([1, 0, 1]).cast(pa.bool_()).buffers()[1]
        offsets = pa.py_buffer(np.array([0, 1, 1 + len(values), 2 + len(values)], "i4").tobytes())
        items = pa.array([5, *values, 6])
        return pa.Array.from_buffers(pa.list_(pa.int64()), 3, [flags, offsets], children=[items])

    assert same(hidden_list([1, 2]), hidden_list([]), pa.array([[5], None, [6]]))


def test_the_dictionary_of_an_arrow_array_does_not_count():
    pa = library("pyarrow")
    one = pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int8()), pa.array(["a", "b"]))
    other = pa.DictionaryArray.from_arrays(pa.array([2, 0, None], pa.int8()), pa.array(["b", "unused", "a"]))
    assert same(one, other)


def test_sparse_arrays_count_by_what_is_stored():
    sparse = library("scipy.sparse")
    one, other = sparse.csr_array([[0, 1], [2, 0]]), sparse.csr_array([[0, 1], [2, 0]])
    assert one.has_sorted_indices
    assert one.has_canonical_format
    assert same(one, other)
    other.data[0] = 5
    assert not same(one, other)


def test_a_fitted_estimator_is_the_same_after_pickling_and_use():
    library("sklearn")
    from sklearn.ensemble import RandomForestRegressor

    x = np.random.default_rng(0).random((50, 3))
    forest = RandomForestRegressor(5, random_state=0).fit(x, x[:, 0])
    before = retain.hash(forest)
    forest.predict(x)
    assert same(forest, pickle.loads(pickle.dumps(forest)))
    assert retain.hash(forest) == before
    assert same(forest, RandomForestRegressor(5, random_state=0).fit(x, x[:, 0]))
    assert not same(forest, RandomForestRegressor(5, random_state=1).fit(x, x[:, 0]))


def test_polars_frames_count_by_their_columns():
    pl = library("polars")
    whole = pl.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"]})
    assert same(whole, pl.concat([whole[:1], whole[1:]], rechunk=False))
    assert same(whole[1:], whole[1:].clone().rechunk())
    assert not same(whole, whole.select("b", "a"))
    with pytest.raises(TypeError, match="has not been run"):
        retain.hash(whole.lazy())


def test_tensors_count_by_type_shape_and_content():
    torch = library("torch")
    one = torch.arange(6.0).reshape(2, 3)
    assert same(one, one.clone(), pickle.loads(pickle.dumps(one)))
    assert same(one.T, one.T.contiguous())
    assert not same(one, one.double())
    assert not same(one, one.reshape(3, 2))
    assert not same(one, one.clone().requires_grad_())
    assert not same(one, one.numpy())
    assert same(one.bfloat16(), one.bfloat16().clone())
    assert not same(one, torch.nn.Parameter(one, requires_grad=False))
