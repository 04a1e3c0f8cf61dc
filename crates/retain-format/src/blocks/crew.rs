//! Worker threads that live as long as the writer, for content that comes in small pieces.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::{BlockCoder, Sink, encode_caught};

struct Job {
    index: u64,
    block: Vec<u8>,
    packed: Vec<u8>,
}

struct Answer {
    job: Job,
    outcome: io::Result<()>,
}

pub(super) struct Crew {
    jobs: Option<Sender<Job>>,
    answers: Receiver<Answer>,
    threads: Vec<JoinHandle<()>>,
    /// The index of the next block to be handed out.
    next: u64,
    /// Answers that came before those of earlier blocks; the first place is that of the next block to be written.
    early: VecDeque<Option<Answer>>,
    /// Buffers to be used again.
    spare: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Crew {
    /// `None` where the system gives no threads: the caller works alone then.
    pub(super) fn start<C: BlockCoder>(
        threads: usize,
        make: &dyn Fn() -> io::Result<C>,
    ) -> io::Result<Option<Self>> {
        let (jobs, queue) = channel::<Job>();
        let (report, answers) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let mut crew = Self {
            jobs: Some(jobs),
            answers,
            threads: Vec::new(),
            next: 0,
            early: VecDeque::new(),
            spare: Vec::new(),
        };
        for _ in 0..threads {
            let mut coder = make()?;
            let (queue, report) = (Arc::clone(&queue), report.clone());
            let spawned = thread::Builder::new()
                .name("retain-compress".into())
                .spawn(move || work(&queue, &report, &mut coder));
            match spawned {
                Ok(thread) => crew.threads.push(thread),
                Err(_) => break,
            }
        }
        Ok((!crew.threads.is_empty()).then_some(crew))
    }

    /// Hands `block` to the workers, writes what has become ready, and returns a buffer for the next block.
    pub(super) fn submit<W: Write>(
        &mut self,
        block: Vec<u8>,
        sink: &mut Sink<W>,
    ) -> io::Result<Vec<u8>> {
        while self.early.len() > self.threads.len() {
            self.wait(sink)?;
        }
        let (empty, packed) = self.spare.pop().unwrap_or_default();
        let job = Job {
            index: self.next,
            block,
            packed,
        };
        self.jobs
            .as_ref()
            .and_then(|jobs| jobs.send(job).ok())
            .ok_or_else(gone)?;
        self.next += 1;
        self.early.push_back(None);
        while let Ok(answer) = self.answers.try_recv() {
            self.keep(answer);
        }
        self.write_ready(sink)?;
        Ok(empty)
    }

    /// Waits until all that was submitted is written.
    pub(super) fn settle<W: Write>(&mut self, sink: &mut Sink<W>) -> io::Result<()> {
        while !self.early.is_empty() {
            self.wait(sink)?;
        }
        Ok(())
    }

    fn wait<W: Write>(&mut self, sink: &mut Sink<W>) -> io::Result<()> {
        let answer = self.answers.recv().map_err(|_| gone())?;
        self.keep(answer);
        self.write_ready(sink)
    }

    fn keep(&mut self, answer: Answer) {
        let first = self.next - self.early.len() as u64;
        let place = usize::try_from(answer.job.index.saturating_sub(first)).unwrap_or(usize::MAX);
        if let Some(place) = self.early.get_mut(place) {
            *place = Some(answer);
        }
    }

    fn write_ready<W: Write>(&mut self, sink: &mut Sink<W>) -> io::Result<()> {
        while let Some(Some(_)) = self.early.front() {
            if let Some(Some(Answer { job, outcome })) = self.early.pop_front() {
                outcome?;
                sink.put(&job.block, &job.packed)?;
                self.spare.push((job.block, job.packed));
            }
        }
        Ok(())
    }
}

fn gone() -> io::Error {
    io::Error::other("the threads that compress have ended")
}

fn work<C: BlockCoder>(queue: &Mutex<Receiver<Job>>, report: &Sender<Answer>, coder: &mut C) {
    loop {
        let taken = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(mut job) = taken else { return };
        let outcome = encode_caught(coder, &job.block, &mut job.packed);
        if report.send(Answer { job, outcome }).is_err() {
            return;
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        // Queued blocks of an abandoned stream are compressed for nothing; there are few of them.
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
