//! The applications on a node: their open channels, pending requests and mailboxes.
//!
//! - `registry`: the open channels by name, and the requests that wait for the machine's answer.
//! - `mailbox`: the deliveries that one reader has not taken, and the tasks that wait for them.
//! - `acknowledgement`: messages that readers took, until the machine is told.
//!
//! The handles that applications hold are in [`channel`](crate::channel).

pub(crate) mod acknowledgement;
pub(crate) mod mailbox;
pub(crate) mod registry;
