//! Copies of other regions' objects: the owner's side, which feeds them, and the copy's side, which follows.
//!
//! A registry follows each other region over a link of its own. The owner sends the batches of its log in order; each
//! has the region, the epoch, the sequence number and the hash of the batch before. The copy takes a batch only if it
//! follows the last one; otherwise it asks for the batches after its position again, or for a snapshot if the log does
//! not go back that far or the histories differ. Arriving batches are committed to the region's own store together with the
//! position, and confirmed to the owner after that.
//!
//! ```text
//! owner:  FeedServer ──(batches, snapshot, head)──► Replica  :copy
//!                    ◄──(follow, confirmed, credit)──
//! ```
//!
//! - [`FeedServer`]: the followers of a region; each is a position in the log and a credit of bytes.
//! - [`Replica`]: a copy of one region; `link`, its connection; `inbox`, what has arrived and is not durable.
//! - [`Replicas`]: the copies of a registry.
//!
//! Promises: a copy equals the owner's objects after the batch of its position; its position only increases, unless the
//! owner's history was replaced by that of a backup; a copy takes nothing of a lower epoch, of another store, or about
//! objects that another region owns. A slow follower delays no other one.
//!
//! Bounds: [`REGIONS_MAX`](super::region_logs::REGIONS_MAX) copies and as many followers; the batches that wait to be
//! committed are bounded by the credit that the copy grants.

mod copy;
mod feed;
mod inbox;
mod link;
mod message;
mod replicas;
#[cfg(test)]
pub(crate) mod tests;

pub use copy::{AppliedCopy, CopyStatus, Replica};
pub use feed::{FeedOutput, FeedServer, FeedSource, FollowerStatus};
pub use message::{
    FeedBatch, FeedMessage, FeedRefusal, FeedRequest, FeedSnapshotEnd, FollowerId, ReplicaEvent,
    ReplicaInput, ReplicaOutput, ReplicaTuning,
};
pub use replicas::{ReplicaReports, Replicas};
