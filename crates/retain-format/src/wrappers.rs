//! Where the arrays lie in a stream of joblib's.
//!
//! joblib writes the raw bytes of an array right behind the BUILD of an object that describes it, in the middle of the
//! opcodes. [`Wrappers`] is the domain that knows these objects and nothing else, at little more than the cost of looking
//! at each opcode. It is meant for files that are trusted anyway.

use crate::Error;
use crate::domain::Domain;
use crate::opcode as op;

/// What joblib has put in place of an array, by the name of its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapper {
    /// `NumpyArrayWrapper`, of joblib 0.10 and later: the data follow.
    NumpyArray,
    /// `NDArrayWrapper`, of joblib before 0.10: the data lie in a file of their own.
    NdArray,
    /// `ZNDArrayWrapper`, of joblib before 0.10: the same, compressed.
    ZNdArray,
}

/// What [`Wrappers`] stops the machine for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A wrapper's state has just been set. The machine goes on as if the array had taken its place on the stack.
    Array(Wrapper),
    /// A FRAME of nine bytes was taken, of this length.
    Frame(u64),
}

/// What is known of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    Nothing,
    /// The text is the name of one of joblib's modules that wrappers live in.
    ModuleOfJoblib,
    /// The text is the name of copyreg.
    ModuleCopyreg,
    /// The text is the name of a wrapper's class.
    Name(Wrapper),
    /// The text is the name of the function that makes objects for protocols 0 and 1.
    NameOfReconstructor,
    /// That function.
    Reconstructor,
    /// A wrapper's class.
    Class(Wrapper),
    /// A tuple whose first item is a wrapper's class.
    Arguments(Wrapper),
    /// A wrapper.
    Instance(Wrapper),
    /// The bytes that retain writes in front of a buffer.
    Padding,
}

/// The domain that finds joblib's arrays and retain's buffers.
#[derive(Debug, Default)]
pub struct Wrappers {
    /// Where a buffer begins, if one does: behind the POP of its padding.
    buffer: Option<u64>,
    announced: bool,
}

/// How retain's padding begins.
pub const PADDING: &[u8; 7] = b"retain\xb5";

impl Wrappers {
    /// Whether the payload that [`Step::Payload`](crate::machine::Step::Payload) just announced is one of retain's
    /// buffers.
    #[must_use]
    pub fn is_buffer(&self) -> bool {
        self.announced
    }

    fn text(text: &[u8]) -> Known {
        match text {
            b"joblib.numpy_pickle"
            | b"joblib.numpy_pickle_compat"
            | b"sklearn.externals.joblib.numpy_pickle"
            | b"sklearn.externals.joblib.numpy_pickle_compat" => Known::ModuleOfJoblib,
            b"copyreg" | b"copy_reg" => Known::ModuleCopyreg,
            b"NumpyArrayWrapper" => Known::Name(Wrapper::NumpyArray),
            b"NDArrayWrapper" => Known::Name(Wrapper::NdArray),
            b"ZNDArrayWrapper" => Known::Name(Wrapper::ZNdArray),
            b"_reconstructor" => Known::NameOfReconstructor,
            _ => Known::Nothing,
        }
    }

    fn class(module: Known, name: Known) -> Known {
        match (module, name) {
            (Known::ModuleOfJoblib, Known::Name(wrapper)) => Known::Class(wrapper),
            (Known::ModuleCopyreg, Known::NameOfReconstructor) => Known::Reconstructor,
            _ => Known::Nothing,
        }
    }
}

impl Domain for Wrappers {
    type Value = Known;
    type Event = Found;

    #[inline]
    fn unknown(&mut self) -> Known {
        Known::Nothing
    }

    fn frame(&mut self, _at: u64, length: u64) -> Result<Option<Found>, Error> {
        Ok(Some(Found::Frame(length)))
    }

    #[inline]
    fn whole(&mut self, at: u64, opcode: u8, _data: u64, length: u64) -> Result<bool, Error> {
        self.announced =
            self.buffer == Some(at) && matches!(opcode, op::BINBYTES8 | op::BYTEARRAY8);
        Ok(length <= 256 && !self.announced)
    }

    #[inline]
    fn counted(
        &mut self,
        _at: u64,
        opcode: u8,
        _data: u64,
        payload: &[u8],
    ) -> Result<Known, Error> {
        Ok(match opcode {
            op::SHORT_BINUNICODE
            | op::BINUNICODE
            | op::BINUNICODE8
            | op::SHORT_BINSTRING
            | op::BINSTRING
                if (7..=48).contains(&payload.len()) =>
            {
                Self::text(payload)
            }
            op::SHORT_BINBYTES if payload.starts_with(PADDING) => Known::Padding,
            _ => Known::Nothing,
        })
    }

    fn line(&mut self, _at: u64, opcode: u8, line: &[u8]) -> Result<Known, Error> {
        Ok(match opcode {
            op::UNICODE => Self::text(line),
            op::STRING => {
                let line = line.trim_ascii();
                let inside = line.get(1..line.len().saturating_sub(1));
                Self::text(inside.unwrap_or_default())
            }
            _ => Known::Nothing,
        })
    }

