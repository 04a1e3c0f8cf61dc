//! The names of packages above numpy that rules know.

use super::names::Rule;
use super::sparse;

/// The rule that knows a name.
pub(super) fn rule(module: &str, name: &str) -> Option<Rule> {
    match module.split('.').next() {
        Some("pandas") => pandas(module, name),
        Some("pyarrow") => arrow(module, name),
        Some("scipy") => scipy(module, name),
        _ => None,
    }
}

fn pandas(module: &str, name: &str) -> Option<Rule> {
    Some(match (module, name) {
        ("pandas" | "pandas.core.frame", "DataFrame") => Rule::Frame(2),
        ("pandas" | "pandas.core.series", "Series") => Rule::Frame(1),
        ("pandas.core.internals.managers", "BlockManager") => Rule::Manager,
        ("pandas.core.internals.managers", "SingleBlockManager") => Rule::SingleManager,
        ("pandas._libs.internals", "_unpickle_block") => Rule::Block,
        ("pandas.core.indexes.base" | "pandas.indexes.base", "_new_Index")
        | ("pandas.core.indexes.datetimes", "_new_DatetimeIndex")
        | ("pandas.core.indexes.timedeltas", "_new_TimedeltaIndex")
        | ("pandas.core.indexes.period", "_new_PeriodIndex") => Rule::NewIndex,
        ("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked") => Rule::Stored,
        (
            "pandas"
            | "pandas.core.arrays.integer"
            | "pandas.core.arrays.floating"
            | "pandas.core.arrays.boolean",
            "Int8Dtype" | "Int16Dtype" | "Int32Dtype" | "Int64Dtype" | "UInt8Dtype" | "UInt16Dtype"
            | "UInt32Dtype" | "UInt64Dtype" | "Float32Dtype" | "Float64Dtype" | "BooleanDtype",
        ) => Rule::PandasType(5),
        ("pandas" | "pandas.core.arrays.string_", "StringDtype") => Rule::PandasType(1),
        ("pandas" | "pandas.core.dtypes.dtypes", "CategoricalDtype") => Rule::PandasType(2),
        ("pandas" | "pandas.core.dtypes.dtypes", "DatetimeTZDtype") => Rule::PandasType(3),
        ("pandas" | "pandas.core.dtypes.dtypes", "PeriodDtype") => Rule::PandasType(4),
        (
            "pandas" | "pandas.core.dtypes.dtypes" | "pandas.core.arrays.arrow.dtype",
            "ArrowDtype",
        ) => Rule::PandasType(6),
        ("pandas.core.dtypes.dtypes", "NumpyEADtype" | "PandasDtype") => Rule::PandasType(7),
        ("pandas.arrays" | "pandas.core.arrays.integer", "IntegerArray") => Rule::MaskedArray(0),
        ("pandas.arrays" | "pandas.core.arrays.floating", "FloatingArray") => Rule::MaskedArray(1),
        ("pandas.arrays" | "pandas.core.arrays.boolean", "BooleanArray") => Rule::MaskedArray(2),
        (
            "pandas.arrays" | "pandas.core.arrays.string_arrow" | "pandas.core.arrays.arrow.array",
            "ArrowStringArray" | "ArrowExtensionArray",
        ) => Rule::ArrowStored,
        ("pandas._libs.tslibs.timestamps", "_unpickle_timestamp") => Rule::Timestamp,
        ("pandas._libs.tslibs.timedeltas", "_timedelta_unpickle") => Rule::Timedelta,
        ("pandas" | "pandas._libs.tslibs.period", "Period") => Rule::Period,
        ("pandas" | "pandas._libs.interval", "Interval") => Rule::Interval,
        ("pandas._libs.tslibs.nattype", "_nat_unpickle" | "__nat_unpickle") => Rule::NaT,
        ("pandas" | "pandas._libs.missing", "NA") => Rule::Missing,
        (
            "pandas._libs.tslibs.offsets",
            "Nano" | "Micro" | "Milli" | "Second" | "Minute" | "Hour" | "Day" | "BusinessDay"
            | "Week" | "MonthEnd" | "MonthBegin" | "BusinessMonthEnd" | "BusinessMonthBegin"
            | "QuarterEnd" | "QuarterBegin" | "YearEnd" | "YearBegin",
        ) => Rule::Offset,
        (
            "pandas",
            "Index" | "RangeIndex" | "MultiIndex" | "DatetimeIndex" | "TimedeltaIndex"
            | "PeriodIndex" | "CategoricalIndex" | "Categorical",
        )
        | (
            "pandas.arrays",
            "DatetimeArray"
            | "TimedeltaArray"
            | "PeriodArray"
            | "StringArray"
            | "NumpyExtensionArray",
        )
        | ("pandas.core.indexes.base" | "pandas.indexes.base", "Index")
        | ("pandas.core.indexes.range", "RangeIndex")
        | ("pandas.core.indexes.multi", "MultiIndex")
        | ("pandas.core.indexes.datetimes", "DatetimeIndex")
        | ("pandas.core.indexes.timedeltas", "TimedeltaIndex")
        | ("pandas.core.indexes.period", "PeriodIndex")
        | ("pandas.core.indexes.category", "CategoricalIndex")
        | ("pandas.core.indexes.numeric", "Int64Index" | "UInt64Index" | "Float64Index")
        | ("pandas.core.arrays.datetimes", "DatetimeArray")
        | ("pandas.core.arrays.timedeltas", "TimedeltaArray")
        | ("pandas.core.arrays.period", "PeriodArray")
        | ("pandas.core.arrays.categorical", "Categorical")
        | ("pandas.core.arrays.string_", "StringArray")
        | ("pandas.core.arrays.numpy_", "NumpyExtensionArray" | "PandasArray") => Rule::Value,
        _ => return None,
    })
}

fn arrow(module: &str, name: &str) -> Option<Rule> {
    if module != "pyarrow.lib" {
        return None;
    }
    Some(match name {
        "type_for_alias" => Rule::ArrowAlias,
        "timestamp" => Rule::ArrowType(0),
        "py_buffer" => Rule::ArrowBuffer,
        "_restore_array" => Rule::ArrowArray,
        "chunked_array" => Rule::ArrowChunked,
        _ => return None,
    })
}

fn scipy(module: &str, name: &str) -> Option<Rule> {
    let format = match (module, name) {
        ("scipy.sparse._csr" | "scipy.sparse.csr", "csr_matrix" | "csr_array") => sparse::CSR,
        ("scipy.sparse._csc" | "scipy.sparse.csc", "csc_matrix" | "csc_array") => sparse::CSC,
        ("scipy.sparse._coo" | "scipy.sparse.coo", "coo_matrix" | "coo_array") => sparse::COO,
        ("scipy.sparse._bsr" | "scipy.sparse.bsr", "bsr_matrix" | "bsr_array") => sparse::BSR,
        ("scipy.sparse._dia" | "scipy.sparse.dia", "dia_matrix" | "dia_array") => sparse::DIA,
        ("scipy.sparse._lil" | "scipy.sparse.lil", "lil_matrix" | "lil_array") => sparse::LIL,
        _ => return None,
    };
    Some(Rule::Sparse(format))
}
