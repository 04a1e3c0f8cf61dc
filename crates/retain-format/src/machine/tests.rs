use super::*;

/// Writes down what it is asked for, as text.
#[derive(Default)]
struct Notes {
    texts: Vec<String>,
    log: Vec<String>,
    whole: u64,
}

impl Notes {
    #[expect(
        clippy::unnecessary_wraps,
        reason = "most callers return what it returns"
    )]
    fn text(&mut self, text: String) -> Result<usize, Error> {
        self.texts.push(text);
        Ok(self.texts.len() - 1)
    }

    fn list(&self, items: &[usize]) -> String {
        let items: Vec<_> = items
            .iter()
            .map(|&item| self.texts[item].as_str())
            .collect();
        items.join(" ")
    }
}

impl Domain for Notes {
    type Value = usize;
    type Event = ();

    fn unknown(&mut self) -> usize {
        self.texts.push("?".into());
        self.texts.len() - 1
    }
    fn none(&mut self) -> usize {
        self.text("None".into()).unwrap()
    }
    fn integer(&mut self, value: i64) -> usize {
        self.text(value.to_string()).unwrap()
    }
    fn float(&mut self, value: f64) -> usize {
        self.text(format!("{value:?}")).unwrap()
    }
    fn line(&mut self, _: u64, _: u8, line: &[u8]) -> Result<usize, Error> {
        self.text(String::from_utf8_lossy(line).into())
    }
    fn whole(&mut self, _: u64, _: u8, _: u64, length: u64) -> Result<bool, Error> {
        Ok(length <= self.whole)
    }
    fn counted(&mut self, _: u64, _: u8, _: u64, payload: &[u8]) -> Result<usize, Error> {
        self.text(format!("{:?}", String::from_utf8_lossy(payload)))
    }
    fn passed(&mut self, _: u64, _: u8, data: u64, length: u64) -> Result<usize, Error> {
        self.text(format!("{length} at {data}"))
    }
    fn empty(&mut self, _: u64, opcode: u8) -> Result<usize, Error> {
        self.text(op::name(opcode).unwrap().into())
    }
    fn collect(&mut self, _: u64, opcode: u8, items: &[usize]) -> Result<usize, Error> {
        let text = format!("{}({})", op::name(opcode).unwrap(), self.list(items));
        self.text(text)
    }
    fn extend(&mut self, _: u64, opcode: u8, target: usize, items: &[usize]) -> Result<(), Error> {
        let items = self.list(items);
        let name = op::name(opcode).unwrap();
        self.texts[target] = format!("{}.{name}({items})", self.texts[target]);
        Ok(())
    }
    fn global(&mut self, _: u64, module: &[u8], name: &[u8]) -> Result<usize, Error> {
        self.text(format!(
            "{}:{}",
            String::from_utf8_lossy(module),
            String::from_utf8_lossy(name)
        ))
    }
    fn stack_global(&mut self, _: u64, module: usize, name: usize) -> Result<usize, Error> {
        let text = self.list(&[module, name]);
        self.text(text)
    }
    fn reduce(&mut self, _: u64, callable: usize, arguments: usize) -> Result<usize, Error> {
        let text = format!("call({})", self.list(&[callable, arguments]));
        self.text(text)
    }
    fn instantiate(&mut self, _: u64, class: usize, items: &[usize]) -> Result<usize, Error> {
        let text = format!("new({}; {})", self.list(&[class]), self.list(items));
        self.text(text)
    }
    fn build(
        &mut self,
        _: u64,
        instance: usize,
        state: usize,
    ) -> Result<(usize, Option<()>), Error> {
        let text = self.list(&[instance, state]);
        self.log.push(text);
        Ok((instance, Some(())))
    }
    fn frame(&mut self, _: u64, length: u64) -> Result<Option<()>, Error> {
        self.log.push(format!("frame {length}"));
        Ok(None)
    }
    fn dropped(&mut self, _: u64, value: usize) {
        let text = format!("dropped {}", self.texts[value]);
        self.log.push(text);
    }
    fn stop(&mut self, end: u64, value: usize, left: usize) -> Result<(), Error> {
        let text = format!("{} to {end}, {left} left", self.texts[value]);
        self.log.push(text);
        Ok(())
    }
}

