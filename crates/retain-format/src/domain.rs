//! What the stack machine knows nothing of: what the values are.

use crate::Error;
use crate::opcode;

/// What the opcodes of a pickle mean for the values of one reader.
///
/// The [`Machine`](crate::machine::Machine) keeps the stack, the marks and the memo; a domain makes the values. An error
/// from any method ends the run. `at` is where the opcode begins in the stream.
///
/// The provided methods stand for a domain that looks at nothing.
#[allow(unused_variables, clippy::missing_errors_doc)]
pub trait Domain {
    /// What stands for an object of Python: an id, or the little that has to be known.
    type Value: Copy;
    /// What a domain can stop the machine with, right behind the opcode.
    type Event;

    /// The value of which nothing is known.
    fn unknown(&mut self) -> Self::Value;

    /// The protocol.
    fn protocol(&mut self, at: u64, version: u8) -> Result<(), Error> {
        Ok(())
    }

    /// A FRAME: the `length` bytes behind it are said to be whole opcodes.
    fn frame(&mut self, at: u64, length: u64) -> Result<Option<Self::Event>, Error> {
        Ok(None)
    }

    /// `None`.
    fn none(&mut self) -> Self::Value {
        self.unknown()
    }

    /// A truth value.
    fn boolean(&mut self, value: bool) -> Self::Value {
        self.unknown()
    }

    /// An integer of at most four bytes.
    fn integer(&mut self, value: i64) -> Self::Value {
        self.unknown()
    }

    /// A float.
    fn float(&mut self, value: f64) -> Self::Value {
        self.unknown()
    }

    /// A value that is written as a line: INT, LONG, FLOAT, STRING or UNICODE. The newline is not part of `line`.
    fn line(&mut self, at: u64, opcode: u8, line: &[u8]) -> Result<Self::Value, Error> {
        Ok(self.unknown())
    }

    /// Whether the payload of a counted opcode has to be seen in one piece, by [`counted`](Self::counted). Else the
    /// machine stops at it and the payload is passed over by whoever feeds it. `data` is where the payload begins.
    fn whole(&mut self, at: u64, opcode: u8, data: u64, length: u64) -> Result<bool, Error> {
        Ok(length <= 256)
    }

    /// A text, bytes or a long integer, with its payload.
    fn counted(
        &mut self,
        at: u64,
        opcode: u8,
        data: u64,
        payload: &[u8],
    ) -> Result<Self::Value, Error> {
        Ok(self.unknown())
    }

    /// A text, bytes or a long integer whose payload was not asked for. What feeds the machine has yet to pass it.
    fn passed(
        &mut self,
        at: u64,
        opcode: u8,
        data: u64,
        length: u64,
    ) -> Result<Self::Value, Error> {
        Ok(self.unknown())
    }

    /// An empty tuple, list, dict or set.
    fn empty(&mut self, at: u64, opcode: u8) -> Result<Self::Value, Error> {
        Ok(self.unknown())
    }

    /// A tuple, list, dict or frozenset of `items`. The items of a dict are keys and values in turn, and even in number.
    fn collect(
        &mut self,
        at: u64,
        opcode: u8,
        items: &[Self::Value],
    ) -> Result<Self::Value, Error> {
        Ok(self.unknown())
    }

    /// `items` are appended, set or added to `target`: APPEND, APPENDS, SETITEM, SETITEMS or ADDITEMS. Never called for
    /// no items, as no Python looks at `target` then.
    fn extend(
        &mut self,
        at: u64,
        opcode: u8,
        target: Self::Value,
        items: &[Self::Value],
    ) -> Result<(), Error> {
        Ok(())
    }

    /// A global whose names stand in the stream: GLOBAL or INST.
    fn global(&mut self, at: u64, module: &[u8], name: &[u8]) -> Result<Self::Value, Error> {
        Ok(self.unknown())
    }

    /// A global whose names are values.
    fn stack_global(
        &mut self,
        at: u64,
        module: Self::Value,
        name: Self::Value,
    ) -> Result<Self::Value, Error> {
        Ok(self.unknown())
    }

    /// A global by its code in copyreg's registry.
    fn extension(&mut self, at: u64, code: u32) -> Result<Self::Value, Error> {
        Ok(self.unknown())
    }

    /// A persistent object by the id that stands in the stream.
    fn persistent_line(&mut self, at: u64, id: &[u8]) -> Result<Self::Value, Error> {
        Ok(self.unknown())
    }

    /// A persistent object by an id that is a value.
    fn persistent(&mut self, at: u64, id: Self::Value) -> Result<Self::Value, Error> {
        Ok(self.unknown())
    }

    /// `callable(*arguments)`.
    fn reduce(
        &mut self,
        at: u64,
        callable: Self::Value,
        arguments: Self::Value,
    ) -> Result<Self::Value, Error> {
        Ok(self.unknown())
    }

    /// `class.__new__(class, *arguments, **keywords)`.
    fn new_object(
        &mut self,
        at: u64,
        class: Self::Value,
        arguments: Self::Value,
        keywords: Option<Self::Value>,
    ) -> Result<Self::Value, Error> {
        Ok(self.unknown())
    }

    /// An instance as OBJ and INST make it: `class(*items)`, or without items perhaps only `class.__new__(class)`.
    fn instantiate(
        &mut self,
        at: u64,
        class: Self::Value,
        items: &[Self::Value],
    ) -> Result<Self::Value, Error> {
        Ok(self.unknown())
    }

    /// The state of `instance` is set. The value that is returned takes its place on the stack, for those who put another
    /// object there, as joblib does.
    fn build(
        &mut self,
        at: u64,
        instance: Self::Value,
        state: Self::Value,
    ) -> Result<(Self::Value, Option<Self::Event>), Error> {
        Ok((instance, None))
    }

    /// The next out-of-band buffer.
    fn buffer(&mut self, at: u64) -> Result<Self::Value, Error> {
        Ok(self.unknown())
    }

    /// `value`, made read-only.
    fn read_only(&mut self, at: u64, value: Self::Value) -> Result<Self::Value, Error> {
        Ok(value)
    }

    /// `value` was dropped by a POP; `end` is where the next opcode begins.
    fn dropped(&mut self, end: u64, value: Self::Value) {}

    /// `value` is what the pickle stands for. `left` other values are on the stack, and `end` is where the stream ends.
    fn stop(&mut self, end: u64, value: Self::Value, left: usize) -> Result<(), Error> {
        Ok(())
    }
}

/// Whether the payload behind `opcode` is a text.
#[must_use]
pub fn is_text(opcode: u8) -> bool {
    matches!(
        opcode,
        opcode::BINUNICODE | opcode::SHORT_BINUNICODE | opcode::BINUNICODE8
    )
}