    fn collect(&mut self, _at: u64, opcode: u8, items: &[Known]) -> Result<Known, Error> {
        Ok(match (opcode, items.first()) {
            (op::TUPLE | op::TUPLE1 | op::TUPLE2 | op::TUPLE3, Some(&Known::Class(wrapper))) => {
                Known::Arguments(wrapper)
            }
            _ => Known::Nothing,
        })
    }

    fn global(&mut self, _at: u64, module: &[u8], name: &[u8]) -> Result<Known, Error> {
        Ok(Self::class(Self::text(module), Self::text(name)))
    }

    fn stack_global(&mut self, _at: u64, module: Known, name: Known) -> Result<Known, Error> {
        Ok(Self::class(module, name))
    }

    fn reduce(&mut self, _at: u64, callable: Known, arguments: Known) -> Result<Known, Error> {
        Ok(match (callable, arguments) {
            (Known::Reconstructor, Known::Arguments(wrapper)) | (Known::Class(wrapper), _) => {
                Known::Instance(wrapper)
            }
            _ => Known::Nothing,
        })
    }

    fn new_object(
        &mut self,
        _at: u64,
        class: Known,
        _arguments: Known,
        _keywords: Option<Known>,
    ) -> Result<Known, Error> {
        Ok(match class {
            Known::Class(wrapper) => Known::Instance(wrapper),
            _ => Known::Nothing,
        })
    }

    fn instantiate(&mut self, at: u64, class: Known, _items: &[Known]) -> Result<Known, Error> {
        self.new_object(at, class, Known::Nothing, None)
    }

    fn build(
        &mut self,
        _at: u64,
        instance: Known,
        _state: Known,
    ) -> Result<(Known, Option<Found>), Error> {
        Ok(match instance {
            Known::Instance(wrapper) => (Known::Nothing, Some(Found::Array(wrapper))),
            other => (other, None),
        })
    }

    #[inline]
    fn dropped(&mut self, end: u64, value: Known) {
        if value == Known::Padding {
            self.buffer = Some(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Limits, Machine, Step};

    /// `[array, 7]` as joblib 1.6 writes it, but for the data and what follows them.
    const HEAD: &[u8] = b"\x80\x04\x95\x3a\0\0\0\0\0\0\0](\x8c\x13joblib.numpy_pickle\x8c\x11NumpyArrayWrapper\x93)\x81}\x8c\x05shapeK\x02\x85sb";

    fn next(machine: &mut Machine<Wrappers>, piece: &[u8]) -> (usize, Step<Found>) {
        machine.run(piece).unwrap()
    }

    #[test]
    fn an_array_is_found_behind_its_wrapper() {
        let mut machine = Machine::new(Wrappers::default(), Limits::default());
        assert_eq!(
            next(&mut machine, HEAD),
            (11, Step::Event(Found::Frame(58)))
        );
        let found = Step::Event(Found::Array(Wrapper::NumpyArray));
        assert_eq!(next(&mut machine, &HEAD[11..]), (HEAD.len() - 11, found));
        machine.advance(1 + 7 + 16);
        assert_eq!(next(&mut machine, b"K\x07e."), (4, Step::Stop));
        assert_eq!(machine.position(), HEAD.len() as u64 + 28);
    }

    #[test]
    fn the_array_is_no_wrapper_any_more() {
        let mut machine = Machine::new(Wrappers::default(), Limits::default());
        next(&mut machine, HEAD);
        next(&mut machine, &HEAD[11..]);
        assert_eq!(next(&mut machine, b"}b"), (2, Step::More { at_least: 1 }));
    }

    #[test]
    fn wrappers_of_protocol_0_are_found() {
        let stream = b"ccopy_reg\n_reconstructor\np0\n(cjoblib.numpy_pickle\nNDArrayWrapper\np1\n\
            c__builtin__\nobject\np2\nNtp3\nRp4\n(dp5\nb.";
        let mut machine = Machine::new(Wrappers::default(), Limits::default());
        let found = Step::Event(Found::Array(Wrapper::NdArray));
        assert_eq!(next(&mut machine, stream), (stream.len() - 1, found));
    }

    #[test]
    fn names_in_other_modules_are_not_wrappers() {
        let stream = b"cjoblib\nNumpyArrayWrapper\n)\x81}b.";
        let mut machine = Machine::new(Wrappers::default(), Limits::default());
        assert_eq!(next(&mut machine, stream), (stream.len(), Step::Stop));
    }

    #[test]
    fn a_buffer_is_announced_only_behind_its_padding() {
        let mut stream = b"\x80\x05C\x0aretain\xb5\0\0\x000".to_vec();
        stream.extend(b"\x96\x03\0\0\0\0\0\0\0abc\x96\x03\0\0\0\0\0\0\0abc\x86.");
        let mut machine = Machine::new(Wrappers::default(), Limits::default());
        let (taken, step) = next(&mut machine, &stream);
        let payload = Step::Payload {
            opcode: op::BYTEARRAY8,
            header: 9,
            length: 3,
        };
        assert_eq!((taken, step), (24, payload));
        assert!(machine.domain().is_buffer());
        assert_eq!(machine.pending(), 3);
        machine.advance(3);
        let rest = &stream[27..];
        assert_eq!(next(&mut machine, rest), (rest.len(), Step::Stop));
    }
}
