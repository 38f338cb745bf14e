//! What certificates are taken and what is said of the others.
