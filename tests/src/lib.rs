//! Helpers shared by the whole-system checks.