fn machine(whole: u64) -> Machine<Notes> {
    let notes = Notes {
        whole,
        ..Notes::default()
    };
    Machine::new(notes, Limits::default())
}

/// What the machine makes of a stream that is fed `size` bytes at a time, or more where it waits for more.
fn run(stream: &[u8], size: usize, whole: u64) -> Result<Vec<String>, Error> {
    let mut machine = machine(whole);
    let (mut from, mut to) = (0, size.min(stream.len()));
    loop {
        let (taken, step) = machine.run(&stream[from..to])?;
        from += taken;
        assert_eq!(machine.position(), from as u64);
        match step {
            Step::Stop => return Ok(machine.into_domain().log),
            Step::More { .. } if to == stream.len() => return Err(machine.truncated()),
            _ => to = to.saturating_add(size).min(stream.len()),
        }
    }
}

fn notes(stream: &[u8]) -> Vec<String> {
    let whole = run(stream, usize::MAX, u64::MAX).unwrap();
    for size in 1..=stream.len() {
        assert_eq!(
            run(stream, size, u64::MAX).unwrap(),
            whole,
            "in pieces of {size}"
        );
    }
    for end in 0..stream.len() {
        let cut = run(&stream[..end], 7, u64::MAX);
        assert!(matches!(cut, Err(Error::Truncated(_))), "{end}: {cut:?}");
    }
    whole
}

