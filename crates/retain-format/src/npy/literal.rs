//! The few Python literals that numpy writes into headers.

use std::iter::Peekable;
use std::str::Chars;

/// Nested records of records are a few deep; a stranger's brackets must not exhaust the stack.
const DEEPEST: u32 = 32;

/// A value of Python. Integers are never negative here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Literal {
    Text(String),
    Int(u64),
    Bool(bool),
    Tuple(Vec<Literal>),
    List(Vec<Literal>),
}

/// The entries of a dict whose keys are texts, with nothing behind it but white space.
pub(super) fn parse_dict(text: &str) -> Result<Vec<(String, Literal)>, String> {
    let mut parser = Parser {
        rest: text.chars().peekable(),
    };
    parser.expect('{')?;
    let mut entries = Vec::new();
    while !parser.ate('}') {
        let Literal::Text(key) = parser.value(0)? else {
            return Err("a key is no text".into());
        };
        parser.expect(':')?;
        entries.push((key, parser.value(0)?));
        if !parser.ate(',') {
            parser.expect('}')?;
            break;
        }
    }
    parser.space();
    match parser.rest.next() {
        None => Ok(entries),
        Some(found) => Err(format!("{found:?} follows it")),
    }
}

/// The text that `text` starts with, in quotes, and what follows it.
pub(crate) fn parse_text(text: &str) -> Option<(String, &str)> {
    let mut parser = Parser {
        rest: text.chars().peekable(),
    };
    let quote = parser.rest.next_if(|c| matches!(c, '\'' | '"'))?;
    let found = parser.text(quote).ok()?;
    let left: usize = parser.rest.map(char::len_utf8).sum();
    Some((found, text.get(text.len() - left..)?))
}

struct Parser<'t> {
    rest: Peekable<Chars<'t>>,
}

impl Parser<'_> {
    fn space(&mut self) {
        while self
            .rest
            .next_if(|c| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c'))
            .is_some()
        {}
    }

    fn ate(&mut self, wanted: char) -> bool {
        self.space();
        self.rest.next_if_eq(&wanted).is_some()
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        if self.ate(wanted) {
            return Ok(());
        }
        Err(match self.rest.peek() {
            Some(found) => format!("{found:?} stands where {wanted:?} belongs"),
            None => format!("it ends where {wanted:?} belongs"),
        })
    }

    fn value(&mut self, depth: u32) -> Result<Literal, String> {
        if depth > DEEPEST {
            return Err("it is nested too deeply".into());
        }
        self.space();
        match self.rest.peek().copied() {
            Some(quote @ ('\'' | '"')) => {
                self.rest.next();
                self.text(quote).map(Literal::Text)
            }
            Some('(') => {
                self.rest.next();
                let (mut items, comma) = self.items(')', depth)?;
                // Parentheses around one value mean that value.
                Ok(match items.len() {
                    1 if !comma => items.remove(0),
                    _ => Literal::Tuple(items),
                })
            }
            Some('[') => {
                self.rest.next();
                self.items(']', depth)
                    .map(|(items, _)| Literal::List(items))
            }
            Some('0'..='9') => self.number(),
            Some('T') => self.word("True").map(|()| Literal::Bool(true)),
            Some('F') => self.word("False").map(|()| Literal::Bool(false)),
            Some(found) => Err(format!("{found:?} starts no value")),
            None => Err("it ends where a value belongs".into()),
        }
    }

    /// The items up to `close`, and whether the last one is followed by a comma.
    fn items(&mut self, close: char, depth: u32) -> Result<(Vec<Literal>, bool), String> {
        let mut items = Vec::new();
        let mut comma = false;
        while !self.ate(close) {
            items.push(self.value(depth + 1)?);
            comma = self.ate(',');
            if !comma {
                self.expect(close)?;
                break;
            }
        }
        Ok((items, comma))
    }

    fn number(&mut self) -> Result<Literal, String> {
        let mut digits = String::new();
        while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        // Python 2 wrote long integers with a mark.
        self.rest.next_if_eq(&'L');
        if digits.len() > 1 && digits.starts_with('0') {
            return Err("a number starts with 0".into());
        }
        digits
            .parse()
            .map(Literal::Int)
            .map_err(|_| "a number is too large".into())
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        for wanted in word.chars() {
            if self.rest.next() != Some(wanted) {
                return Err(format!("an unknown word where {word} might stand"));
            }
        }
        Ok(())
    }

    /// A text up to `quote`, with the escapes that `repr` makes.
    fn text(&mut self, quote: char) -> Result<String, String> {
        let mut text = String::new();
        loop {
            match self.rest.next() {
                None | Some('\n') => return Err("a text has no end".into()),
                Some(c) if c == quote => return Ok(text),
                Some('\\') => text.push(self.escape()?),
                Some(c) => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let unknown = || String::from("an unknown escape in a text");
        let digits = match self.rest.next().ok_or_else(unknown)? {
            c @ ('\\' | '\'' | '"') => return Ok(c),
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => return Err(unknown()),
        };
        let mut code = 0_u32;
        for _ in 0..digits {
            let digit = self.rest.next().and_then(|c| c.to_digit(16));
            let digit = digit.ok_or_else(unknown)?;
            code = code.checked_mul(16).ok_or_else(unknown)? | digit;
        }
        char::from_u32(code).ok_or_else(unknown)
    }
}

/// As Python's `repr` of a text.
pub(crate) fn write_text(text: &str, into: &mut String) {
    use std::fmt::Write as _;
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    into.push(quote);
    for c in text.chars() {
        let _ = match c {
            '\\' => write!(into, "\\\\"),
            '\n' => write!(into, "\\n"),
            '\r' => write!(into, "\\r"),
            '\t' => write!(into, "\\t"),
            c if c == quote => write!(into, "\\{c}"),
            c if c.is_control() => write!(into, "\\x{:02x}", u32::from(c)),
            c => write!(into, "{c}"),
        };
    }
    into.push(quote);
}

/// As Python's `repr` of a tuple of integers.
pub(super) fn write_tuple(items: &[u64], into: &mut String) {
    let texts: Vec<String> = items.iter().map(u64::to_string).collect();
    into.push('(');
    into.push_str(&texts.join(", "));
    if items.len() == 1 {
        into.push(',');
    }
    into.push(')');
}
