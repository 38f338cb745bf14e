//! Every side effect of Phalanx; it decides nothing.
