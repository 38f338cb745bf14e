//! The simulator of Phalanx.
