//! The first byte of a value's raw form.

pub(crate) const END: u8 = 0x00;
pub(crate) const DIGEST: u8 = 0x01;
pub(crate) const NONE: u8 = 0x02;
pub(crate) const FALSE: u8 = 0x03;
pub(crate) const TRUE: u8 = 0x04;
pub(crate) const INTEGER: u8 = 0x05;
pub(crate) const F64: u8 = 0x06;
pub(crate) const F32: u8 = 0x07;
pub(crate) const COMPLEX: u8 = 0x08;
pub(crate) const STR: u8 = 0x09;
pub(crate) const BYTES: u8 = 0x0a;
pub(crate) const CHAR: u8 = 0x0b;
pub(crate) const TUPLE: u8 = 0x0c;
pub(crate) const LIST: u8 = 0x0d;
pub(crate) const SET: u8 = 0x0e;
pub(crate) const MAP: u8 = 0x0f;
pub(crate) const OBJECT: u8 = 0x10;
pub(crate) const CYCLE: u8 = 0x11;
pub(crate) const FROZEN_SET: u8 = 0x12;
pub(crate) const ITEM: u8 = 0x13;
