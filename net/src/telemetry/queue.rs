//! The queue of log lines between the tasks of a daemon and standard error.
//!
//! One thread writes to standard error, so that a reader that stops, a full pipe or a slow disk never blocks a task.
//! The queue holds at most [`BYTES_MAX`] bytes. A line that exceeds the share of its [`Urgency`] is dropped and counted;
//! the number is written as a line of its own as soon as there is room.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Maximum number of bytes that wait to be written.
pub(super) const BYTES_MAX: usize = 1024 * 1024;
/// Maximum number of bytes of one write, unless a single line is longer.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// The share of the queue that a line may fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Half of the queue.
    Routine,
    /// Three quarters of the queue.
    Warning,
    /// The whole queue.
    Error,
}

impl Urgency {
    const fn bytes_max(self) -> usize {
        match self {
            Self::Routine => BYTES_MAX / 2,
            Self::Warning => BYTES_MAX / 4 * 3,
            Self::Error => BYTES_MAX,
        }
    }
}

/// The queue. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct LogQueue {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    drained: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// Bytes of the lines that wait, including those being written.
    bytes: usize,
    dropped: u64,
}

impl LogQueue {
    fn lock(&self) -> MutexGuard<'_, State> {
        let state = self.shared.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line, or counts it as dropped. Never waits for the writer.
    pub(super) fn push(&self, line: Vec<u8>, urgency: Urgency) {
        let mut state = self.lock();
        if state.bytes + line.len() > urgency.bytes_max() {
            state.dropped += 1;
        } else {
            state.bytes += line.len();
            state.lines.push_back(line);
        }
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Waits until every line is written, for at most `patience`. Returns whether all lines are written.
    pub(super) fn flush(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        while state.bytes > 0 || state.dropped > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.drained.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Starts the thread that writes to `out`. `lost` makes the line that reports a number of dropped lines.
    pub(super) fn start(
        &self,
        mut out: impl Write + Send + 'static,
        lost: impl Fn(u64) -> Vec<u8> + Send + 'static,
    ) -> io::Result<()> {
        let queue = self.clone();
        let write = move || {
            loop {
                let (bytes, dropped) = queue.next_write();
                let mut text = bytes;
                let written = text.len();
                if dropped > 0 {
                    text.extend(lost(dropped));
                }
                // A closed standard error leaves no place to report that it is closed.
                let _lost = out.write_all(&text).and_then(|()| out.flush()).is_err();
                let mut state = queue.lock();
                state.bytes -= written;
                drop(state);
                queue.shared.drained.notify_all();
            }
        };
        // The thread ends with the process: a blocked write cannot be cancelled.
        let started = thread::Builder::new().name("log".to_owned()).spawn(write);
        started.map(drop)
    }

    /// Waits for the bytes of the next write, and for a number of dropped lines.
    fn next_write(&self) -> (Vec<u8>, u64) {
        let mut state = self.lock();
        while state.lines.is_empty() && state.dropped == 0 {
            let waited = self.shared.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        let mut bytes = state.lines.pop_front().unwrap_or_default();
        while let Some(next) = state.lines.front()
            && bytes.len() + next.len() <= WRITE_BYTES_MAX
        {
            bytes.extend_from_slice(next);
            state.lines.pop_front();
        }
        // The count follows the lines that were accepted before the drops.
        let dropped = if state.lines.is_empty() {
            core::mem::take(&mut state.dropped)
        } else {
            0
        };
        (bytes, dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader, Read as _};

    fn lost(count: u64) -> Vec<u8> {
        format!("{count} lost\n").into_bytes()
    }

    #[test]
    fn a_reader_that_stops_blocks_no_task_and_learns_the_number_of_dropped_lines() {
        let (reader, writer) = io::pipe().unwrap();
        let queue = LogQueue::default();
        queue.start(writer, lost).unwrap();
        let line = || [vec![b'x'; 1_023], b"\n".to_vec()].concat();
        let pushed = 4_096_u64;
        (0..pushed).for_each(|_| queue.push(line(), Urgency::Routine));
        queue.push(b"the error\n".to_vec(), Urgency::Error);
        assert!(!queue.flush(Duration::from_millis(20)));
        let (mut whole, mut errors, mut dropped) = (0, 0, 0);
        for line in BufReader::new(reader).lines().map_while(Result::ok) {
            match line.strip_suffix(" lost") {
                Some(count) => dropped += count.parse::<u64>().unwrap(),
                None if line == "the error" => errors += 1,
                None => whole += 1,
            }
            if whole + dropped == pushed && errors == 1 {
                break;
            }
        }
        assert!(
            whole as usize <= Urgency::Routine.bytes_max() / 1_024 + 128,
            "{whole}"
        );
        assert!(dropped > 0 && errors == 1);
        assert!(queue.flush(Duration::from_secs(60)));
    }

    #[test]
    fn lines_are_written_in_order() {
        let (mut reader, writer) = io::pipe().unwrap();
        let queue = LogQueue::default();
        queue.start(writer, lost).unwrap();
        let expected: String = (0..100).map(|number| format!("{number}\n")).collect();
        for line in expected.split_inclusive('\n') {
            queue.push(line.as_bytes().to_vec(), Urgency::Routine);
        }
        let mut found = vec![0; expected.len()];
        reader.read_exact(&mut found).unwrap();
        assert_eq!(found, expected.as_bytes());
    }
}
