//! Request ids: a write that is repeated under its request id has the outcome of its first attempt.
//!
//! Each decision about a write with a request id is a batch of the log: with changes, or without any if the write changed
//! nothing or was refused because of the state. Otherwise a repeat that is under way while the answer is on its way could
//! take effect later. Busy registries, rates and failures of the store are not decisions: such a write may be repeated
//! under its id, and is decided about then.
//!
//! An id belongs to a caller and to the region that owns the objects. A write with other content under the id of an
//! earlier one is refused as [`WriteRefusal::RequestReused`].
//!
//! Bounds: an id is known as long as the log keeps its batch.

use super::interface::{Output, WriteId, WriteRequest};
use super::pipeline::{Waiter, WaitingAnswer};
use super::{RegistryBug, Sequencer};
use crate::machine::Outbox;
use crate::registry::log::RequestStamp;
use crate::registry::metadata::Revision;
use crate::registry::write::{WriteOutcome, WriteRefusal};
use crate::time::Instant;

impl Sequencer {
    /// Whether a write is a repetition: then it gets the outcome of the first attempt.
    pub(super) fn repeat(
        &mut self,
        now: Instant,
        write: &WriteRequest,
        request: Option<&RequestStamp>,
        out: &mut Outbox<Output>,
    ) -> Result<bool, WriteRefusal> {
        let Some(request) = request else {
            return Ok(false);
        };
        if self.config.bugs.has(RegistryBug::RequestsForgotten) {
            return Ok(false);
        }
        let waiting = self.pipeline.of_request(&request.key);
        let known = waiting.or_else(|| self.logs.own().of_request(&request.key));
        let Some(entry) = known.cloned() else {
            return Ok(false);
        };
        let known = entry.request.as_ref();
        if known == Some(&request.of_refusal()) {
            self.repeat_refusal(write)?;
            return Ok(true);
        }
        if known != Some(request) {
            return Err(WriteRefusal::RequestReused);
        }
        let (write, sequence) = (write.write, entry.revision.sequence);
        if sequence > self.logs.own().head() {
            let answer = WaitingAnswer::Own;
            self.pipeline.wait(sequence, Waiter { write, answer });
        } else {
            let result = Ok(WriteOutcome::of(&entry, &self.config.region));
            self.answer(now, write, result, out);
        }
        Ok(true)
    }

    /// Refuses a write whose first attempt was refused. The log does not keep the reason, so the present one is found.
    fn repeat_refusal(&mut self, write: &WriteRequest) -> Result<(), WriteRefusal> {
        let refusal = self.decide(write).err();
        self.refuse(write.write, refusal.unwrap_or(WriteRefusal::RefusedBefore))
    }

    /// Accepts a batch that changes nothing. The writer is answered once the state that decided about it is durable.
    pub(super) fn accept_unchanged(
        &mut self,
        now: Instant,
        write: &WriteRequest,
        request: Option<RequestStamp>,
        out: &mut Outbox<Output>,
    ) {
        let is_logged = !self.config.bugs.has(RegistryBug::UnchangedForgotten);
        if let Some(request) = request.filter(|_| is_logged) {
            self.push(write, Some(request), Vec::new(), WaitingAnswer::Own, out);
        } else if self.pipeline.len() > 0 {
            self.wait_for_last(write.write, WaitingAnswer::Unchanged);
        } else {
            let result = Ok(self.unchanged());
            self.answer(now, write.write, result, out);
        }
    }

    /// Records that a write is refused. The writer is answered once the state that decided about it is durable.
    ///
    /// # Errors
    /// Returns the refusal if the writer can be answered at once.
    pub(super) fn accept_refusal(
        &mut self,
        write: &WriteRequest,
        request: Option<RequestStamp>,
        refusal: WriteRefusal,
        out: &mut Outbox<Output>,
    ) -> Result<(), WriteRefusal> {
        let is_logged =
            refusal.depends_on_state() && !self.config.bugs.has(RegistryBug::RefusalsForgotten);
        let Some(request) = request.filter(|_| is_logged) else {
            return self.refuse(write.write, refusal);
        };
        let (request, answer) = (request.of_refusal(), WaitingAnswer::Refused(refusal));
        self.push(write, Some(request), Vec::new(), answer, out);
        Ok(())
    }

    fn refuse(&mut self, write: WriteId, refusal: WriteRefusal) -> Result<(), WriteRefusal> {
        if self.pipeline.len() == 0 {
            return Err(refusal);
        }
        self.wait_for_last(write, WaitingAnswer::Refused(refusal));
        Ok(())
    }

    /// Answers a writer when the last accepted batch is durable.
    fn wait_for_last(&mut self, write: WriteId, answer: WaitingAnswer) {
        let last = self.next_sequence() - 1;
        self.pipeline.wait(last, Waiter { write, answer });
    }

    /// The outcome of a batch without a request id that changes nothing.
    pub(super) fn unchanged(&self) -> WriteOutcome {
        let sequence = self.logs.own().head();
        let epoch = self.logs.own().epoch_of(sequence).number;
        WriteOutcome {
            region: self.config.region.clone(),
            revision: Revision { epoch, sequence },
            objects: Vec::new(),
            copies: 0,
        }
    }
}
