//! The verified head survives restarts and follows unwinds.
