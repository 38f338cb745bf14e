//! What is taken, what is refused, and with which words.
