//! The names that rules know.

/// How a name may be used. Those of one line are told apart by their name when they are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// A type or another thing that is only looked at.
    Value,
    // The standard library.
    Set,
    FrozenSet,
    Complex,
    Range,
    Slice,
    ByteArray,
    Bytes,
    GetAttr,
    Encode,
    Reconstructor,
    Date,
    DateTime,
    Time,
    Delta,
    Zone,
    Decimal,
    Fraction,
    Uuid,
    Path,
    OrderedDict,
    DefaultDict,
    Counter,
    Deque,
    Namespace,
    Address,
    Array,
    RebuiltArray,
    Random,
    ZoneInfo,
    DateutilUtc,
    PytzUtc,
    PytzZone,
    // numpy.
    Dtype,
    StringDtype,
    Rebuild,
    FromBuffer,
    Scalar,
    Masked,
    BitGenerator,
    Generator,
    RandomState,
    SeedSequence,
    // joblib.
    Wrapper,
    // scipy.
    Sparse(u8),
    // pandas.
    Frame(u8),
    Manager,
    SingleManager,
    Block,
    NewIndex,
    Stored,
    PandasType(u8),
    MaskedArray(u8),
    ArrowStored,
    Timestamp,
    Timedelta,
    Period,
    Interval,
    NaT,
    Missing,
    Offset,
    // Arrow.
    ArrowType(u8),
    ArrowAlias,
    ArrowBuffer,
    ArrowArray,
    ArrowChunked,
}

/// The rule that knows a name.
#[expect(
    clippy::match_same_arms,
    reason = "it is a table, in the order of the modules"
)]
pub(super) fn rule(module: &str, name: &str) -> Option<Rule> {
    Some(match (module, name) {
        ("builtins", "set") => Rule::Set,
        ("builtins", "frozenset") => Rule::FrozenSet,
        ("builtins", "complex") => Rule::Complex,
        ("builtins", "range") => Rule::Range,
        ("builtins", "slice") => Rule::Slice,
        ("builtins", "bytearray") => Rule::ByteArray,
        ("builtins", "bytes") => Rule::Bytes,
        ("builtins", "getattr") => Rule::GetAttr,
        (
            "builtins",
            "object" | "int" | "float" | "str" | "bool" | "list" | "dict" | "tuple" | "Ellipsis"
            | "NotImplemented",
        ) => Rule::Value,
        ("_codecs", "encode") => Rule::Encode,
        ("copyreg", "_reconstructor") => Rule::Reconstructor,
        ("datetime", "date") => Rule::Date,
        ("datetime", "datetime") => Rule::DateTime,
        ("datetime", "time") => Rule::Time,
        ("datetime", "timedelta") => Rule::Delta,
        ("datetime", "timezone") => Rule::Zone,
        ("decimal", "Decimal") => Rule::Decimal,
        ("fractions", "Fraction") => Rule::Fraction,
        ("uuid", "UUID") => Rule::Uuid,
        (
            "pathlib" | "pathlib._local",
            "PurePosixPath" | "PureWindowsPath" | "PosixPath" | "WindowsPath",
        ) => Rule::Path,
        ("collections", "OrderedDict") => Rule::OrderedDict,
        ("collections", "defaultdict") => Rule::DefaultDict,
        ("collections", "Counter") => Rule::Counter,
        ("collections", "deque") => Rule::Deque,
        ("types", "SimpleNamespace") => Rule::Namespace,
        (
            "ipaddress",
            "IPv4Address" | "IPv6Address" | "IPv4Network" | "IPv6Network" | "IPv4Interface"
            | "IPv6Interface",
        ) => Rule::Address,
        ("array", "array") => Rule::Array,
        ("array", "_array_reconstructor") => Rule::RebuiltArray,
        ("random", "Random") => Rule::Random,
        ("zoneinfo", "ZoneInfo") => Rule::ZoneInfo,
        ("dateutil.tz" | "dateutil.tz.tz", "tzutc") => Rule::DateutilUtc,
        ("pytz", "_UTC") => Rule::PytzUtc,
        ("pytz", "_p") => Rule::PytzZone,
        ("numpy", "dtype") => Rule::Dtype,
        (
            "numpy",
            "ndarray" | "matrix" | "memmap" | "recarray" | "chararray" | "record" | "bool"
            | "bool_" | "int8" | "int16" | "int32" | "int64" | "uint8" | "uint16" | "uint32"
            | "uint64" | "float16" | "float32" | "float64" | "longdouble" | "complex64"
            | "complex128" | "clongdouble" | "str_" | "bytes_" | "object_" | "void" | "datetime64"
            | "timedelta64" | "intc" | "uintc" | "longlong" | "ulonglong" | "float128"
            | "complex256",
        )
        | ("numpy.matrixlib.defmatrix", "matrix")
        | ("numpy.core.memmap" | "numpy._core.memmap", "memmap")
        | ("numpy.rec" | "numpy.core.records" | "numpy._core.records", "recarray" | "record")
        | ("numpy.char" | "numpy.core.defchararray" | "numpy._core.defchararray", "chararray")
        | ("numpy.ma" | "numpy.ma.core", "MaskedArray") => Rule::Value,
        ("numpy._core._internal", "_convert_to_stringdtype_kwargs") => Rule::StringDtype,
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Rule::Rebuild,
        ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Rule::Scalar,
        ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Rule::FromBuffer,
        ("numpy.ma.core", "_mareconstruct") => Rule::Masked,
        ("numpy.random._pickle", "__bit_generator_ctor") => Rule::BitGenerator,
        ("numpy.random._pickle", "__generator_ctor") => Rule::Generator,
        ("numpy.random._pickle", "__randomstate_ctor") => Rule::RandomState,
        (
            "numpy.random.bit_generator" | "numpy.random._bit_generator",
            "__pyx_unpickle_SeedSequence",
        ) => Rule::SeedSequence,
        ("numpy.random.bit_generator" | "numpy.random._bit_generator", "SeedSequence")
        | ("numpy.random._mt19937", "MT19937")
        | ("numpy.random._pcg64", "PCG64" | "PCG64DXSM")
        | ("numpy.random._philox", "Philox")
        | ("numpy.random._sfc64", "SFC64") => Rule::Value,
        ("joblib.numpy_pickle" | "sklearn.externals.joblib.numpy_pickle", "NumpyArrayWrapper") => {
            Rule::Wrapper
        }
        _ => return super::tables::rule(module, name),
    })
}
