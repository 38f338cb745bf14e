//! The service of real nodes on loopback.
