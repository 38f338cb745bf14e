//! Failure detection: heartbeats, silence of links, suspicion, and the verdict that a member is down.
//!
//! Each neighbour is heard at least every `heartbeat_interval_max` ([`heartbeat`]). A neighbour that is silent for
//! `redial_after` is dialled again; after `silent_after` this node reports its ring edge down ([`silence`]). A member
//! to which no path leads is suspect; the member is declared down `down_after` after the latest evidence of life
//! reported by any node ([`verdict`]). A member whose process is gone while its host lives is declared down earlier, if
//! all its ring neighbours lost their links to it and their dials are refused ([`refusals`]). A node whose own timers are late postpones its verdicts, and a node that loses
//! all its edges at once accuses no member for a second ([`local_health`]). Members that are down are dialled from time
//! to time ([`prober`]).
//!
//! Sources: Rapid (Suresh et al., USENIX ATC 2018) for rings of observers; Lifeguard (Dadgar et al., 2018) for local
//! health; SWIM (Das et al., DSN 2002) for suspicion before death.

pub(super) mod heartbeat;
pub(super) mod local_health;
pub(super) mod prober;
pub(super) mod refusals;
pub(super) mod silence;
pub(super) mod verdict;
