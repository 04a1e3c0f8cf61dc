//! The opcodes of pickle protocols 0 to 5, and the shape of what follows each.

macro_rules! opcodes {
    ($($name:ident = $byte:literal, $argument:ident, $text:literal;)*) => {
        $(#[doc = $text] pub const $name: u8 = $byte;)*

        /// What follows each byte, if it is an opcode.
        static ARGUMENTS: [Option<Argument>; 256] = {
            let mut table = [None; 256];
            $(table[$byte as usize] = Some(opcodes!(@shape $argument));)*
            table
        };

        /// The name of an opcode, as `pickletools` has it.
        #[must_use]
        pub fn name(opcode: u8) -> Option<&'static str> {
            match opcode {
                $($name => Some(stringify!($name)),)*
                _ => None,
            }
        }
    };
    (@shape none) => { Argument::None };
    (@shape one) => { Argument::Fixed(1) };
    (@shape two) => { Argument::Fixed(2) };
    (@shape four) => { Argument::Fixed(4) };
    (@shape eight) => { Argument::Fixed(8) };
    (@shape counted1) => { Argument::Counted(1) };
    (@shape counted4) => { Argument::Counted(4) };
    (@shape counted8) => { Argument::Counted(8) };
    (@shape line) => { Argument::Lines(1) };
    (@shape lines) => { Argument::Lines(2) };
}

/// The shape of what follows an opcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    /// Nothing.
    None,
    /// So many bytes.
    Fixed(u8),
    /// A little-endian length of so many bytes, then so many bytes of payload.
    Counted(u8),
    /// So many lines that end in a newline.
    Lines(u8),
}

/// The shape of what follows `opcode`; `None` if it is no opcode.
#[inline]
#[must_use]
pub fn argument(opcode: u8) -> Option<Argument> {
    ARGUMENTS[opcode as usize]
}

opcodes! {
    MARK = b'(', none, "Push a mark.";
    STOP = b'.', none, "The end: the top of the stack is the value.";
    POP = b'0', none, "Drop the top of the stack.";
    POP_MARK = b'1', none, "Drop all above the topmost mark, and the mark.";
    DUP = b'2', none, "Push the top of the stack again.";
    FLOAT = b'F', line, "A float in decimal.";
    INT = b'I', line, "An integer in decimal; `00` and `01` are booleans.";
    BININT = b'J', four, "An integer of four bytes, signed.";
    BININT1 = b'K', one, "An integer of one byte.";
    LONG = b'L', line, "An integer in decimal, with an `L`.";
    BININT2 = b'M', two, "An integer of two bytes.";
    NONE = b'N', none, "None.";
    PERSID = b'P', line, "A persistent object by the id in the line.";
    BINPERSID = b'Q', none, "A persistent object by the id on the stack.";
    REDUCE = b'R', none, "Call a callable with a tuple of arguments.";
    STRING = b'S', line, "A str of Python 2, quoted.";
    BINSTRING = b'T', counted4, "A str of Python 2.";
    SHORT_BINSTRING = b'U', counted1, "A short str of Python 2.";
    UNICODE = b'V', line, "A str, raw-unicode-escaped.";
    BINUNICODE = b'X', counted4, "A str in UTF-8.";
    APPEND = b'a', none, "Append the top of the stack to the list below it.";
    BUILD = b'b', none, "Set the state of the object below the top.";
    GLOBAL = b'c', lines, "A global by module and name.";
    DICT = b'd', none, "A dict of all above the mark.";
    EMPTY_DICT = b'}', none, "An empty dict.";
    APPENDS = b'e', none, "Extend a list by all above the mark.";
    GET = b'g', line, "Push from the memo.";
    BINGET = b'h', one, "Push from the memo.";
    INST = b'i', lines, "Make an instance of a class with all above the mark.";
    LONG_BINGET = b'j', four, "Push from the memo.";
    LIST = b'l', none, "A list of all above the mark.";
    EMPTY_LIST = b']', none, "An empty list.";
    OBJ = b'o', none, "Make an instance; the class is the first above the mark.";
    PUT = b'p', line, "Store in the memo.";
    BINPUT = b'q', one, "Store in the memo.";
    LONG_BINPUT = b'r', four, "Store in the memo.";
    SETITEM = b's', none, "Set one item of a dict.";
    TUPLE = b't', none, "A tuple of all above the mark.";
    EMPTY_TUPLE = b')', none, "An empty tuple.";
    SETITEMS = b'u', none, "Set items of a dict, all above the mark.";
    BINFLOAT = b'G', eight, "A float, big-endian.";
    PROTO = 0x80, one, "The protocol.";
    NEWOBJ = 0x81, none, "`cls.__new__(cls, *args)`.";
    EXT1 = 0x82, one, "A global by its code in copyreg's registry.";
    EXT2 = 0x83, two, "A global by its code in copyreg's registry.";
    EXT4 = 0x84, four, "A global by its code in copyreg's registry.";
    TUPLE1 = 0x85, none, "A tuple of one.";
    TUPLE2 = 0x86, none, "A tuple of two.";
    TUPLE3 = 0x87, none, "A tuple of three.";
    NEWTRUE = 0x88, none, "True.";
    NEWFALSE = 0x89, none, "False.";
    LONG1 = 0x8a, counted1, "An integer, little-endian two's complement.";
    LONG4 = 0x8b, counted4, "An integer, little-endian two's complement.";
    BINBYTES = b'B', counted4, "A bytes object.";
    SHORT_BINBYTES = b'C', counted1, "A short bytes object.";
    SHORT_BINUNICODE = 0x8c, counted1, "A short str in UTF-8.";
    BINUNICODE8 = 0x8d, counted8, "A long str in UTF-8.";
    BINBYTES8 = 0x8e, counted8, "A long bytes object.";
    EMPTY_SET = 0x8f, none, "An empty set.";
    ADDITEMS = 0x90, none, "Add all above the mark to a set.";
    FROZENSET = 0x91, none, "A frozenset of all above the mark.";
    NEWOBJ_EX = 0x92, none, "`cls.__new__(cls, *args, **kwargs)`.";
    STACK_GLOBAL = 0x93, none, "A global by the two str on the stack.";
    MEMOIZE = 0x94, none, "Store in the memo under the next index.";
    FRAME = 0x95, eight, "The length of the opcodes that follow in one piece.";
    BYTEARRAY8 = 0x96, counted8, "A bytearray.";
    NEXT_BUFFER = 0x97, none, "The next out-of-band buffer.";
    READONLY_BUFFER = 0x98, none, "Make the buffer on the stack read-only.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_68_opcodes_of_protocol_5_are_known() {
        assert_eq!(
            (0..=255).filter(|&byte| argument(byte).is_some()).count(),
            68
        );
        assert_eq!(name(STACK_GLOBAL), Some("STACK_GLOBAL"));
        assert_eq!(name(b'!'), None);
        assert_eq!(argument(BINBYTES8), Some(Argument::Counted(8)));
    }
}
