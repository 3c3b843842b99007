//! Tests of the `metalayer` answers on values made by hand.