fn fails(stream: &[u8]) -> String {
    match run(stream, usize::MAX, u64::MAX) {
        Err(error @ (Error::Malformed { .. } | Error::Unsupported(_))) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_of_protocol_5() {
    assert_eq!(
        notes(b"\x80\x05\x95\x1e\0\0\0\0\0\0\0](K\x01M\x02\x01J\xff\xff\xff\xffG?\xf0\0\0\0\0\0\0\x8c\x02hi\x94h\0e."),
        ["frame 30", r#"EMPTY_LIST.APPENDS(1 258 -1 1.0 "hi" "hi") to 41, 0 left"#]
    );
}

#[test]
fn values_of_protocol_0() {
    assert_eq!(
        notes(b"(lp0\nI1\naL12L\naF1.5\naS'x'\nag0\na(Vk\nNdp1\n0."),
        [
            "dropped DICT(k None)",
            "LIST().APPEND(1).APPEND(12L).APPEND(1.5).APPEND('x').APPEND(LIST().APPEND(1).APPEND(12L).APPEND(1.5).APPEND('x')) to 42, 0 left"
        ]
    );
}

#[test]
fn globals_calls_and_objects() {
    assert_eq!(
        notes(b"(\x8c\x01m\x8c\x01n\x93K\x01\x85R}b(cm\nc\nK\x02o(K\x03im\nd\nt."),
        [
            r#"call("m" "n" TUPLE1(1)) EMPTY_DICT"#,
            r#"TUPLE(call("m" "n" TUPLE1(1)) new(m:c; 2) new(m:d; 3)) to 33, 0 left"#
        ]
    );
}

#[test]
fn pop_takes_a_mark_where_a_mark_is_on_top() {
    assert_eq!(notes(b"K\x01(0."), ["1 to 5, 0 left"]);
    assert_eq!(
        notes(b"K\x01(N0(NN10."),
        ["dropped None", "1 to 11, 0 left"]
    );
}

#[test]
fn what_lies_below_a_mark_is_out_of_reach() {
    for stream in [
        &b"K\x01(."[..],
        b"K\x01(2.",
        b"K\x01(\x85.",
        b"K\x01(K\x02\x86.",
        b"K\x01(q\0.",
        b"K\x01(\x94.",
        b"](K\x01a(.",
        b"](a.",
        b"}(K\x01K\x02s.",
        b"(K\x01s.",
        b"(K\x01e.",
        b"](Nb.",
        b"(o.",
        b"\x93.",
        b"R.",
        b"K\x01(\x93.",
        b"(\x90.",
    ] {
        assert!(fails(stream).contains("more values"), "{stream:?}");
    }
    for stream in [
        &b"e."[..],
        b"t.",
        b"1.",
        b"Nu.",
        b"d.",
        b"l.",
        b"o.",
        b"\x91.",
        b"im\nn\n.",
    ] {
        assert!(fails(stream).contains("no mark"), "{stream:?}");
    }
}

#[test]
fn streams_that_are_no_pickles() {
    assert!(fails(b"\xff").contains("0xff"));
    assert!(fails(b"\x80\x06").contains("protocol 6"));
    assert!(fails(b"h\0.").contains("memo"));
    assert!(fails(b"g-1\n.").contains("memo"));
    assert!(fails(b"g 1\n.").contains("memo"));
    assert!(fails(b"Nr\xff\xff\xff\xff.").contains("memo"));
    assert!(fails(b"(Nd.").contains("no value"));
    assert!(fails(b"}(Nu.").contains("no value"));
    assert!(fails(b"c\nx\n.").contains("without a name"));
    assert!(fails(b"I\n.").contains("empty line"));
    assert!(fails(b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.").contains("cannot be"));
    assert!(fails(b"\x8b\0\0\0\x80.").contains("cannot be"));
}

#[test]
fn frames_hold_whole_opcodes() {
    assert_eq!(
        notes(b"\x95\x02\0\0\0\0\0\0\0K\x01."),
        ["frame 2", "1 to 12, 0 left"]
    );
    assert!(fails(b"\x95\x01\0\0\0\0\0\0\0K\x01.").contains("its frame"));
    assert!(fails(b"\x95\x04\0\0\0\0\0\0\0C\x03abc0N.").contains("its frame"));
    let inner = b"\x95\x0b\0\0\0\0\0\0\0\x95\x01\0\0\0\0\0\0\0NN.";
    assert!(fails(inner).contains("within a frame"));
    let passed = run(b"\x95\x04\0\0\0\0\0\0\0C\x03abc.", usize::MAX, 0);
    assert!(matches!(passed, Err(Error::Malformed { .. })));
}

#[test]
fn a_payload_that_was_not_asked_for_is_passed() {
    let mut machine = machine(1);
    let (taken, step) = machine.run(b"\x8e\x05\0\0\0\0\0\0\0ab").unwrap();
    let expected = Step::Payload {
        opcode: op::BINBYTES8,
        header: 9,
        length: 5,
    };
    assert_eq!((taken, step), (9, expected));
    machine.advance(1);
    assert_eq!(machine.run(b"bc").unwrap(), (2, Step::More { at_least: 2 }));
    assert_eq!(machine.run(b"de.").unwrap(), (3, Step::Stop));
    assert_eq!(machine.domain().log, ["5 at 9 to 15, 0 left"]);
}

#[test]
fn a_payload_beyond_the_end_is_refused_at_once() {
    let mut machine = machine(u64::MAX);
    machine.limits_mut().end = 20;
    let error = machine.run(b"\x8e\x0c\0\0\0\0\0\0\0").unwrap_err();
    assert!(matches!(error, Error::Truncated(_)), "{error}");
}

#[test]
fn limits_hold() {
    let limited = |limits: Limits, stream: &[u8]| {
        let error = Machine::new(Notes::default(), limits)
            .run(stream)
            .unwrap_err();
        assert!(matches!(error, Error::Budget(_)), "{error}");
    };
    let limits = Limits::default();
    limited(
        Limits {
            opcodes: 2,
            ..limits
        },
        b"NNN",
    );
    limited(Limits { stack: 2, ..limits }, b"N(N");
    limited(Limits { memo: 1, ..limits }, b"N\x94N\x94");
    limited(Limits { line: 3, ..limits }, b"I1234");
}

#[test]
fn nothing_is_taken_behind_stop() {
    let mut machine = machine(1);
    assert_eq!(machine.run(b"N.N.").unwrap(), (2, Step::Stop));
    assert_eq!(machine.run(b"N.").unwrap(), (0, Step::Stop));
}
